package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
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
	// Done reports whether a part need not be done again. It is asked of the other shards'
	// parts, too, which have no rows then: they are wrong where this shard's would be. Nil
	// means that all are to be done.
	Done func(Part) (bool, error)
}

// A Part is some rows after another, whose results are written together.
type Part struct {
	Number         int
	Size           int    // rows, also where they are skipped
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
		all := newDigest()
		all.add([]byte(j.Settings))
		settings := all.text()
		for number := 0; ; number++ {
			own := j.Shard.Owns(number)
			part := Part{Number: number, settings: settings}
			records, n, err := j.read(r, &part, own)
			last := err == io.EOF
			if err != nil && !last {
				if e := part.parse(r, records); e != nil { // of a row before it
					err = e
				}
				yield(part, err)
				return
			}
			if n > 0 {
				done, err := j.done(part)
				if own && !done && err == nil {
					err = part.parse(r, records)
				}
				if (err != nil || own && !done) && !yield(part, err) || err != nil {
					return
				}
			}
			if last {
				return
			}
		}
	}
}

func (j Job) done(p Part) (bool, error) {
	if j.Done == nil {
		return false, nil
	}
	return j.Done(p)
}

// read reads the n rows of a part, and keeps them if they are wanted. The last part comes
// with io.EOF.
func (j Job) read(r *Reader, part *Part, wanted bool) (records []record, n int, err error) {
	rows := newDigest()
	bytes := 0
	for n < j.Rows {
		var rec record
		if rec, err = r.next(); err != nil {
			break
		}
		n++
		rows.add(rec.text)
		if !wanted {
			continue
		}
		if bytes += len(rec.text); bytes > maxPart {
			return records, n, rec.at(fault.TooLargef("the rows of a part have more than %d MiB", maxPart>>20))
		}
		records = append(records, rec)
	}
	part.rows, part.Size = rows.text(), n
	return records, n, err
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

// A digest tells texts apart: 32 bits against chance, and nobody gains by a forgery.
type digest struct {
	hash.Hash
	buffer []byte
}

func newDigest() *digest { return &digest{Hash: sha256.New()} }

func (d *digest) add(text []byte) {
	d.buffer = append(binary.LittleEndian.AppendUint64(d.buffer[:0], uint64(len(text))), text...)
	d.Write(d.buffer)
}

func (d *digest) text() string { return hex.EncodeToString(d.Sum(nil)[:4]) }
