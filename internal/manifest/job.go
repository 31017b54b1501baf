package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"github.com/mobilenet-go/mobilenet/fault"
)

// maxPart bounds the bytes of a part's rows, which are in memory together.
const maxPart = 64 << 20

// A Job is what a process does of a manifest.
type Job struct {
	Shard    Shard
	Rows     int    // in a part
	Settings string // what else the results depend on: the model, flags
	// Done reports whether a part need not be done again. Nil means that all are to be
	// done.
	Done func(Part) (bool, error)
}

// A Part is some rows after another, whose results are written together.
type Part struct {
	Number         int
	rows, settings string // digests
	Rows           []Row
}

// Name is that of a part's file without its ending. Besides the number it has a digest
// of the rows and one of the settings: what is there under this name are these rows'
// results and no others.
func (p Part) Name() string { return fmt.Sprintf("part-%06d-%s-%s", p.Number, p.rows, p.settings) }

// Parts yields the parts that are to be done, in order. An error is the last pair, and the
// first in the list; beside it are the rows of its part that come before it, of which no
// part can be made. The rows of other shards and of parts that are done are skipped unparsed; a
// part is in memory at a time.
func (j Job) Parts(r *Reader) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		settings := digest([]byte(j.Settings))
		for number := 0; ; number++ {
			records, err := j.read(r, j.Shard.owns(number))
			part := Part{Number: number, settings: settings}
			if err != nil && err != io.EOF {
				if e := part.parse(r, records); e != nil { // of a row before it
					err = e
				}
				yield(part, err)
				return
			}
			if len(records) > 0 {
				ok, err := j.fill(&part, r, records)
				if err != nil {
					yield(part, err)
					return
				}
				if ok && !yield(part, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
		}
	}
}

// read reads the rows of a part, and keeps them if they are wanted. The last part comes
// with io.EOF.
func (j Job) read(r *Reader, wanted bool) ([]record, error) {
	var records []record
	bytes := 0
	for range j.Rows {
		rec, err := r.next()
		if err != nil {
			return records, err
		}
		if !wanted {
			continue
		}
		if bytes += len(rec.text); bytes > maxPart {
			return records, rec.at(fault.TooLargef("the rows of a part have more than %d MiB", maxPart>>20))
		}
		records = append(records, rec)
	}
	return records, nil
}

// fill makes rows of a part's records, unless it is done.
func (j Job) fill(part *Part, r *Reader, records []record) (bool, error) {
	texts := make([][]byte, len(records))
	for i, rec := range records {
		texts[i] = rec.text
	}
	part.rows = digest(texts...)
	if j.Done != nil {
		if done, err := j.Done(*part); done || err != nil {
			return false, err
		}
	}
	return true, part.parse(r, records)
}

// parse makes rows of records, up to one that is none.
func (p *Part) parse(r *Reader, records []record) error {
	p.Rows = make([]Row, 0, len(records))
	for _, rec := range records {
		row, err := r.parse(rec)
		if err != nil {
			return err
		}
		p.Rows = append(p.Rows, row)
	}
	return nil
}

// digest tells texts apart: 32 bits against chance, and nobody gains by a forgery.
func digest(texts ...[]byte) string {
	h := sha256.New()
	var size [8]byte
	for _, text := range texts {
		binary.LittleEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}
