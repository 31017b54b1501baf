package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/internal/rfc4180"
)

// A Division remembers what a model was trained with and what was held out. It
// knows images by their content: copies and what was moved or renamed, too.
//
// As a file it is a CSV of path, label, split ("train" or "val") and content, which
// [Open] also takes as data that comes divided.
type Division struct {
	rows  []divided
	parts map[digest]side // of images that can be read, as far as that is known
	short bool            // the digests are those of a summary
}

// A side of the division, or both: copies of an image may be on either.
type side struct{ train, val bool }

// divided is an image of a Division.
type divided struct {
	path, label, part string
	content           digest
}

// A digest tells images apart by their content, see Item.digest.
type digest [16]byte

// divisionHeader is the first line of a Division's file.
var divisionHeader = []string{"path", "label", "split", "content"}

// Divide looks at all images of a training set and of one that was held out, which
// may be nil. It leaves out what can't be opened: no model has learned of that. Where
// several files have the same content it decodes one of them: broken files are no copies
// of each other.
func Divide(ctx context.Context, train, val *Set) (*Division, error) {
	d := &Division{parts: map[digest]side{}}
	seen, copied := map[digest]int{}, map[digest]member{}
	for _, part := range []struct {
		name string
		set  *Set
	}{{"train", train}, {"val", val}} {
		if part.set == nil {
			continue
		}
		i := 0
		for content, err := range part.set.digests(ctx) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			item := part.set.Items[i]
			i++
			if err != nil {
				continue
			}
			path := item.Name
			if item.gray == nil {
				if path, err = filepath.Abs(path); err != nil {
					return nil, err
				}
			}
			d.add(divided{path, part.set.Classes[item.Label], part.name, content})
			if seen[content]++; seen[content] == 2 {
				copied[content] = member{part.set, i - 1}
			}
		}
	}
	ok, err := readable(ctx, slices.Collect(maps.Values(copied)))
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(d.parts, func(content digest, _ side) bool {
		of, several := copied[content]
		return several && !ok[of]
	})
	return d, nil
}

// A member is an image of a set.
type member struct {
	set *Set
	i   int
}

// readable finds out which images can be decoded. The only error is the context's.
func readable(ctx context.Context, all []member) (map[member]bool, error) {
	ok := map[member]bool{}
	i := 0
	for sound := range prefetch.Map(ctx, prefetch.Options{Workers: readers}, slices.Values(all), func(ctx context.Context, m member) (bool, error) {
		_, err := m.set.Image(ctx, m.i)
		return err == nil, nil
	}) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		ok[all[i]] = sound
		i++
	}
	return ok, nil
}

func (d *Division) add(r divided) {
	d.rows = append(d.rows, r)
	p := d.parts[r.content]
	p.train, p.val = p.train || r.part == "train", p.val || r.part == "val"
	d.parts[r.content] = p
}

// of is where an image was. One that was nowhere is on neither side.
func (d *Division) of(content digest) side {
	if d.short {
		content = content.short()
	}
	return d.parts[content]
}

// sound reports whether an image can be read, as far as that is known.
func (d *Division) sound(r divided) bool { return d.parts[r.content] != (side{}) }

// A Copy is an image of a Division whose content another one has, too.
type Copy struct {
	Path, Label string
	Of, OfLabel string // path and label of the other
}

// Shared returns the images that were held out, though one of the same content was
// trained with: they flatter a model. Like the other comparisons it passes over images
// that can't be read.
func (d *Division) Shared() []Copy {
	trained := map[digest]divided{}
	for _, r := range slices.Backward(d.rows) { // so that the first stays
		if r.part == "train" {
			trained[r.content] = r
		}
	}
	var copies []Copy
	for _, r := range d.rows {
		if of, there := trained[r.content]; there && r.part == "val" && d.sound(r) {
			copies = append(copies, Copy{r.path, r.label, of.path, of.label})
		}
	}
	return copies
}

// Contradictions returns the images whose content came before under another label: one
// of the two is wrong. The other is the first of that content.
func (d *Division) Contradictions() []Copy {
	first := map[digest]divided{}
	var copies []Copy
	for _, r := range d.rows {
		of, there := first[r.content]
		switch {
		case !d.sound(r):
		case !there:
			first[r.content] = r
		case of.label != r.label:
			copies = append(copies, Copy{r.path, r.label, of.path, of.label})
		}
	}
	return copies
}

