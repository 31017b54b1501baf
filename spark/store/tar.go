package store

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Member is a file in a tar archive: a shard of WebDataset's. Offset says where its
// bytes begin, if that is known: a block of 512 bytes at least, its header, comes
// before. Shards that are compressed have no offsets.
type Member struct {
	Name         string
	Offset, Size int64
}

// gap is how many bytes between two members are read rather than asked for anew.
const gap = 256 << 10

// Members reads members of the shard called name and calls use for each of them once, in
// any order, with its bytes or its error. An error of its own says that nothing can be
// read now; use was called for some members then.
//
// Members with offsets are read from there, neighbours with a single request. The others
// are found by reading the archive once.
func (s *Store) Members(ctx context.Context, name string, members []Member, b *Budget, use func(i int, d Data, err error)) error {
	at, err := locate(name)
	if err != nil {
		for i := range members {
			use(i, Data{}, err)
		}
		return nil
	}
	p := &picking{s: s, at: at, members: members, budget: b, use: use, done: make([]bool, len(members))}
	var placed []int
	for i, m := range members {
		switch {
		case m.Size > b.most():
			p.settle(i, Data{}, b.tooLarge())
		case m.Offset > 0:
			placed = append(placed, i)
		}
	}
	slices.SortFunc(placed, func(i, j int) int { return int(min(1, max(-1, members[i].Offset-members[j].Offset))) })
	for len(placed) > 0 {
		n := together(members, placed)
		if err := p.run(ctx, placed[:n], p.readRange); err != nil {
			return err
		}
		placed = placed[n:]
	}
	var named []int
	for i := range members {
		if !p.done[i] {
			named = append(named, i)
		}
	}
	return p.run(ctx, named, p.scan)
}

// together returns how many of the members, in the order of their offsets, are read with
// one request.
func together(members []Member, placed []int) int {
	end := members[placed[0]].end()
	for n := 1; n < len(placed); n++ {
		m := members[placed[n]]
		if m.Offset-end > gap {
			return n
		}
		end = max(end, m.end())
	}
	return len(placed)
}

func (m Member) end() int64 { return m.Offset + max(0, m.Size) }

// A picking is members of a shard on their way.
type picking struct {
	s       *Store
	at      location
	members []Member
	budget  *Budget
	use     func(i int, d Data, err error)
	done    []bool
	settled int
}

func (p *picking) settle(i int, d Data, err error) {
	p.done[i] = true
	p.settled++
	p.use(i, d, err)
}

// run reads the members that are still to do with read, again if it breaks off. While it
// gets further each time, that is not counted.
func (p *picking) run(ctx context.Context, which []int, read func(context.Context, []int, *watch) error) error {
	for {
		which = slices.DeleteFunc(which, func(i int) bool { return p.done[i] })
		if len(which) == 0 {
			return nil
		}
		err := p.s.attempt(ctx, p.at, func(ctx context.Context, w *watch) error {
			before := p.settled
			err := read(ctx, which, w)
			if p.settled > before {
				return nil
			}
			return err
		})
		if isUnreachable(err) || ctx.Err() != nil {
			return cmp.Or(err, ctx.Err())
		}
		if err != nil { // about the shard, and so about each member
			for _, i := range which {
				p.settle(i, Data{}, err)
			}
		}
	}
}

// block is the unit that tar archives are made of.
const block = 512

// readRange reads neighbours. The header before each is read, too: a wrong offset must
// not give another photo the name of this one.
func (p *picking) readRange(ctx context.Context, which []int, w *watch) error {
	first := p.members[which[0]]
	start := first.Offset - block
	end := first.end()
	for _, i := range which {
		end = max(end, p.members[i].end())
	}
	if start < 0 {
		p.settle(which[0], Data{}, errOffset)
		return p.again(ctx, which[1:], w)
	}
	body, size, err := p.s.open(ctx, p.at, start, end-start)
	if err != nil {
		return err
	}
	defer body.Close()
	c := &counting{r: reader{body, w}, size: size}
	r := bufio.NewReaderSize(c, 64<<10)
	pos := start
	for n, i := range which {
		m := p.members[i]
		if m.Offset-block < pos { // two rows for the same bytes, or offsets that overlap
			return p.again(ctx, which[n:], w)
		}
		if _, err := io.CopyN(io.Discard, r, m.Offset-block-pos); err != nil {
			return c.judge(err)
		}
		var head [block]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return c.judge(err)
		}
		pos = m.Offset
		if err := m.check(head[:]); err != nil {
			p.settle(i, Data{}, err)
			continue
		}
		if err := p.take(ctx, i, r, m.Size, w); err != nil {
			return c.judge(err)
		}
		pos += m.Size
	}
	return nil
}

