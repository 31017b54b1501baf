package worker

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

// A Row names a photo: a file, an object, a URL; or a member of a tar shard that is one,
// by its name, or by where its bytes lie, or both.
type Row struct {
	Path   string `json:"path"`
	Member string `json:"member,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`

	// Columns are what else the row has: members of a JSON object without its braces. Its
	// result has them, too.
	Columns []byte `json:"-"`

	line int // that it was
}

// inShard reports whether the photo is a member of an archive.
func (r Row) inShard() bool { return r.Member != "" || r.Offset > 0 }

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

	line int // of the row
}

// maxLine bounds a row: S3's keys have 1024 bytes at most, and files' paths 4096, which
// are six times as many where JSON escapes them.
const maxLine = 1 << 18

// errLine is about a line that is no row.
var errLine = errors.New("not a row: want a JSON object with a path")

// resultNames are the members of a result that no row may have: there would be two.
var resultNames = []string{"predictions", "embedding", "explanation", "error", "model", "version"}

// parse reads a row. Beside an error there is what could be read of it, so that its result
// can be told from others.
func parse(line []byte) (Row, error) {
	columns, err := manifest.ParseObject(line)
	row := Row{Path: columns.Path}
	err = cmp.Or(err, columns.Err, columns.Unlike(resultNames...),
		columns.Take("member", &row.Member), columns.Take("offset", &row.Offset), columns.Take("size", &row.Size))
	if err == nil && (row.Offset < 0 || row.Size < 0) {
		err = errors.New("offset or size is negative")
	}
	if err != nil {
		columns = columns.Without(func(name string) bool { return name == "path" || slices.Contains(resultNames, name) })
	}
	others, e := columns.Others()
	row.Columns = others
	return row, cmp.Or(err, e)
}

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

// next returns the next row. Of a line that is none it returns errLine, wrapped, and goes
// on behind it.
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
			return Row{line: l.n}, fmt.Errorf("line %d: %w: it is longer than %d bytes", l.n, errLine, maxLine)
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
		row, err := parse(line)
		row.line = l.n
		if err != nil && row.Path != "" {
			return row, BadRow(err)
		}
		if err != nil {
			return row, fmt.Errorf("line %d: %w: %v", l.n, errLine, err)
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
	b = append(b, `{"path":`...)
	b = appendString(b, r.Path)
	if r.Member != "" {
		b = append(b, `,"member":`...)
		b = appendString(b, r.Member)
	}
	if len(r.Columns) > 0 {
		b = append(append(b, ','), r.Columns...)
	}
	if r.Error != "" {
		b = append(b, `,"error":`...)
		b = appendString(b, r.Error)
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
			b = appendString(b, p.Label)
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
	b = appendString(b, r.Model)
	b = append(b, `,"version":`...)
	b = appendString(b, r.Version)
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

// appendString writes a JSON string. What is no UTF-8 becomes the replacement character.
func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string can't fail
	return append(b, quoted...)
}
