// Package shard reads members of tar archives, WebDataset's shards, plain or packed by gzip.
//
// It knows nothing of where archives lie, so that it is small enough to be fuzzed: whoever
// calls it opens them, and takes what is found.
package shard

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Member is a file in an archive. Offset says where its bytes begin, if that is known: a
// block of 512 bytes at least, its header, comes before. Archives that are compressed have
// no offsets.
type Member struct {
	Name         string
	Offset, Size int64

	// In a list: why no row can name it, and whether it is one in an archive without offsets
	// that has the name of an earlier one, which its row would give.
	Left  error
	Again bool
}

// End is behind the member's last byte.
func (m Member) End() int64 { return m.Offset + max(0, m.Size) }

// A Picking is which members are wanted, and what becomes of them.
type Picking struct {
	Members []Member
	// Take reads size bytes from r, which are those of all of these members, or settles them
	// without. Its errors are r's: they end the reading.
	Take func(which []int, r io.Reader, size int64) error
	// Fail says what is wrong with member i.
	Fail func(i int, err error)
}

// block is the unit that tar archives are made of.
const block = 512

// gap is how many bytes between two members are read rather than asked for anew.
const gap = 256 << 10

// Sort puts numbers of members into the order of their offsets.
func (p *Picking) Sort(placed []int) {
	slices.SortFunc(placed, func(i, j int) int { return int(min(1, max(-1, p.Members[i].Offset-p.Members[j].Offset))) })
}

// Together returns how many of the members, in the order of their offsets, are read with
// one request.
func (p *Picking) Together(placed []int) int {
	end := p.Members[placed[0]].End()
	for n := 1; n < len(placed); n++ {
		m := p.Members[placed[n]]
		if m.Offset-end > gap {
			return n
		}
		end = max(end, m.End())
	}
	return len(placed)
}

// Span is the part of the archive that has neighbours and the header before each.
func (p *Picking) Span(which []int) (start, end int64) {
	start = p.Members[which[0]].Offset - block
	for _, i := range which {
		end = max(end, p.Members[i].End())
	}
	return start, end
}

// Range reads neighbours from body, which is their span; size is what body has, -1 if nobody
// knows. The header before each is read, too: a wrong offset must not give another photo the
// name of this one. What it returns is to be read anew: rows for the same bytes, or offsets
// that overlap.
func (p *Picking) Range(body io.Reader, size int64, which []int) (rest []int, err error) {
	c := &counting{r: body, size: size}
	judge := func(err error) error {
		if err = c.judge(err); errors.Is(err, errCut) {
			return ErrBehind
		}
		return err
	}
	r := bufio.NewReaderSize(c, 64<<10)
	pos, _ := p.Span(which)
	for n, i := range which {
		m := p.Members[i]
		if m.Offset-block < pos {
			return which[n:], nil
		}
		if _, err := io.CopyN(io.Discard, r, m.Offset-block-pos); err != nil {
			return nil, judge(err)
		}
		var head [block]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, judge(err)
		}
		pos = m.Offset
		if err := m.check(head[:]); err != nil {
			p.Fail(i, err)
			continue
		}
		if err := p.Take([]int{i}, r, m.Size); err != nil {
			return nil, judge(err)
		}
		pos += m.Size
	}
	return nil, nil
}

// otherSize is about a row that names a size, or none beside a place, which isn't the member's.
func otherSize(is, row int64) error {
	return fault.Brokenf("that member has %d bytes, and the row's size is %d", is, row)
}

// errSparse is about a member of which the archive has parts, so that no place has its bytes.
var errSparse error = fault.Unsupportedf("a sparse file (tar --sparse), whose bytes lie apart: a row with its name, and without offset and size, reads it")

// ErrPacked is about an offset in an archive whose bytes lie elsewhere.
var ErrPacked error = fault.Unsupportedf("the archive is packed: its members have names, and no offsets")

// ErrOffset is about an offset before which there is no header.
var ErrOffset error = fault.Brokenf("no member of the archive begins there")

// ErrBehind is about a place that the archive doesn't have.
var ErrBehind error = fault.Brokenf("the archive ends before that: it is cut off, or the place is another's")

