package duplicates

import (
	"cmp"
	"context"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// mostRounds bounds the time where photos are alike by the million. Two are enough for
// 10,000 that are all alike. Groups are right after any of them, and might be fewer.
const mostRounds = 16

// groups makes groups of the rows that were compared.
func (s *scan) groups(ctx context.Context, l Linkage) ([][]int32, error) {
	if l == Connected {
		return s.joined.groups(), nil
	}
	c := newClusters(s)
	if err := c.joinAll(ctx, s.alike.pairs, nil); err != nil {
		return nil, err
	}
	// Where not all pairs that are alike could be kept, groups may be left that belong
	// together: their leaders are alike then, and not yet compared.
	for round := 1; round < mostRounds && s.alike.lost; round++ {
		leaders := c.leaders()
		again, err := s.among(leaders)
		if err != nil {
			return nil, err
		}
		again.skip = func(a, b int) bool { return c.foes[leaders[a]][leaders[b]] }
		if err := again.run(ctx); err != nil {
			return nil, err
		}
		if err := c.joinAll(ctx, again.alike.pairs, leaders); err != nil {
			return nil, err
		}
		if !again.alike.lost {
			break
		}
	}
	return c.all(), nil
}

// groups lists the trees of two rows and more, by their first row.
func (f forest) groups() [][]int32 {
	size := make([]int32, len(f))
	for i := range f {
		size[f.root(int32(i))]++
	}
	var all [][]int32
	place := map[int32]int{}
	for i := range f {
		r := f.root(int32(i))
		if size[r] < 2 {
			continue
		}
		if _, ok := place[r]; !ok {
			place[r] = len(all)
			all = append(all, make([]int32, 0, size[r]))
		}
		all[place[r]] = append(all[place[r]], int32(i))
	}
	return all
}

// clusters are groups in the making. Two of them that hold a pair which is not alike
// are foes, and so is whatever either becomes a part of: so no two rows are ever
// compared twice, and all takes as long as comparing each row with each, at most.
type clusters struct {
	s       *scan
	of      forest
	members map[int32][]int32 // of the clusters of two rows and more, by their root
	foes    map[int32]map[int32]bool

	exact    exact
	a, b     *rounded // rows side by side, for the kernel
	products []int32
}

// packed is how many rows of either cluster are compared at once.
const packed = 64

func newClusters(s *scan) *clusters {
	dim := s.m.Dim()
	return &clusters{
		s: s, of: newForest(s.rows.n), members: map[int32][]int32{}, foes: map[int32]map[int32]bool{},
		exact: exact{m: s.m, at: s.at}, a: newRounded(packed, dim), b: newRounded(packed, dim), products: make([]int32, packed*packed),
	}
}

func (c *clusters) rows(root int32) []int32 {
	if m := c.members[root]; m != nil {
		return m
	}
	return []int32{root}
}

// joinAll joins the clusters of each pair, the closest first, that may be joined. The
// rows of pairs are those of names, if there are any.
func (c *clusters) joinAll(ctx context.Context, pairs []Pair, names []int32) error {
	for i, p := range pairs {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if names != nil {
			p.A, p.B = names[p.A], names[p.B]
		}
		a, b := c.of.root(p.A), c.of.root(p.B)
		if a == b || c.foes[a][b] {
			continue
		}
		// Of two single rows the pair itself is all there is to compare.
		alike := c.members[a] == nil && c.members[b] == nil
		if !alike {
			var err error
			if alike, err = c.allAlike(ctx, c.rows(a), c.rows(b)); err != nil {
				return err
			}
		}
		if alike {
			c.join(a, b)
		} else {
			c.setFoes(a, b)
		}
	}
	return nil
}

func (c *clusters) setFoes(a, b int32) {
	for range 2 {
		if c.foes[a] == nil {
			c.foes[a] = map[int32]bool{}
		}
		c.foes[a][b] = true
		a, b = b, a
	}
}

func (c *clusters) join(a, b int32) {
	if a > b {
		a, b = b, a
	}
	// The longer list stays where it is; rows are sorted in the end.
	long, short := c.rows(a), c.rows(b)
	if len(long) < len(short) {
		long, short = short, long
	}
	c.members[a] = append(long, short...)
	delete(c.members, b)
	for foe := range c.foes[b] {
		delete(c.foes[foe], b)
		c.setFoes(a, foe)
	}
	delete(c.foes, b)
	c.of.join(a, b)
}

// allAlike reports whether every row of a is like every row of b.
func (c *clusters) allAlike(ctx context.Context, a, b []int32) (bool, error) {
	for some := range slices.Chunk(a, packed) {
		c.pack(c.a, some)
		for others := range slices.Chunk(b, packed) {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			c.pack(c.b, others)
			if ok, err := c.packedAlike(some, others); !ok || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func (c *clusters) pack(to *rounded, rows []int32) {
	for i, row := range rows {
		to.copyOf(i, c.s.rows, int(row))
	}
}

func (c *clusters) packedAlike(a, b []int32) (bool, error) {
	q := up(len(a), kernel.DotQueries)
	c.s.kernels.Dot(kernel.DotInt8{
		Dst: c.products, Rows: c.b.q, Queries: signed(c.a.q),
		N: up(len(b), kernel.DotRows), Q: q, Stride: c.a.stride,
	})
	c.exact.begin(c.s.rows.n)
	for j := range b {
		for i := range a {
			low, high := c.a.between(i, c.b, j, c.products[j*q+i])
			if low >= c.s.threshold {
				continue
			}
			if high < c.s.threshold {
				return false, nil
			}
			l, err := c.exact.likeness(int(a[i]), int(b[j]))
			if err != nil || l < c.s.threshold {
				return false, err
			}
		}
	}
	return true, nil
}

// leaders are the first rows of the clusters, those of one row among them if they are
// like any other row.
func (c *clusters) leaders() []int32 {
	alike := make([]bool, len(c.of))
	for i := range c.of {
		if r := c.s.joined.root(int32(i)); r != int32(i) {
			alike[r], alike[i] = true, true
		}
	}
	var all []int32
	for i := range c.of {
		if alike[i] && c.of.root(int32(i)) == int32(i) {
			all = append(all, int32(i))
		}
	}
	return all
}

// all lists the clusters of two rows and more.
func (c *clusters) all() [][]int32 {
	all := make([][]int32, 0, len(c.members))
	for _, rows := range c.members {
		slices.Sort(rows)
		all = append(all, rows)
	}
	slices.SortFunc(all, func(a, b []int32) int { return cmp.Compare(a[0], b[0]) })
	return all
}

// among is a scan of some of the rows.
func (s *scan) among(rows []int32) (*scan, error) {
	some := newRounded(len(rows), s.m.Dim())
	at := make([]int32, len(rows))
	for i, row := range rows {
		some.copyOf(i, s.rows, int(row))
		at[i] = row
		if s.at != nil {
			at[i] = s.at[row]
		}
	}
	again, err := newScan(s.m, some, Settings{Threshold: s.threshold, Threads: s.threads, most: s.most})
	if err == nil {
		again.at, again.near = at, false
	}
	return again, err
}
