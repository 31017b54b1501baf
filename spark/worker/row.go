package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/spark/worker/rowjson"
)

// A Row names a photo, and has what else a result is to have.
type Row = rowjson.Row

// A Result is what became of a row. It has predictions, an embedding, an explanation or an
// error.
type Result struct {
	Path        string
	Member      string
	Columns     []byte // of the row
	Predictions []mobilenet.Prediction
	Embedding   []float32
	Explanation *Explanation
	Error       string
	Model       string // digest of the model's file
	Version     string // of this program

	Line int // of the row
}

// maxLine bounds a row, as it does in a manifest: S3's keys have 1024 bytes at most, and files'
// paths 4096, which are six times as many where JSON escapes them; the rest is for columns.
const maxLine = 1 << 20

// errLine is about a line that is no row.
var errLine = errors.New("not a row")

// BadRow is an error of [Job.Next] about one row, which has a result all the same.
func BadRow(err error) error { return badRow{err} }

type badRow struct{ error }

func (e badRow) Is(target error) bool { return target == errLine }

// errWait is no row, but says that whoever writes them waits for the results of those
// before.
var errWait = errors.New("no row before there are results")

// A lines reads rows, one a line; of a [Guard], if guarded.
type lines struct {
	r       *bufio.Reader
	n       int
	guarded bool
}

func newLines(r io.Reader, guarded bool) *lines {
	return &lines{r: bufio.NewReaderSize(r, maxLine), guarded: guarded}
}

// next returns the next row. Of a line that is none it returns a [BadRow], and goes on behind
// it.
func (l *lines) next() (Row, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		l.n++
		if err == bufio.ErrBufferFull {
			start := bytes.Clone(line[:maxFrame])
			for err == bufio.ErrBufferFull {
				_, err = l.r.ReadSlice('\n')
			}
			if err != nil && err != io.EOF {
				return Row{}, err
			}
			if l.guarded {
				l.n, _, _ = unframe(start)
			}
			return Row{Line: l.n}, BadRow(fmt.Errorf("line %d: a row of more than %d MiB", l.n, maxLine>>20))
		}
		if err != nil && err != io.EOF || err == io.EOF && len(line) == 0 {
			return Row{}, err
		}
		fate := ""
		if l.guarded {
			if len(line) == 1 {
				return Row{}, errWait
			}
			l.n, fate, line = unframe(line)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		row, err := rowjson.Parse(line)
		row.Line = l.n
		if err != nil && row.Path == "" && len(row.Columns) == 0 { // nothing else tells it from others
			err = fmt.Errorf("line %d: %w", l.n, err)
		}
		if err != nil {
			return row, BadRow(err)
		}
		if fate != "" {
			return row, BadRow(errors.New(fate))
		}
		return row, nil
	}
}

// append adds the result's line to b. Every float32 is written with as many digits as it
// takes to read it back, as one or as a double that is rounded to one.
func (r *Result) append(b []byte) []byte {
	b = rowjson.Append(b, r.Path, r.Member, r.Columns)
	if r.Error != "" {
		b = append(b, `,"error":`...)
		b = rowjson.AppendString(b, r.Error)
	}
	if r.Predictions != nil {
		b = append(b, `,"predictions":[`...)
		for i, p := range r.Predictions {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"index":`...)
			b = strconv.AppendInt(b, int64(p.Index), 10)
			b = append(b, `,"label":`...)
			b = rowjson.AppendString(b, p.Label)
			b = append(b, `,"probability":`...)
			b = appendFloat(b, p.Probability)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	if r.Embedding != nil {
		b = append(b, `,"embedding":[`...)
		for i, v := range r.Embedding {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendFloat(b, v)
		}
		b = append(b, ']')
	}
	if r.Explanation != nil {
		text, err := json.Marshal(r.Explanation)
		if err != nil { // of what is not finite, which Explain refuses
			panic(err)
		}
		b = append(append(b, `,"explanation":`...), text...)
	}
	b = append(b, `,"model":`...)
	b = rowjson.AppendString(b, r.Model)
	b = append(b, `,"version":`...)
	b = rowjson.AppendString(b, r.Version)
	return append(b, '}', '\n')
}

// appendFloat writes a finite value. JSON's readers of small numbers take 1e-07 as well
// as 0.0000001.
func appendFloat(b []byte, v float32) []byte {
	form := byte('f')
	if a := math.Abs(float64(v)); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(b, float64(v), form, -1, 32)
}