func (p *picking) again(ctx context.Context, which []int, w *watch) error {
	if len(which) == 0 {
		return nil
	}
	return p.readRange(ctx, which, w)
}

var errOffset error = fault.Brokenf("no member of the archive begins there")

// check holds a member's header against what the row says of it. Headers have the name's
// first 100 bytes at 0, the size in octal at 124, and ustar at 257.
func (m Member) check(head []byte) error {
	size, err := strconv.ParseInt(string(bytes.Trim(head[124:136], " \x00")), 8, 64)
	if err != nil || !bytes.HasPrefix(head[257:], []byte("ustar")) || size != m.Size {
		return errOffset
	}
	// A longer name stands elsewhere, and so may one with other letters.
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	prefix, _, _ := bytes.Cut(head[345:500], []byte{0})
	plain := len(m.Name) <= 100 && !bytes.ContainsFunc([]byte(m.Name), func(r rune) bool { return r < ' ' || r > '~' })
	if m.Name != "" && plain && len(prefix) == 0 && string(name) != m.Name {
		return fault.Brokenf("the member that begins there is %s", fault.Shown(string(name)))
	}
	return nil
}

// take reads the bytes of a member.
func (p *picking) take(ctx context.Context, i int, r io.Reader, size int64, w *watch) error {
	if size > p.budget.most() {
		p.settle(i, Data{}, p.budget.tooLarge())
		_, err := io.CopyN(io.Discard, r, size)
		return err
	}
	release, err := p.budget.wait(ctx, w, size)
	if err != nil {
		return err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		release()
		return err
	}
	p.settle(i, Data{data, release}, nil)
	return nil
}

// scan finds members by their names. Of several with the same name it is the first.
func (p *picking) scan(ctx context.Context, which []int, w *watch) error {
	wanted := map[string][]int{}
	for _, i := range which {
		wanted[p.members[i].Name] = append(wanted[p.members[i].Name], i)
	}
	body, size, err := p.s.open(ctx, p.at, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	c := &counting{r: reader{body, w}, size: size}
	plain, err := decompressed(c)
	if err != nil {
		return c.judge(err)
	}
	archive := tar.NewReader(plain)
	for len(wanted) > 0 {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.judge(err)
		}
		rows := wanted[h.Name]
		if len(rows) == 0 || h.Typeflag != tar.TypeReg {
			continue
		}
		delete(wanted, h.Name)
		if err := p.take(ctx, rows[0], archive, h.Size, w); err != nil {
			return c.judge(err)
		}
		for _, i := range rows[1:] {
			p.settle(i, Data{}, errors.New("the same member as another row"))
		}
	}
	for _, rows := range wanted {
		for _, i := range rows {
			p.settle(i, Data{}, errNoMember)
		}
	}
	return nil
}

var errNoMember error = fault.Brokenf("the archive has no such file")

// decompressed unpacks what gzip packed.
func decompressed(packed *counting) (io.Reader, error) {
	b := bufio.NewReaderSize(packed, 64<<10)
	if head, err := b.Peek(2); err != nil {
		return nil, err
	} else if !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
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
	z      *gzip.Reader
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

// ListMembers yields the files in a shard, with their offsets where these can be used.
func (s *Store) ListMembers(ctx context.Context, name string, yield func(Member) error) error {
	at, err := locate(name)
	if err != nil {
		return err
	}
	body, _, err := s.open(ctx, at, 0, -1)
	if err != nil {
		return fault.In(fault.Shown(name), err)
	}
	defer body.Close()
	packed := &counting{r: body, size: -1}
	plain, err := decompressed(packed)
	if err != nil {
		return fault.In(fault.Shown(name), packed.judge(err))
	}
	_, compressed := plain.(*unpacked)
	c := &counting{r: plain, size: -1}
	archive := tar.NewReader(c)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", fault.Shown(name), c.judge(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		m := Member{Name: h.Name, Offset: c.n, Size: h.Size}
		if compressed {
			m.Offset, m.Size = 0, 0
		}
		if err := yield(m); err != nil {
			return err
		}
	}
}

// counting counts what was read: after a header of a tar archive, where its bytes begin.
type counting struct {
	r    io.Reader
	n    int64
	size int64 // of all of it, -1 if nobody knows
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// judge tells the errors of a damaged archive, which stay, from those of its transport. An
// end that comes too early is the archive's if all of it has been read.
func (c *counting) judge(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	early := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case early && c.n < c.size:
		return fmt.Errorf("the answer ended after %d of %d bytes", c.n, c.size)
	case early, errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), corrupt:
		return fault.Brokenf("a damaged archive: %v", err)
	}
	return err
}
