package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// Options say what is wanted of a search.
type Options struct {
	Top      int                             // rows, at most; 0 means 10
	MinScore float64                         // leave out rows less like the query
	Match    func(row int, path []byte) bool // leave out other rows; nil means none. It is called on several goroutines
	Threads  int                             // 0 means all cores
}

// A Hit is a row that is like a query.
type Hit struct {
	Row   int
	Path  string
	Score float64 // the cosine of the angle between them: 1 for the same direction
}

// Search returns the rows most like each query, the best first, of equals the earlier
// row. Queries are vectors of Dim values; [Index.Project] makes them of features.
//
// The scores are exact, computed in float64 from the float32 values, and no row is left
// out that has a better one. Where the index has bytes only, the scores are what these
// say, right to about a hundredth.
func (x *Index) Search(ctx context.Context, queries [][]float32, o Options) ([][]Hit, error) {
	if o.Top < 0 || o.Top > maxRows {
		return nil, fmt.Errorf("options: Top is %d: want 1 or more", o.Top)
	}
	o.Top = min(cmp.Or(o.Top, 10), max(x.rows, 1))
	if math.IsNaN(o.MinScore) {
		return nil, fmt.Errorf("options: MinScore is not a number")
	}
	if o.MinScore == 0 {
		o.MinScore = math.Inf(-1)
	}
	set, err := kernelSet()
	if err != nil {
		return nil, err
	}
	for i, v := range queries {
		if len(v) != x.meta.Dim {
			return nil, fmt.Errorf("query %d has %d values, and rows have %d", i, len(v), x.meta.Dim)
		}
		if !finite(v) {
			return nil, fmt.Errorf("query %d: %w", i, ErrNotFinite)
		}
	}
	all := make([][]Hit, 0, len(queries))
	for some := range slices.Chunk(queries, queriesAtOnce) {
		s := newScan(x, set, some, o)
		if err := s.run(ctx); err != nil {
			return nil, err
		}
		hits, err := s.hits(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, hits...)
	}
	if err := guard(x.unchanged); err != nil {
		return nil, err
	}
	return all, nil
}

const (
	// queriesAtOnce share what is read of the rows. Their bytes lie in the second-level
	// cache, beside the rows': 160 KB at 1280 values.
	queriesAtOnce = 64
	// rowsAtOnce are multiplied by all queries before the next ones: 328 KB.
	rowsAtOnce = 256
)

// A scan compares all rows with some queries.
type scan struct {
	x       *Index
	set     *kernel.Int8
	o       Options
	queries []query
	planes  []int8 // [queries][2][stride]
	best    []candidates
}

func newScan(x *Index, set *kernel.Int8, vectors [][]float32, o Options) *scan {
	stride := x.meta.stride()
	s := &scan{x: x, set: set, o: o, planes: make([]int8, len(vectors)*2*stride), best: make([]candidates, len(vectors))}
	for i, v := range vectors {
		s.queries = append(s.queries, prepare(v, s.planes[2*i*stride:], stride))
		s.best[i].init(o)
	}
	return s
}

// run fills best with candidates, on all cores.
func (s *scan) run(ctx context.Context) error {
	spans := s.x.spans(rowsAtOnce)
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, min(workers(s.o.Threads), max(1, len(spans))))
	for w := range errs {
		group.Go(func() {
			products := make([]int32, rowsAtOnce*len(s.queries)*2)
			found := make([][]candidate, len(s.queries))
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(spans) {
					return
				}
				if errs[w] = guard(func() error { return s.span(spans[i], products, found) }); errs[w] != nil {
					next.Store(int64(len(spans)))
					return
				}
			}
		})
	}
	group.Wait()
	return cmp.Or(ctx.Err(), cmp.Or(errs...))
}

// span compares the rows of a span with all queries.
func (s *scan) span(sp span, products []int32, found [][]candidate) error {
	b, err := s.x.load(sp)
	if err != nil {
		return err
	}
	q := 2 * len(s.queries)
	s.set.Dot(kernel.DotInt8{
		Dst: products, Rows: b.Bytes, Queries: s.planes,
		N: up(b.Rows, kernel.DotRows), Q: q, Stride: b.Stride,
	})
	least := make([]float64, len(s.queries))
	for j := range least {
		least[j] = s.best[j].least()
		found[j] = found[j][:0]
	}
	for i := range b.Codes {
		r := newRowScore(&b.Codes[i])
		for j, p := 0, products[i*q:][:q]; j < len(s.queries); j++ {
			score, margin := r.of(&s.queries[j], p[2*j], p[2*j+1])
			if score+margin < least[j] || s.o.Match != nil && !s.o.Match(b.First+i, sp.b.path(sp.from+i)) {
				continue
			}
			found[j] = append(found[j], candidate{b.First + i, score - margin, score + margin})
		}
	}
	for j, some := range found {
		if len(some) > 0 {
			s.best[j].add(some)
		}
	}
	return nil
}

