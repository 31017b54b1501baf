package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/mobilenet-go/mobilenet"
)

// results writes predictions as they come.
type results interface {
	add(file string, p []mobilenet.Prediction) error
	close() error
}

func newResults(format string, w io.Writer) results {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return jsonResults{e}
	case "csv":
		return &csvResults{w: csv.NewWriter(w)}
	}
	return tableResults{w}
}

// jsonResults writes an object a line.
type jsonResults struct{ e *json.Encoder }

func (r jsonResults) add(file string, p []mobilenet.Prediction) error {
	return r.e.Encode(struct {
		File        string                 `json:"file"`
		Predictions []mobilenet.Prediction `json:"predictions"`
	}{file, p})
}

func (r jsonResults) close() error { return nil }

// csvResults writes a line per prediction, best first.
type csvResults struct {
	w       *csv.Writer
	started bool
}

func (r *csvResults) add(file string, p []mobilenet.Prediction) error {
	r.head()
	for rank, v := range p {
		r.w.Write([]string{
			file, strconv.Itoa(rank + 1), strconv.Itoa(v.Index), v.Label,
			strconv.FormatFloat(float64(v.Probability), 'f', 6, 32),
		})
	}
	r.w.Flush()
	return r.w.Error()
}

func (r *csvResults) head() {
	if !r.started {
		r.started = true
		r.w.Write([]string{"file", "rank", "index", "label", "probability"})
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
		percent := strconv.FormatFloat(100*float64(v.Probability), 'f', 1, 64) + " %"
		t.AppendRow(table.Row{percent, shown(v.Label)})
	}
	_, err := io.WriteString(r.w, shown(file)+"\n"+t.Render()+"\n")
	return err
}

func (r tableResults) close() error { return nil }

// shown makes a name fit for a terminal: one with control characters is quoted,
// with escapes as in Go.
func shown(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return name
	}
	return strconv.QuoteToGraphic(name)
}

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
