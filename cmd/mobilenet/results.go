package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/mobilenet-go/mobilenet"
)

// results writes what became of photos, as it comes.
type results interface {
	add(file string, p []mobilenet.Prediction) error
	fail(file string, cause error) error // only where errors are in line
	close() error
}

func newResults(format string, w io.Writer, errorsInLine bool) results {
	switch format {
	case "json":
		return jsonResults{w}
	case "csv":
		return &csvResults{w: csv.NewWriter(w), errors: errorsInLine}
	}
	return tableResults{w}
}

// jsonResults writes an object a line.
type jsonResults struct{ w io.Writer }

func (r jsonResults) add(file string, p []mobilenet.Prediction) error {
	return r.write(struct {
		jsonFile
		predicted
	}{jsonFileOf(file), predictedOf(p)})
}

// predicted is what JSON has of a photo.
type predicted struct {
	Predictions []mobilenet.Prediction `json:"predictions"`
}

func predictedOf(p []mobilenet.Prediction) predicted {
	if p == nil {
		p = []mobilenet.Prediction{} // [] and not null
	}
	return predicted{p}
}

func (r jsonResults) fail(file string, cause error) error {
	return r.write(struct {
		jsonFile
		Error string `json:"error"`
	}{jsonFileOf(file), reason(cause)})
}

func (r jsonResults) write(object any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		return err
	}
	return writeJSON(r.w, b.Bytes())
}

func (r jsonResults) close() error { return nil }

// csvResults writes a line per prediction, best first, and one for a photo without
// any.
type csvResults struct {
	w       *csv.Writer
	errors  bool // in a column
	started bool
}

func (r *csvResults) add(file string, p []mobilenet.Prediction) error {
	for _, line := range csvPredictions(p) {
		if err := r.write(append([]string{file}, line...)...); err != nil {
			return err
		}
	}
	return nil
}

// csvColumns are those of a photo's predictions, or of its error.
var csvColumns = []string{"rank", "index", "label", "probability", "error"}

// csvPredictions are lines of csvColumns, at least one.
func csvPredictions(p []mobilenet.Prediction) [][]string {
	if len(p) == 0 {
		return [][]string{make([]string, len(csvColumns))}
	}
	var lines [][]string
	for rank, v := range p {
		probability := strconv.FormatFloat(float64(v.Probability), 'f', 6, 32)
		lines = append(lines, []string{strconv.Itoa(rank + 1), strconv.Itoa(v.Index), v.Label, probability, ""})
	}
	return lines
}

func (r *csvResults) fail(file string, cause error) error {
	return r.write(file, "", "", "", "", reason(cause))
}

// write writes a line whose last field is an error.
func (r *csvResults) write(fields ...string) error {
	r.head()
	for i, f := range fields {
		fields[i] = shown(f)
	}
	if !r.errors {
		fields = fields[:len(fields)-1]
	}
	r.w.Write(fields)
	r.w.Flush()
	return r.w.Error()
}

func (r *csvResults) head() {
	if !r.started {
		r.started = true
		head := append([]string{"file"}, csvColumns...)
		if !r.errors {
			head = head[:len(head)-1]
		}
		r.w.Write(head)
	}
}

func (r *csvResults) close() error {
	r.head()
	r.w.Flush()
	return r.w.Error()
}

// tableResults writes a small table per photo.
type tableResults struct{ w io.Writer }

func (r tableResults) add(file string, p []mobilenet.Prediction) error {
	t := newTable()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, Align: text.AlignRight}})
	for _, v := range p {
		t.AppendRow(table.Row{percent(float64(v.Probability)), shown(v.Label)})
	}
	lines := t.Render()
	if len(p) == 0 {
		lines = "  no class is probable enough"
	}
	_, err := io.WriteString(r.w, shown(file)+"\n"+lines+"\n")
	return err
}

func (r tableResults) fail(file string, cause error) error {
	_, err := fmt.Fprintf(r.w, "%s\n  error: %s\n", shown(file), shown(reason(cause)))
	return err
}

func (r tableResults) close() error { return nil }

// newTable is a table without lines, as all of this program's are.
func newTable() table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "  ", ""
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}