// Known returns the names of those images of s whose content was trained with or held
// out: as a test they flatter a model. Images that can't be read are none of them.
func (d *Division) Known(ctx context.Context, s *Set) ([]string, error) {
	var known []member
	i := 0
	for content, err := range s.digests(ctx) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if d.of(content) != (side{}) && err == nil {
			known = append(known, member{s, i})
		}
		i++
	}
	ok, err := readable(ctx, known)
	var names []string
	for _, m := range known {
		if ok[m] {
			names = append(names, s.Items[m.i].Name)
		}
	}
	return names, err
}

// A place is where an image is in data that may have been moved: the last two parts of
// its path, and the part of the division.
type place struct{ folder, name, part string }

// placed is the image of a place. There may be several: folders of the same name.
type placed struct {
	place
	content digest
}

func (r divided) placed() placed {
	return placed{place{filepath.Base(filepath.Dir(r.path)), filepath.Base(r.path), r.part}, r.content}
}

// Changed returns the paths of images whose content is not what it was in another
// division of the same data. It knows them by the last two parts of their paths: all
// may have been moved. What only one of the two has is not among them.
func (d *Division) Changed(was *Division) []string {
	images, places := map[placed]int{}, map[place]int{}
	for _, r := range was.rows {
		images[r.placed()]++
		places[r.placed().place]++
	}
	var others []divided
	for _, r := range d.rows {
		at := r.placed()
		if images[at] == 0 {
			others = append(others, r)
			continue
		}
		images[at]--
		places[at.place]--
	}
	var paths []string
	for _, r := range others {
		if at := r.placed().place; places[at] > 0 {
			places[at]--
			paths = append(paths, r.path)
		}
	}
	return paths
}

// Moved returns the division with the paths that its images have in another one of the
// same data, which may have been moved. Images that the other doesn't have, as those that
// can't be opened for now, keep their paths.
func (d *Division) Moved(to *Division) *Division {
	paths := map[placed][]string{}
	for _, r := range to.rows {
		paths[r.placed()] = append(paths[r.placed()], r.path)
	}
	moved := *d
	moved.rows = slices.Clone(d.rows)
	for i, r := range moved.rows {
		if at := r.placed(); len(paths[at]) > 0 {
			moved.rows[i].path, paths[at] = paths[at][0], paths[at][1:]
		}
	}
	return &moved
}

// Write writes the CSV.
func (d *Division) Write(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write(divisionHeader)
	for _, r := range d.rows {
		out.Write([]string{r.path, r.label, r.part, hex.EncodeToString(r.content[:])})
	}
	out.Flush()
	return out.Error()
}

// ReadDivision reads what [Division.Write] wrote. It returns nil for a file that is
// not there or is another kind of table. Errors are those of reading the file, or
// *[fault.Error] with its line.
func ReadDivision(path string) (*Division, error) {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil, nil
	}
	data, err := boundedfile.Read(path, maxList)
	if err != nil {
		return nil, err
	}
	d, err := parseDivision(data)
	return d, fault.In(path, err)
}

func parseDivision(data []byte) (*Division, error) {
	d := &Division{parts: map[digest]side{}}
	if is, err := eachDivided(data, func(_ int, r divided) { d.add(r) }); !is || err != nil {
		return nil, err
	}
	return d, nil
}

// parseDivided reads the same as a table of images: byte for byte, where other tables may
// be anybody's, and names are not to have control characters.
func parseDivided(data []byte) (t *listing, is bool) {
	t = &listing{header: true, parts: true}
	labels := map[string]int32{}
	is, err := eachDivided(data, func(line int, r divided) {
		t.add(labels, row{path: r.path, line: int32(min(line, math.MaxInt32)), part: partByte(r.part)}, compose(r.label))
	})
	return t, is && err == nil && len(t.rows) > 0
}

