// Package manifest is lists of photos that are too long for one process or one machine:
// read a row at a time, dealt out to shards, and their results written in parts that are
// whole or absent.
//
//	r, err := manifest.NewReader(file)            // JSON lines or CSV
//	folder, err := manifest.OpenFolder(dir, ".jsonl")
//	job := manifest.Job{Shard: shard, Rows: 1000, Settings: model + flags, Done: folder.Has}
//	for part, err := range job.Parts(r) {
//		for _, row := range part.Rows { // row.Path, row.JSON(result)
//		}
//		err = folder.Write(part, lines)
//	}
//
// Part k is rows k*Rows to (k+1)*Rows-1, whatever the number of shards, and belongs to
// shard k mod Count. So the same manifest gives the same files with the same bytes
// however often it is run, by however many processes; a job that was begun on 16 machines
// can be ended on one.
package manifest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/rfc4180"
)

// maxRecord bounds a row's bytes: a path has at most 4096, and a signed URL 2048.
const maxRecord = 1 << 20

// pathColumns are the names of the column that says which photo it is: the first of them in
// which a row has something. The second is what predict calls it in its own results.
var pathColumns = []string{"path", "file"}

// A Reader reads a manifest: JSON lines, an object each, or CSV with a head.
type Reader struct {
	lines   *bufio.Reader
	csv     bool
	end     byte     // of a line
	columns []string // of the head, or of the first object
	line    int      // of the file, that was read last
	pending *record  // read already, to see the columns
}

// A record is the bytes of a row, and the line where it begins.
type record struct {
	text []byte
	line int
}

// NewReader finds out which kind of manifest r is, and what its columns are called.
func NewReader(r io.Reader) (*Reader, error) {
	m := &Reader{lines: bufio.NewReaderSize(r, 1<<16), end: '\n'}
	if mark, _ := m.lines.Peek(3); string(mark) == "\xef\xbb\xbf" { // as Excel writes it
		m.lines.Discard(3)
	}
	begin, err := m.lines.Peek(1)
	for err == nil && strings.IndexByte(" \t\r\n", begin[0]) >= 0 {
		if begin[0] == '\n' {
			m.line++
		}
		m.lines.Discard(1)
		begin, err = m.lines.Peek(1)
	}
	switch {
	case err == io.EOF:
		return m, nil // no rows
	case err != nil:
		return nil, err
	case starts(m.lines, "\x1f\x8b"):
		return nil, fault.Unsupportedf("packed by gzip; gunzip -c FILE | mobilenet predict --from - reads what is in it")
	case starts(m.lines, "PAR1"):
		return nil, fault.Unsupportedf("a Parquet file, which mobilenet-spark reads; JSON lines and CSV are read here")
	case starts(m.lines, "\xff\xfe"), starts(m.lines, "\xfe\xff"), starts(m.lines, "{\x00"), starts(m.lines, "\x00{"):
		return nil, fault.Unsupportedf("UTF-16, as Windows' programs write it; want UTF-8: iconv -f UTF-16 -t UTF-8 FILE makes it")
	case begin[0] == '[':
		return nil, fault.Unsupportedf("a JSON array; want an object a line, as jq -c '.[]' makes of it")
	}
	if m.csv = begin[0] != '{'; m.csv {
		m.end = lineEnd(m.lines)
	}
	if err := m.readHead(); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(m.columns, func(name string) bool { return slices.Contains(pathColumns, name) }) {
		return nil, fault.Brokenf("no column is called %s: the columns are %s%s", strings.Join(pathColumns, " or "), fault.Shown(strings.Join(m.columns, ", ")), m.hint())
	}
	return m, nil
}

// hint is what may be meant by a list without a column for the path.
func (m *Reader) hint() string {
	for _, name := range m.columns {
		if lower := strings.ToLower(name); slices.Contains(pathColumns, lower) {
			return fmt.Sprintf("; %s has to be written %s", fault.Shown(name), lower)
		}
	}
	switch {
	case !m.csv || len(m.columns) > 1:
	case strings.ContainsAny(m.columns[0], ";\t"):
		return "; columns are separated by commas, and not by ; or tabs"
	default:
		return "; a list of paths is CSV if its first line is path"
	}
	return ""
}

func starts(r *bufio.Reader, text string) bool {
	begin, _ := r.Peek(len(text))
	return string(begin) == text
}

