package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/search"
)

// A vectorFormat is a kind of file that features of photos are written to. An index is
// made whole or grows; all others are written in one go.
type vectorFormat struct {
	write func(path string, v *vectors) error
	read  func(path string) (*vectors, error) // for --append
}

const indexEnding = ".mnidx"

// vectorFormats are by the endings of names.
var vectorFormats = map[string]vectorFormat{
	indexEnding: {writeIndex, nil},
	".npy":      {writeNPY, readNPY},
	".jsonl":    {writeJSONL, readJSONL},
	".parquet":  {writeParquet, nil},
}

var vectorEndings = []string{indexEnding, ".npy", ".jsonl", ".parquet"}

// vectors are the features of photos, as they are to be written or were read.
type vectors struct {
	meta       search.Meta
	projection []float32 // for an index: see search.Create
	bytes      bool      // to be written as bytes
	n          int
	rows       iter.Seq2[search.Row, error]
	close      func() error
}

// vectorOptions say what becomes of rows before they are written.
type vectorOptions struct {
	normalized, bytes bool
	pca               int
}

// vectorsOf are the rows of an index of features.
func vectorsOf(ctx context.Context, x *search.Index, o vectorOptions) (*vectors, error) {
	v := &vectors{meta: x.Meta(), bytes: o.bytes, n: x.Len()}
	if o.pca > 0 {
		var err error
		if v.projection, err = x.Components(ctx, o.pca); err != nil {
			return nil, err
		}
		v.meta.Features, v.meta.Dim = v.meta.Dim, o.pca
	}
	v.meta.Normalized = v.meta.Normalized || o.normalized
	v.rows = func(yield func(search.Row, error) bool) {
		for r, err := range x.All() {
			if err == nil && o != (vectorOptions{bytes: o.bytes}) {
				r.Vector, err = search.Project(&v.meta, v.projection, r.Vector)
			}
			if err == nil {
				err = ctx.Err()
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
	return v, nil
}

// writeIndex writes an index, beside its place until it is whole.
func writeIndex(path string, v *vectors) error {
	part := path + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	m := v.meta
	m.BytesOnly = v.bytes
	w, err := search.Create(part, m, v.projection)
	if err != nil {
		return err
	}
	for r, rowErr := range v.rows {
		if err = rowErr; err == nil {
			err = w.Add(r.Path, r.Vector)
		}
		if err == nil && w.Pending() >= segmentRows {
			err = w.Commit()
		}
		if err != nil {
			break
		}
	}
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(part)
		return err
	}
	return os.Rename(part, path)
}

// segmentRows is what a segment of a new index has: 26 MB of memory at 1280 values.
const segmentRows = 4096

// The paths of an array, and what it is of, are in a file of their own.
func npyPaths(path string) string { return path + ".jsonl" }

// writeNPY writes an array, and before it the paths.
func writeNPY(path string, v *vectors) error {
	paths, err := os.CreateTemp("", "mobilenet-paths-*")
	if err != nil {
		return err
	}
	defer os.Remove(paths.Name())
	defer paths.Close()
	lines := bufio.NewWriter(paths)
	kind := "<f4"
	if v.bytes {
		kind = "|i1"
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		if err := search.WriteNPYHead(w, kind, v.n, v.meta.Dim); err != nil {
			return err
		}
		if err := writeLine(lines, firstLine{v.meta}); err != nil {
			return err
		}
		for r, err := range v.rows {
			if err != nil {
				return err
			}
			line := vectorLine{jsonFile: jsonFileOf(r.Path)}
			if v.bytes {
				q, scale := search.Int8(r.Vector)
				line.Scale = &scale
				err = binary.Write(w, binary.LittleEndian, q)
			} else {
				err = binary.Write(w, binary.LittleEndian, r.Vector)
			}
			if err == nil {
				err = writeLine(lines, line)
			}
			if err != nil {
				return err
			}
		}
		if err := lines.Flush(); err != nil {
			return err
		}
		return atomicfile.Write(npyPaths(path), func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(paths, 0, 1<<62))
			return err
		})
	})
}

// firstLine is the first of a file of lines.
type firstLine struct {
	Meta search.Meta `json:"mobilenet"`
}