// A candidate is a row whose score is between two bounds.
type candidate struct {
	row       int
	low, high float64
}

// candidates are the rows that can still be among the best for a query.
type candidates struct {
	mu    sync.Mutex
	top   int
	rows  []candidate
	lows  lowHeap       // the top largest lower bounds, the least first
	bound atomic.Uint64 // bits of what a row's upper bound has to reach
	prune int           // how many rows there may be before those below the bound are dropped
}

func (c *candidates) init(o Options) {
	c.top, c.prune = o.Top, 1024
	c.bound.Store(math.Float64bits(o.MinScore))
}

func (c *candidates) least() float64 { return math.Float64frombits(c.bound.Load()) }

// add adds rows.
func (c *candidates) add(rows []candidate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	least := c.least()
	for _, r := range rows {
		if r.high < least {
			continue
		}
		c.rows = append(c.rows, r)
		c.lows.push(r.low, c.top)
		if len(c.lows) == c.top {
			least = max(least, c.lows[0])
		}
	}
	c.bound.Store(math.Float64bits(least))
	if len(c.rows) > c.prune {
		c.rows = slices.DeleteFunc(c.rows, func(r candidate) bool { return r.high < least })
		c.prune = max(1024, 2*len(c.rows))
	}
}

// A lowHeap is a heap whose first number is the least.
type lowHeap []float64

// push adds v, and drops the least where there are more than limit.
func (h *lowHeap) push(v float64, limit int) {
	s := *h
	if len(s) == limit {
		if v <= s[0] {
			return
		}
		at := 0
		for {
			child := 2*at + 1
			if child >= len(s) {
				break
			}
			if child+1 < len(s) && s[child+1] < s[child] {
				child++
			}
			if s[child] >= v {
				break
			}
			s[at], at = s[child], child
		}
		s[at] = v
		return
	}
	s = append(s, v)
	at := len(s) - 1
	for at > 0 && s[(at-1)/2] > v {
		s[at], at = s[(at-1)/2], (at-1)/2
	}
	s[at] = v
	*h = s
}

// hits are the best rows for each query.
func (s *scan) hits(ctx context.Context) ([][]Hit, error) {
	all := make([][]Hit, len(s.queries))
	errs := make([]error, len(s.queries))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers(s.o.Threads), len(s.queries)) {
		group.Go(func() {
			for ctx.Err() == nil {
				j := int(next.Add(1)) - 1
				if j >= len(s.queries) {
					return
				}
				errs[j] = guard(func() (err error) {
					all[j], err = s.rescore(&s.queries[j], &s.best[j])
					return err
				})
			}
		})
	}
	group.Wait()
	return all, cmp.Or(ctx.Err(), cmp.Or(errs...))
}

// rescore computes the scores of candidates, the highest bound first, until no bound
// reaches the best ones' scores.
func (s *scan) rescore(q *query, c *candidates) ([]Hit, error) {
	least := c.least()
	rows := slices.DeleteFunc(c.rows, func(r candidate) bool { return r.high < least })
	slices.SortFunc(rows, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.high, a.high), cmp.Compare(a.row, b.row))
	})
	var hits []Hit
	var scores lowHeap
	for _, r := range rows {
		if len(scores) == c.top && r.high < scores[0] {
			break
		}
		score := (r.low + r.high) / 2
		if !s.x.meta.BytesOnly {
			b, i := s.x.block(r.row)
			v, err := s.x.floats(b, i)
			if err != nil {
				return nil, err
			}
			if score = q.exact(v); math.IsNaN(score) {
				return nil, fault.Brokenf("row %d is damaged: it is not finite", r.row)
			}
		}
		if score < s.o.MinScore {
			continue
		}
		hits = append(hits, Hit{Row: r.row, Score: score})
		scores.push(score, c.top)
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Row, b.Row))
	})
	hits = hits[:min(len(hits), c.top)]
	for i := range hits {
		hits[i].Path = s.x.Path(hits[i].Row)
		hits[i].Score = max(-1, min(1, hits[i].Score)) // rounding may be beyond, of bytes by a hundredth
	}
	return hits, nil
}