// lineEnd looks how the head of a CSV file ends: by a line feed, or as old Macs' programs and some
// of Excel's formats have it by a carriage return alone. No more is read ahead than that.
func lineEnd(r *bufio.Reader) byte {
	inQuotes := false
	for n := 1; ; n++ {
		head, err := r.Peek(n)
		if err != nil { // of a head that ends the file, or is longer than anybody's
			return '\n'
		}
		switch c := head[n-1]; {
		case c == '"':
			inQuotes = !inQuotes
		case c == '\n' && !inQuotes:
			return '\n'
		case c == '\r' && !inQuotes:
			if next, err := r.Peek(n + 1); err != nil || next[n] == '\n' {
				return '\n'
			}
			return '\r'
		}
	}
}

// readHead reads what the columns are called.
func (m *Reader) readHead() error {
	first, err := m.next()
	if err != nil {
		return err
	}
	if m.csv {
		m.columns, err = rfc4180.Fields(first.text)
	} else {
		m.pending = &first
		var row Row
		row, err = ParseObject(first.text)
		for _, c := range row.columns {
			m.columns = append(m.columns, c.name)
		}
	}
	if err != nil {
		return first.broken(err)
	}
	if name, twice := firstTwice(m.columns); twice {
		return first.broken(fmt.Errorf("two columns are called %s", cmp.Or(fault.Shown(name), `""`)))
	}
	return nil
}

// CSV reports whether it is a CSV file.
func (m *Reader) CSV() bool { return m.csv }

// Columns are the names of a CSV file's columns, or of the first object's members.
func (m *Reader) Columns() []string { return slices.Clone(m.columns) }

// Unlike returns an error if one of the columns has one of these names, which are those of
// the results. Objects of JSON lines may have others than the first of them: see
// [Row.Unlike].
func (m *Reader) Unlike(results ...string) error {
	for _, name := range m.columns {
		if slices.Contains(results, name) {
			return fault.Unsupportedf("column %s has the name of one of the results", fault.Shown(name))
		}
	}
	return nil
}

// Count reads what remains and returns how many rows it has, up to one that can't be read.
func (m *Reader) Count() (rows int64) {
	for {
		if _, err := m.next(); err != nil {
			return rows
		}
		rows++
	}
}

// firstTwice returns a name that is there twice, if one is.
func firstTwice(names []string) (name string, twice bool) {
	seen := make(map[string]bool, len(names)) // of a megabyte of names each with all others would take seconds
	for _, name := range names {
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}

// next returns the bytes of the next row, or io.EOF. To skip a row costs no more.
func (m *Reader) next() (record, error) {
	if r := m.pending; r != nil {
		m.pending = nil
		return *r, nil
	}
	for {
		r := record{line: m.line + 1}
		var err error
		inQuotes := false
		for open := true; open; { // a line, and in CSV those after a line end in quotes
			var piece []byte
			piece, err = m.lines.ReadSlice(m.end)
			if len(r.text)+len(piece) > maxRecord {
				return record{}, r.at(fault.TooLargef("a row of more than %d MiB", maxRecord>>20))
			}
			r.text = append(r.text, piece...)
			if m.csv && bytes.Count(piece, []byte{'"'})%2 == 1 { // those inside quotes are doubled, and change nothing
				inQuotes = !inQuotes
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			m.line++
			open = err == nil && inQuotes
		}
		if err != nil && err != io.EOF {
			return record{}, err
		}
		if r.text = bytes.TrimSuffix(r.text, []byte{m.end}); m.end == '\n' {
			r.text = bytes.TrimSuffix(r.text, []byte("\r"))
		} else {
			r.text = bytes.TrimPrefix(r.text, []byte("\n")) // of \r\r\n
		}
		if len(bytes.TrimSpace(r.text)) > 0 {
			return r, nil
		}
		if err == io.EOF {
			return record{}, io.EOF
		}
	}
}

// at puts the place in an error.
func (r record) at(e *fault.Error) *fault.Error {
	e.Place = fmt.Sprintf("line %d", r.line)
	return e
}

func (r record) broken(err error) error {
	return r.at(&fault.Error{Kind: fault.Broken, Reason: err.Error(), Err: err})
}

// parse makes a row of a record.
func (m *Reader) parse(r record) (Row, error) {
	if !m.csv {
		row, err := ParseObject(r.text)
		if err != nil {
			return row, r.broken(err)
		}
		row.Line = r.line
		return row, nil
	}
	fields, err := rfc4180.Fields(r.text)
	if err == nil && len(fields) != len(m.columns) {
		err = fmt.Errorf("%d fields where the first line has %d", len(fields), len(m.columns))
	}
	if err != nil {
		return Row{}, r.broken(err)
	}
	row := Row{Line: r.line}
	for i, text := range fields {
		row.columns = append(row.columns, column{name: m.columns[i], text: text})
	}
	row.Path, row.Err = row.photo()
	return row, nil
}

var errNoPath = errors.New("this row has no path")
