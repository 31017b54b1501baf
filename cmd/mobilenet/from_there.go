package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

// An inventory is what --resume finds done of a share.
type inventory struct{ parts, rows, failed, spoilt int }

func (i inventory) String() string {
	if i.parts == 0 {
		return ""
	}
	return fmt.Sprintf("; %s %s there: %d photos, %d failed", plural(i.parts, "part"), wasWere(i.parts), i.rows, i.failed)
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// done reports whether a part's results are there and whole. Files appear whole, but disks that
// run full, copies and editors don't keep them so: a part without some of its rows is written
// again. One with more failures than may be stays and is told of, since it was wanted so once.
func (l *rowList) done(p manifest.Part) (bool, error) {
	there, err := l.folder.Has(p)
	if !there || err != nil || !l.job.Shard.Owns(p.Number) { // others look at theirs
		return there, err
	}
	path := l.folder.Path(p)
	c, err := l.countPart(path)
	if err != nil {
		return false, err
	}
	limit := l.mayFail(p.Size)
	if missing := p.Size - c.rows; l.sparse && missing > 0 && missing <= limit {
		c.rows, c.failed = p.Size, missing
	}
	if c.cut || c.rows != p.Size {
		fmt.Fprintf(l.stderr, "mobilenet: %s has %d whole rows of %d: it is written again\n", shown(path), c.rows, p.Size)
		return false, nil
	}
	l.there.parts++
	l.there.rows += c.rows
	l.there.failed += c.failed
	if c.failed > limit {
		l.there.spoilt++
		fmt.Fprintf(l.stderr, "mobilenet: %d of the %d photos of %s failed, more than --max-errors %s%s\n", c.failed, c.rows, shown(path), l.limit(limit), c.first)
	}
	return true, nil
}

// A partCount is what a part's file has.
type partCount struct {
	rows, failed int
	first        string // of the photos that failed, and why, as firstFailed says it
	cut          bool   // the file ends within a row, or is none of results
}

func (l *rowList) countPart(path string) (partCount, error) {
	f, err := os.Open(path)
	if err != nil {
		return partCount{}, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	if l.csv {
		return l.countCSV(in)
	}
	return countLines(in)
}

// countLines counts lines of JSON without parsing them, of which embeddings have twelve
// kilobytes each: the result stands last, and an error is the only one that is a text.
func countLines(in *bufio.Reader) (partCount, error) {
	var c partCount
	var tail []byte // the last bytes of the line's pieces
	for whole := true; ; {
		piece, err := in.ReadSlice('\n')
		tail = append(tail, piece[max(0, len(piece)-3):]...)
		switch {
		case err == bufio.ErrBufferFull:
			whole = false
			continue
		case err == io.EOF:
			c.cut = c.cut || len(tail) > 0
			return c, nil
		case err != nil:
			return c, err
		}
		if !bytes.HasSuffix(tail, []byte("}\n")) {
			c.cut = true
			return c, nil
		}
		c.rows++
		if bytes.HasSuffix(tail, []byte("\"}\n")) {
			c.failed++
			if c.first == "" && whole {
				row, _ := manifest.ParseObject(bytes.TrimSuffix(piece, []byte("\n")))
				c.first = firstFailed(row.Path, string(bytes.Trim(row.Take("error"), `"`)))
			}
		}
		tail, whole = tail[:0], true
	}
}

// countCSV counts the photos of a CSV file: each has a line of rank 1, or one without a rank.
// The lines of the last photo may be some of its own: others tell how many there are.
func (l *rowList) countCSV(in *bufio.Reader) (partCount, error) {
	var c partCount
	last := &lastByte{Reader: in}
	r := csv.NewReader(last)
	r.ReuseRecord = true
	head, err := r.Read()
	columns := append(l.reader.Columns(), l.names...)
	if c.cut = err != nil || !slices.Equal(head, columns); c.cut {
		return c, notCSV(err)
	}
	name := slices.Index(columns, "path")
	if name < 0 {
		name = slices.Index(columns, "file")
	}
	rank, reason := len(columns)-len(l.names), len(columns)-1
	lines, most := 0, 0 // of a photo
	for {
		fields, err := r.Read()
		if err != nil {
			if c.cut = err != io.EOF || last.byte != '\n' || !l.uneven && lines > 0 && lines < most; c.cut {
				c.rows = max(c.rows-1, 0)
			}
			return c, notCSV(err)
		}
		lines++
		switch fields[rank] {
		case "1":
			c.rows++
			lines = 1
		case "":
			c.rows++
			lines = 0 // it has no classes
		}
		most = max(most, lines)
		if fields[reason] != "" {
			c.failed++
			c.first = cmp.Or(c.first, firstFailed(fields[name], fields[reason]))
		}
	}
}

// firstFailed ends a sentence about photos that failed.
func firstFailed(name, reason string) string {
	return fmt.Sprintf("; the first: %s: %s", shown(name), printable(reason))
}

// notCSV is the error of a file that can't be read, and nil where it can, and isn't CSV.
func notCSV(err error) error {
	if _, broken := errors.AsType[*csv.ParseError](err); broken || err == io.EOF {
		return nil
	}
	return err
}

// A lastByte is a reader that knows the last byte it gave.
type lastByte struct {
	io.Reader
	byte byte
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.byte = p[n-1]
	}
	return n, err
}