// check holds a member's header against what the row says of it. Headers have the name's
// first 100 bytes at 0, in octal the size at 124, and at 148 the sum of their bytes, itself
// taken for spaces: that is what tells a header, since old ones don't say ustar at 257.
func (m Member) check(head []byte) error {
	size, err1 := octal(head[124:136])
	sum, err2 := octal(head[148:156])
	for i, b := range head {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum -= int64(b)
	}
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	prefix, _, _ := bytes.Cut(head[345:500], []byte{0})
	switch header := err1 == nil && err2 == nil && sum == 0; {
	case !header && isSparseMap(head):
		return errSparse
	case !header:
		return ErrOffset
	case head[156] == tar.TypeGNUSparse, bytes.Contains(slices.Concat(prefix, name), []byte("GNUSparseFile.")):
		return errSparse
	case size < m.Size: // in version 0.0 the header alone doesn't tell
		return fault.Brokenf("that member has %d bytes, and the row's size is %d, which may be that of a sparse file (tar --sparse): such a one is read by its name alone", size, m.Size)
	case size != m.Size:
		return otherSize(size, m.Size)
	}
	// A longer name stands elsewhere, and so may one with other letters.
	plain := len(m.Name) <= 100 && !bytes.ContainsFunc([]byte(m.Name), func(r rune) bool { return r < ' ' || r > '~' })
	if !bytes.HasPrefix(head[257:], []byte("ustar")) {
		prefix = nil
	}
	if m.Name != "" && plain && len(prefix) == 0 && string(name) != m.Name {
		return fault.Brokenf("the member that begins there is %s", fault.Shown(string(name)))
	}
	return nil
}

// isSparseMap reports whether a block is of the numbers, octal or decimal, that GNU tar puts
// between the header of a sparse file and its bytes.
func isSparseMap(block []byte) bool {
	return bytes.ContainsAny(block, "0123456789") && len(bytes.Trim(block, "0123456789\n \x00\x01")) == 0
}

func octal(field []byte) (int64, error) {
	return strconv.ParseInt(string(bytes.Trim(field, " \x00")), 8, 64)
}

// Scan finds members by their names in body, which is the whole archive. Of several with the
// same name it is the first. A size that a row has beside the name has to be the member's.
func (p *Picking) Scan(body io.Reader, size int64, which []int) error {
	wanted := map[string][]int{}
	for _, i := range which {
		wanted[p.Members[i].Name] = append(wanted[p.Members[i].Name], i)
	}
	c := &counting{r: body, size: size}
	plain, err := decompressed(c)
	if err != nil {
		return c.judge(err)
	}
	archive := tar.NewReader(plain)
	left := map[string]error{}
	for first := true; len(wanted) > 0; first = false {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if first && errors.Is(err, tar.ErrHeader) {
			return errNoArchive
		}
		if err != nil {
			return c.judge(err)
		}
		rows := wanted[h.Name]
		if why := noFile(h); len(rows) == 0 || why != nil {
			if len(rows) > 0 && left[h.Name] == nil {
				left[h.Name] = why
			}
			continue
		}
		delete(wanted, h.Name)
		rows = slices.DeleteFunc(rows, func(i int) bool {
			other := p.Members[i].Size > 0 && p.Members[i].Size != h.Size
			if other {
				p.Fail(i, otherSize(h.Size, p.Members[i].Size))
			}
			return other
		})
		if len(rows) == 0 {
			continue
		}
		if err := p.Take(rows, archive, h.Size); err != nil {
			return c.judge(err)
		}
	}
	for name, rows := range wanted {
		err := cmp.Or(left[name], errNoMember)
		for _, i := range rows {
			p.Fail(i, err)
		}
	}
	return nil
}

var errNoArchive error = fault.Brokenf("not a tar archive, and the row names a member")

var errNoMember error = fault.Brokenf("the archive has no such file")

// errLink is about a member that has no bytes of its own.
var errLink error = fault.Unsupportedf("a link to another file, which is not followed in archives")

// noFile is why a member is no file whose bytes can be read.
func noFile(h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse: // tar has the second for the first, where it is alike
		return nil
	case tar.TypeLink, tar.TypeSymlink:
		return errLink
	}
	return fault.Unsupportedf("no file, and no link: tar's type %q", h.Typeflag)
}

// isFolder reports whether a header is of no member: of a folder, which incremental archives
// have a type of their own for, or of what holds for all members.
func isFolder(h *tar.Header) bool {
	return h.Typeflag == tar.TypeDir || h.Typeflag == 'D' || h.Typeflag == tar.TypeXGlobalHeader
}

