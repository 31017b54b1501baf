package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/mobilenet-go/mobilenet/train/report"
)

// writeEvaluation writes e for people, as a JSON object, or as a line of CSV.
func writeEvaluation(w io.Writer, e *report.Evaluation, format string) error {
	switch format {
	case "json":
		var b bytes.Buffer
		if err := e.WriteJSON(&b); err != nil {
			return err
		}
		return writeJSON(w, b.Bytes())
	case "csv":
		return e.WriteSummaryCSV(w)
	}
	_, err := io.WriteString(w, evaluationText(e))
	return err
}

// fewClasses are shown one and all. Of more, the worst are.
const (
	fewClasses   = 20
	worstClasses = 10
	confusions   = 10
)

// evaluationText is the overall measures, the classes, and the most frequent
// mistakes.
func evaluationText(e *report.Evaluation) string {
	out := overall(e)
	present := e.Worst(len(e.PerClass))
	if len(present) <= fewClasses {
		var classes []report.Class
		for _, c := range e.PerClass {
			if c.Support > 0 || c.Predicted > 0 {
				classes = append(classes, c)
			}
		}
		out += "\n" + classTable("class", classes)
	} else {
		out += "\n" + classTable(fmt.Sprintf("worst of %d classes", len(present)), present[:worstClasses])
	}
	if confused := e.MostConfused(confusions); len(confused) > 0 {
		out += "\n" + confusionTable(e, confused)
	}
	return out
}

func overall(e *report.Evaluation) string {
	t := newTable()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}})
	mean := "mean over classes"
	if n := len(e.Worst(len(e.PerClass))); n < len(e.PerClass) {
		mean = fmt.Sprintf("mean over the %d of %d classes that occur", n, len(e.PerClass))
	}
	t.AppendRows([]table.Row{
		{"images", e.Images},
		{"top-1 accuracy", fmt.Sprintf("%.3f %%", 100*e.Top1Accuracy), fmt.Sprintf("error %.3f %%", 100*e.Top1Error)},
	})
	if len(e.PerClass) > 5 { // of five classes and fewer it says nothing
		t.AppendRow(table.Row{"top-5 accuracy", fmt.Sprintf("%.3f %%", 100*e.Top5Accuracy), fmt.Sprintf("error %.3f %%", 100*e.Top5Error)})
	}
	t.AppendRows([]table.Row{
		{"loss", number(e.Loss)},
		{"precision", percent(e.Precision), mean},
		{"recall", percent(e.Recall), mean},
		{"F1", percent(e.F1), mean},
		{"ECE", percent(e.ECE), "expected calibration error"},
	})
	if e.ImagesPerSecond > 0 {
		t.AppendRow(table.Row{"images/s", fmt.Sprintf("%.1f", e.ImagesPerSecond), "decoding included"})
	}
	return t.Render() + "\n"
}

func classTable(title string, classes []report.Class) string {
	t := newTable()
	t.AppendHeader(table.Row{title, "images", "right", "precision", "recall", "F1"})
	t.SetColumnConfigs(rightFrom(2, 6))
	for _, c := range classes {
		precision, recall, f1 := "-", "-", "-" // as in a training's card: of no photos there is no share
		if c.Support > 0 {
			recall, f1 = percent(c.Recall), percent(c.F1)
			if c.Predicted > 0 {
				precision = percent(c.Precision)
			}
		}
		t.AppendRow(table.Row{shown(c.Name), c.Support, c.Correct, precision, recall, f1})
	}
	return t.Render() + "\n"
}

func confusionTable(e *report.Evaluation, confused []report.Cell) string {
	t := newTable()
	t.AppendHeader(table.Row{"most confused", "taken for", "images"})
	t.SetColumnConfigs(rightFrom(3, 3))
	for _, c := range confused {
		of := fmt.Sprintf("%d of %d", c.Count, e.PerClass[c.True].Support)
		t.AppendRow(table.Row{shown(e.PerClass[c.True].Name), shown(e.PerClass[c.Predicted].Name), of})
	}
	return t.Render() + "\n"
}

// rightFrom aligns columns first to last, counted from 1, to the right.
func rightFrom(first, last int) []table.ColumnConfig {
	var configs []table.ColumnConfig
	for n := first; n <= last; n++ {
		configs = append(configs, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	return configs
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