// A vectorLine is one of the others.
type vectorLine struct {
	jsonFile
	Embedding []float32 `json:"embedding,omitempty"`
	Bytes     []int8    `json:"int8,omitempty"`
	Scale     *float32  `json:"scale,omitempty"`
}

func writeLine(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return writeJSON(w, b.Bytes())
}

func writeJSONL(path string, v *vectors) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		if err := writeLine(w, firstLine{v.meta}); err != nil {
			return err
		}
		for r, err := range v.rows {
			if err != nil {
				return err
			}
			line := vectorLine{jsonFile: jsonFileOf(r.Path), Embedding: r.Vector}
			if v.bytes {
				q, scale := search.Int8(r.Vector)
				line = vectorLine{jsonFile: jsonFileOf(r.Path), Bytes: q, Scale: &scale}
			}
			if err := writeLine(w, line); err != nil {
				return err
			}
		}
		return nil
	})
}

// A lineReader reads a file of lines, the first of which is about the model.
type lineReader struct {
	f    *os.File
	in   *bufio.Scanner
	line int
	meta search.Meta
}

// maxLine is more than a line of MaxDim numbers has.
const maxLine = 1 << 20

func openLines(path string) (*lineReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &lineReader{f: f, in: bufio.NewScanner(f)}
	r.in.Buffer(nil, maxLine)
	var first struct{ Mobilenet *search.Meta }
	if err := r.next(&first); err != nil || first.Mobilenet == nil {
		f.Close()
		return nil, fault.In(path, fault.Unsupportedf("its first line does not say what model it is of: want a file that mobilenet embed wrote"))
	}
	r.meta = *first.Mobilenet
	return r, nil
}

// next reads a line, io.EOF behind the last one.
func (r *lineReader) next(v any) error {
	r.line++
	if !r.in.Scan() {
		if r.in.Err() != nil {
			return &fault.Error{Place: fmt.Sprintf("line %d", r.line), Reason: r.in.Err().Error()}
		}
		return io.EOF
	}
	if err := json.Unmarshal(r.in.Bytes(), v); err != nil {
		return &fault.Error{Place: fmt.Sprintf("line %d", r.line), Reason: err.Error()}
	}
	return nil
}

// vector reads a line of a photo.
func (r *lineReader) vector(embedding bool) (search.Row, error) {
	var v vectorLine
	if err := r.next(&v); err != nil {
		return search.Row{}, err
	}
	if v.name() == "" || embedding && len(v.Embedding) != r.meta.Dim {
		return search.Row{}, &fault.Error{Place: fmt.Sprintf("line %d", r.line), Reason: fmt.Sprintf("want a file and an embedding of %d numbers", r.meta.Dim)}
	}
	return search.Row{Path: v.name(), Vector: v.Embedding}, nil
}

func readJSONL(path string) (*vectors, error) {
	r, err := openLines(path)
	if err != nil {
		return nil, err
	}
	return &vectors{meta: r.meta, close: r.f.Close, rows: func(yield func(search.Row, error) bool) {
		for {
			row, err := r.vector(true)
			if err == io.EOF || !yield(row, err) || err != nil {
				return
			}
		}
	}}, nil
}

func readNPY(path string) (*vectors, error) {
	a, err := search.OpenNPY(path)
	if err != nil {
		return nil, err
	}
	r, err := openLines(npyPaths(path))
	if err != nil {
		a.Close()
		return nil, err
	}
	closed := func() error { return errors.Join(a.Close(), r.f.Close()) }
	if a.Dim != r.meta.Dim {
		closed()
		return nil, fault.In(path, fault.Brokenf("rows of %d values, and %s says %d", a.Dim, npyPaths(path), r.meta.Dim))
	}
	return &vectors{meta: r.meta, n: a.Rows, close: closed, rows: func(yield func(search.Row, error) bool) {
		for i := range a.Rows {
			row, err := r.vector(false)
			if err == io.EOF {
				err = fault.Brokenf("%s has fewer paths than the array rows", npyPaths(path))
			}
			if err == nil {
				row.Vector, err = a.Row(i)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}}, nil
}

// endingOf is the ending of a name that says which format it is.
func endingOf(path string) string {
	for _, e := range vectorEndings {
		if strings.HasSuffix(strings.ToLower(path), e) {
			return e
		}
	}
	return ""
}