// IsNamed reports whether a name is that of an archive, and of a packed one.
func IsNamed(name string) (archive, packed bool) {
	name = strings.ToLower(name)
	packed = strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
	return packed || strings.HasSuffix(name, ".tar"), packed
}

// decompressed unpacks what gzip packed.
func decompressed(packed *counting) (io.Reader, error) {
	b := bufio.NewReaderSize(packed, 64<<10)
	if _, err := b.Peek(2); err != nil {
		return nil, err
	} else if !begins(b) {
		return b, nil
	}
	z, err := NewGunzip(b)
	if err != nil {
		return nil, err
	}
	return &unpacked{z: z, packed: packed}, nil
}

// Photos are packed already: a shard gains a percent or two. One that unpacks to maxRatio
// times its size, beyond what a shard of blank bitmaps is, was made to keep its reader busy.
const (
	maxRatio = 100
	freely   = 64 << 20
)

// unpacked is what gzip unpacks, within bounds.
type unpacked struct {
	z      *Gunzip
	packed *counting
	n      int64
}

func (u *unpacked) Read(b []byte) (int, error) {
	n, err := u.z.Read(b)
	if u.n += int64(n); u.n > freely && u.n > maxRatio*u.packed.n {
		return 0, fault.TooLargef("an archive that unpacks to more than %d times its size", maxRatio)
	}
	return n, err
}

// List yields the files in an archive, with their offsets where these can be used, and what
// else it has but for folders, with the reason why it is left out. An error of yield is returned as it is. An archive without the empty blocks of its
// end may have been cut off between two members.
func List(body io.Reader, yield func(Member) error) error {
	packed := &counting{r: body, size: -1}
	plain, err := decompressed(packed)
	if err != nil {
		return packed.judge(err)
	}
	_, compressed := plain.(*unpacked)
	c := &counting{r: plain}
	archive := tar.NewReader(c)
	end := int64(0) // of the last member
	names, held := map[string]bool{}, 0
	for {
		h, err := archive.Next()
		if err == io.EOF && c.n < end+block {
			return errNoEnd
		}
		if err == io.EOF && compressed { // the checksum stands behind what tar reads
			_, err = io.Copy(io.Discard, plain)
			return packed.judge(err)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return packed.judge(err)
		}
		if isFolder(h) {
			end = c.n
			continue
		}
		m := Member{Name: h.Name, Offset: c.n, Size: h.Size, Left: noFile(h)}
		sparse := m.Left == nil && isSparse(h)
		if end = c.n; m.Left == nil && !sparse {
			end += (h.Size + block - 1) / block * block
		}
		if sparse && !compressed { // of two of one name a row without a place would give the first
			m.Left = errSparse
		}
		if compressed {
			m.Offset, m.Size = 0, 0
		}
		if compressed && m.Left == nil {
			if m.Again = names[m.Name]; !m.Again {
				names[m.Name] = true
				held += perName + len(m.Name)
			}
			if held > maxHeld {
				return fault.TooLargef("a packed archive of %d files, whose names take more than %d MiB to tell apart", len(names), maxHeld>>20)
			}
		}
		if err := yield(m); err != nil {
			return err
		}
	}
}

// maxHeld bounds the memory for a packed archive's names, which are kept while it is listed:
// some 2 million. perName is about what a name takes besides its bytes.
const (
	maxHeld = 256 << 20
	perName = 64
)

// isSparse reports whether a file has fewer bytes in the archive than its size is.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

var errNoEnd error = fault.Brokenf("the archive has no end: it may have been cut off between two files")

// counting counts what was read: after a header of a tar archive, where its bytes begin.
type counting struct {
	r      io.Reader
	n      int64
	size   int64 // of all of it, -1 if nobody knows
	failed bool  // whether r did
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.failed = c.failed || err != nil && err != io.EOF
	return n, err
}

// judge tells the errors of a damaged archive, which stay, from those of its transport and of
// whoever waits no longer. An end that comes too early is the archive's if all of it has been
// read. Packages tar and gzip have more errors than those that they export.
func (c *counting) judge(err error) error {
	early := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	_, judged := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		return nil
	case early && c.n < c.size:
		return fmt.Errorf("the answer ended after %d of %d bytes", c.n, c.size)
	case judged, c.failed, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	if early {
		return errCut
	}
	return fault.Brokenf("a damaged archive: %v", err)
}

var errCut error = fault.Brokenf("a damaged archive: it ends too early")
