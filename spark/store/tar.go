package store

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/spark/store/shard"
)

// A Member is a file in a tar archive: a shard of WebDataset's.
type Member = shard.Member

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
	p := &picking{s: s, at: at, budget: b, use: use, done: make([]bool, len(members))}
	p.Members = members
	p.Fail = func(i int, err error) { p.settle(i, Data{}, err) }
	var placed []int
	for i, m := range members {
		switch {
		case m.Size > b.most():
			p.Fail(i, b.tooLarge())
		case m.Offset > 0:
			placed = append(placed, i)
		}
	}
	p.Sort(placed)
	for len(placed) > 0 {
		n := p.Together(placed)
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

// A picking is members of a shard on their way.
type picking struct {
	shard.Picking
	s       *Store
	at      location
	budget  *Budget
	use     func(i int, d Data, err error)
	done    []bool
	settled int
}

func (p *picking) settle(i int, d Data, err error) {
	if _, packed := shard.IsNamed(p.at.key); packed && (err == shard.ErrOffset || err == shard.ErrBehind) {
		err = shard.ErrPacked
	}
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

// readRange reads neighbours.
func (p *picking) readRange(ctx context.Context, which []int, w *watch) error {
	for len(which) > 0 {
		start, end := p.Span(which)
		if start < 0 {
			p.Fail(which[0], shard.ErrOffset)
			which = which[1:]
			continue
		}
		body, size, err := p.s.open(ctx, p.at, start, end-start)
		if status(err) == http.StatusRequestedRangeNotSatisfiable {
			for _, i := range which {
				p.Fail(i, shard.ErrBehind)
			}
			return nil
		}
		if err != nil {
			return err
		}
		p.Take = p.taking(ctx, w)
		which, err = p.Range(reader{body, w}, size, which)
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// scan finds members by their names.
func (p *picking) scan(ctx context.Context, which []int, w *watch) error {
	body, size, err := p.s.open(ctx, p.at, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	p.Take = p.taking(ctx, w)
	return p.Scan(reader{body, w}, size, which)
}

// taking returns what takes the bytes of members, which all have the same ones, once there is
// room for them.
func (p *picking) taking(ctx context.Context, w *watch) func(which []int, r io.Reader, size int64) error {
	return func(which []int, r io.Reader, size int64) error {
		if size > p.budget.most() {
			for _, i := range which {
				p.Fail(i, p.budget.tooLarge())
			}
			return nil // of an archive that is scanned: what tar skips is less, of a sparse file
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
		var left atomic.Int64
		left.Store(int64(len(which)))
		for _, i := range which {
			p.settle(i, Data{data, func() {
				if left.Add(-1) == 0 {
					release()
				}
			}}, nil)
		}
		return nil
	}
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
	var broken error // of yield
	err = shard.List(body, func(m Member) error {
		broken = yield(m)
		return broken
	})
	if broken != nil {
		return broken
	}
	return fault.In(fault.Shown(name), err)
}