// eachDivided calls f with every row and its line. is reports whether data is the file of
// a Division at all.
func eachDivided(data []byte, f func(line int, r divided)) (is bool, err error) {
	if !bytes.HasPrefix(data, []byte(strings.Join(divisionHeader, ","))) { // of other tables not a row is read
		return false, nil
	}
	record, rest, line := rfc4180.Cut(data)
	if header, err := rfc4180.Fields(record); err != nil || !slices.Equal(header, divisionHeader) {
		return false, nil
	}
	for lines := 0; len(rest) > 0; line += lines {
		first := line + 1
		if record, rest, lines = rfc4180.Cut(rest); len(record) == 0 {
			continue
		}
		if len(record) > maxRecord {
			return true, onLine(first, "a row of more than %d bytes; is a quotation mark left open?", maxRecord)
		}
		fields, err := rfc4180.Fields(record)
		if err == nil && len(fields) != len(divisionHeader) {
			err = fmt.Errorf("%d columns, but %d in the first line", len(fields), len(divisionHeader))
		}
		if err != nil {
			return true, onLine(first, "%v", err)
		}
		row := divided{path: fields[0], label: fields[1]}
		if row.part = map[string]string{"train": "train", "val": "val"}[fields[2]]; row.part == "" {
			return true, onLine(first, "%.40q in the column of parts: want train or val", fields[2])
		}
		if n, err := hex.Decode(row.content[:], []byte(fields[3][:min(len(fields[3]), 2*len(row.content))])); err != nil || n < len(row.content) || len(fields[3]) != 2*n {
			return true, onLine(first, "%.40q: want a digest of %d digits", fields[3], 2*len(row.content))
		}
		f(first, row)
	}
	return true, nil
}

// A Part is some images of a set: see [Division.Part].
type Part struct {
	*Set
	Others int // images of the set that are not among them
	Copies int // of the images, those whose content was trained with
}

// Part returns the images of a set whose content was trained with ("train"), those of
// which nothing was ("new"), or those that were held out or not there at the time
// ("val"): these may be copies of what was trained with, and are for a set of which it
// is known that it was held out. Images that can't be read count as not there. It looks
// at every image once.
func (d *Division) Part(ctx context.Context, s *Set, part string) (*Part, error) {
	belongs, ok := map[string]func(side) bool{
		"train": func(was side) bool { return was.train },
		"new":   func(was side) bool { return !was.train },
		"val":   func(was side) bool { return was.val || !was.train },
	}[part]
	if !ok {
		return nil, fmt.Errorf("part %q: want train, new or val", part)
	}
	only := *s
	only.Items = nil
	p := &Part{Set: &only}
	i := 0
	for content, err := range s.digests(ctx) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var was side
		if err == nil {
			was = d.of(content)
		}
		if belongs(was) {
			only.Items = append(only.Items, s.Items[i])
			if was.train {
				p.Copies++
			}
		} else {
			p.Others++
		}
		i++
	}
	return p, nil
}

// readers is how many files are looked at ahead: the time goes into waiting.
const readers = 8

// digests are those of all images, in order.
func (s *Set) digests(ctx context.Context) iter.Seq2[digest, error] {
	numbers := func(yield func(int) bool) {
		for i := range s.Items {
			if !yield(i) {
				return
			}
		}
	}
	return prefetch.Map(ctx, prefetch.Options{Workers: readers, Ahead: 4 * readers}, numbers, func(_ context.Context, i int) (digest, error) {
		return s.Items[i].digest()
	})
}

// How much of a compressed image tells it apart: two that differ have another size,
// or differ at once where their pixels begin, or in the checksum at the end. Of others
// all is looked at. So a list of a million photos takes minutes, not hours.
const (
	digestHead = 64 << 10
	digestTail = 4 << 10
	digestAll  = 256 << 20 // and no more, whatever it is
)

// digest is of the image's size in bytes and its content.
func (it Item) digest() (digest, error) {
	if it.gray != nil {
		return digestOf(bytes.NewReader(it.gray.pix), int64(len(it.gray.pix)))
	}
	info, err := os.Stat(it.Name)
	if err != nil {
		return digest{}, err
	}
	if !info.Mode().IsRegular() { // a pipe may never open
		return digest{}, fmt.Errorf("%s: not a file", it.Name)
	}
	f, err := os.Open(it.Name)
	if err != nil {
		return digest{}, err
	}
	defer f.Close()
	return digestOf(f, info.Size())
}

func digestOf(r io.ReaderAt, size int64) (d digest, err error) {
	head := make([]byte, min(size, digestHead))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return d, err
	}
	rest := io.NewSectionReader(r, int64(len(head)), digestAll)
	if isCompressed(head) {
		rest = io.NewSectionReader(r, max(int64(len(head)), size-digestTail), digestTail)
	}
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	h.Write(head)
	if _, err := io.Copy(h, rest); err != nil {
		return d, err
	}
	copy(d[:], h.Sum(nil))
	return d, nil
}

// isCompressed reports whether an image's bytes are compressed and end in a checksum
// or more of them: JPEG, PNG, GIF or WebP.
func isCompressed(head []byte) bool {
	for _, magic := range []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF8", "RIFF"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
