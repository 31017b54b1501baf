package report

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
)

// WriteFolder writes everything to a folder that exists: evaluation.json,
// classes.csv, confusion_matrix.csv and .png, and reliability.png.
func (e *Evaluation) WriteFolder(dir string) error {
	if err := clean(dir, "evaluation.json", "classes.csv", "confusion_matrix.csv", "confusion_matrix.png", "reliability.png"); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"evaluation.json", e.WriteJSON}, {"classes.csv", e.WriteCSV}, {"confusion_matrix.csv", e.WriteConfusionCSV},
	} {
		if err := atomicfile.Write(in(f.name), f.write); err != nil {
			return err
		}
	}
	if err := WriteConfusionPNG(in("confusion_matrix.png"), e); err != nil {
		return err
	}
	return WriteReliabilityPNG(in("reliability.png"), e)
}

// clean removes from a folder what a process that was killed left of files half-written.
func clean(dir string, names ...string) error {
	for _, name := range names {
		if err := atomicfile.Clean(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes the evaluation as a JSON object and a line break.
func (e *Evaluation) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

// WriteSummaryCSV writes the overall measures: a header and a line, named as in
// the JSON.
func (e *Evaluation) WriteSummaryCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{
		"images", "top1_accuracy", "top1_error", "top5_accuracy", "top5_error", "loss", "ece",
		"macro_precision", "macro_recall", "macro_f1", "images_per_second",
	})
	row := []string{strconv.Itoa(e.Images)}
	for _, v := range []float64{
		e.Top1Accuracy, e.Top1Error, e.Top5Accuracy, e.Top5Error, e.Loss, e.ECE,
		e.Precision, e.Recall, e.F1, e.ImagesPerSecond,
	} {
		row = append(row, decimal(v))
	}
	out.Write(row)
	out.Flush()
	return out.Error()
}

// WriteCSV writes a line per class, with a header.
func (e *Evaluation) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"index", "class", "support", "predicted", "correct", "precision", "recall", "f1"})
	for _, c := range e.PerClass {
		out.Write([]string{
			strconv.Itoa(c.Index), printable(c.Name), strconv.Itoa(c.Support), strconv.Itoa(c.Predicted), strconv.Itoa(c.Correct),
			decimal(c.Precision), decimal(c.Recall), decimal(c.F1),
		})
	}
	out.Flush()
	return out.Error()
}

// WriteConfusionCSV writes the confusion matrix: a line per true class and a
// column per predicted one, both with names. As in the picture, classes that do
// not occur are left out: of a million, most.
func (e *Evaluation) WriteConfusionCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	m := newMatrix(e)
	row := []string{"true \\ predicted"}
	for _, c := range m.classes {
		row = append(row, printable(c.Name))
	}
	out.Write(row)
	rest := m.cells
	for _, of := range m.classes {
		row[0] = printable(of.Name)
		for k, c := range m.classes {
			row[1+k] = "0"
			if len(rest) > 0 && rest[0].True == of.Index && rest[0].Predicted == c.Index {
				row[1+k] = strconv.Itoa(rest[0].Count)
				rest = rest[1:]
			}
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

// decimal writes v with the digits that float32 arithmetic can vouch for.
func decimal(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// printable returns a name as it is, or quoted with escapes as in Go if it has
// control characters: people look at these files in terminals.
func printable(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return name
	}
	return strconv.QuoteToGraphic(name)
}
