package duplicates

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A Pair is two rows and how alike they are, 1 being the most. A < B.
type Pair struct {
	A, B     int32
	Likeness float32
}

// closer orders pairs, the most alike first.
func closer(p, q Pair) int {
	return cmp.Or(cmp.Compare(q.Likeness, p.Likeness), cmp.Compare(p.A, q.A), cmp.Compare(p.B, q.B))
}

// best keeps the closest pairs, most of them, whatever the order in which they come.
type best struct {
	most  int
	pairs []Pair
	floor float64 // no pair less alike can be among them
	lost  bool    // there were more
}

func (b *best) add(p Pair) {
	if float64(p.Likeness) < b.floor {
		b.lost = true
		return
	}
	if b.pairs = append(b.pairs, p); len(b.pairs) >= 2*b.most {
		b.cut()
	}
}

// cut sorts the pairs, and drops those that are too many.
func (b *best) cut() {
	slices.SortFunc(b.pairs, closer)
	if len(b.pairs) > b.most {
		b.pairs, b.lost = b.pairs[:b.most], true
		b.floor = float64(b.pairs[b.most-1].Likeness)
	}
}

const (
	// mostPairs of photos that are alike are kept, 48 MB while they are gathered: 20 for
	// each of 100,000 photos. Of more, such as those of 10,000 frames of a wall, the
	// closest are.
	mostPairs = 2 << 20

	// mostNear are kept of the pairs that are just not alike, to show some.
	mostNear = 512

	// near is how much less alike those may be.
	near = 0.05

	// rowsAtOnce are multiplied by as many others: twice 330 KB at 1280 values, in the
	// second-level cache.
	rowsAtOnce = 256
)

// A scan compares all rows, or those before split with the others.
type scan struct {
	m         Matrix
	rows      *rounded
	at        []int32 // [rows] where they are in m; nil for all, as they come
	split     int     // 0 for none
	threshold float64
	threads   int
	near      bool                // pairs below the threshold, too
	skip      func(a, b int) bool // pairs that are not wanted, or nil
	most      int                 // pairs that are kept
	kernels   *kernel.Int8

	mu     sync.Mutex
	alike  best
	below  best
	joined forest // of rows that are alike
}

func newScan(m Matrix, rows *rounded, o Settings) (*scan, error) {
	k, err := kernel.ChooseInt8("")
	if err != nil {
		return nil, err
	}
	s := &scan{m: m, rows: rows, split: o.Split, threshold: o.Threshold, threads: o.Threads, near: true, most: cmp.Or(o.most, mostPairs), kernels: k}
	if s.threads < 1 {
		s.threads = runtime.GOMAXPROCS(0)
	}
	s.reset()
	return s, nil
}

func (s *scan) reset() {
	s.alike, s.below = best{most: s.most}, best{most: mostNear, floor: s.threshold - near}
	s.joined = newForest(s.rows.n)
}

// A task is a block of rows against another, or itself.
type task struct{ a, b, na, nb int }

// tasks cuts the comparison. Blocks begin at multiples of what kernels take at once,
// so that of two parts the second begins there, too: see roundAll.
func (s *scan) tasks() []task {
	var all []task
	n := s.rows.n
	enda, beginb := n, 0
	if s.split > 0 {
		enda, beginb = s.split, up(s.split, kernel.DotRows)
	}
	for a := 0; a < enda; a += rowsAtOnce {
		from := beginb
		if s.split == 0 {
			from = a
		}
		for b := from; b < n; b += rowsAtOnce {
			all = append(all, task{a, b, min(rowsAtOnce, enda-a), min(rowsAtOnce, n-b)})
		}
	}
	return all
}

// run compares on all threads. The pairs it leaves are sorted, and the same for any
// number of threads.
func (s *scan) run(ctx context.Context) error {
	tasks := s.tasks()
	var next atomic.Int64
	var running sync.WaitGroup
	var failed error
	for range min(s.threads, len(tasks)) {
		running.Go(func() {
			w := newWorker(s)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(tasks) {
					return
				}
				if err := w.compare(tasks[i]); err != nil {
					s.mu.Lock()
					failed = cmp.Or(failed, err)
					s.mu.Unlock()
					return
				}
			}
		})
	}
	running.Wait()
	s.alike.cut()
	s.below.cut()
	return cmp.Or(ctx.Err(), failed)
}

// A worker is a thread of a scan, with memory of its own.
type worker struct {
	*scan
	products []int32 // [rows b][rows a]
	least    []int32 // [rows a] products that may be enough
	exact    exact
	found    []Pair // of a task
	below    []Pair
}

func newWorker(s *scan) *worker {
	return &worker{scan: s, products: make([]int32, rowsAtOnce*rowsAtOnce), least: make([]int32, rowsAtOnce), exact: exact{m: s.m, at: s.at}}
}

func (w *worker) compare(t task) error {
	r := w.rows
	q, n := up(t.na, kernel.DotQueries), up(t.nb, kernel.DotRows)
	w.kernels.Dot(kernel.DotInt8{
		Dst:  w.products,
		Rows: r.q[t.b*r.stride:][:n*r.stride], Queries: signed(r.q[t.a*r.stride:])[:q*r.stride],
		N: n, Q: q, Stride: r.stride,
	})
	floor := w.floor()
	w.bound(t, floor)
	w.exact.begin(r.n)
	w.found, w.below = w.found[:0], w.below[:0]
	for b := range t.nb {
		products := w.products[b*q:][:t.na]
		for a, p := range products {
			if p < w.least[a] {
				continue
			}
			if err := w.look(t.a+a, t.b+b, p, floor); err != nil {
				return err
			}
		}
	}
	if len(w.found)+len(w.below) > 0 {
		w.deliver()
	}
	return nil
}

// floor is the likeness from which pairs are wanted at the moment.
func (w *worker) floor() float64 {
	if !w.near {
		return w.threshold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(w.threshold, w.scan.below.floor)
}

// bound computes for each row of a the least product with any row of b that may be a
// likeness of floor.
func (w *worker) bound(t task, floor float64) {
	r := w.rows
	var scale, away float64
	for b := t.b; b < t.b+t.nb; b++ {
		scale, away = max(scale, float64(r.scale[b])), max(away, float64(r.away[b]))
	}
	for i := range t.na {
		a := t.a + i
		s := float64(r.scale[a]) * scale
		margin := float64(r.away[a]) + away + float64(r.away[a])*away
		w.least[i] = math.MaxInt32 // a vector that is like nothing
		if s > 0 && !r.isNone(a) {
			w.least[i] = int32(max(0, min(math.MaxInt32, math.Floor((floor-margin)/s))))
		}
	}
}

// look computes the likeness of rows a and b, if what their bytes say is enough.
func (w *worker) look(a, b int, product int32, floor float64) error {
	if w.split == 0 && a >= b || w.rows.isNone(b) || w.skip != nil && w.skip(a, b) {
		return nil
	}
	if _, high := w.rows.between(a, w.rows, b, product); high < floor {
		return nil
	}
	l, err := w.exact.likeness(a, b)
	if err != nil {
		return err
	}
	p := Pair{int32(a), int32(b), float32(l)}
	switch {
	case l >= w.threshold:
		w.found = append(w.found, p)
	case w.near && l >= floor:
		w.below = append(w.below, p)
	}
	return nil
}

func (w *worker) deliver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.found {
		w.alike.add(p)
		w.joined.join(p.A, p.B)
	}
	for _, p := range w.below {
		w.scan.below.add(p)
	}
}

// exact computes likenesses of rows, and keeps the vectors that it needed since it
// began.
type exact struct {
	m    Matrix
	at   []int32
	slot []int32 // [rows] 1 + where its vector is, or 0
	used []int32 // rows that have a slot
	kept [][]float64
	row  []float32
}

func (e *exact) begin(n int) {
	if e.slot == nil {
		e.slot, e.row = make([]int32, n), make([]float32, e.m.Dim())
	}
	for _, i := range e.used {
		e.slot[i] = 0
	}
	e.used = e.used[:0]
}

func (e *exact) likeness(a, b int) (float64, error) {
	x, err := e.vector(a)
	if err != nil {
		return 0, err
	}
	y, err := e.vector(b)
	if err != nil {
		return 0, err
	}
	return min(1, cosine(x, y)), nil
}

func (e *exact) vector(i int) ([]float64, error) {
	if s := e.slot[i]; s > 0 {
		return e.kept[s-1], nil
	}
	row := i
	if e.at != nil {
		row = int(e.at[i])
	}
	if err := e.m.Row(e.row, row); err != nil {
		return nil, err
	}
	n := len(e.used)
	if n == len(e.kept) {
		e.kept = append(e.kept, make([]float64, len(e.row)))
	}
	if !unit(e.kept[n], e.row) {
		return nil, fmt.Errorf("row %d changed while it was compared", row)
	}
	e.used = append(e.used, int32(i))
	e.slot[i] = int32(n + 1)
	return e.kept[n], nil
}

// A forest tells which rows are joined: path halving, the smaller number leads.
type forest []int32

func newForest(n int) forest {
	f := make(forest, n)
	for i := range f {
		f[i] = int32(i)
	}
	return f
}

func (f forest) root(i int32) int32 {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}

func (f forest) join(a, b int32) {
	a, b = f.root(a), f.root(b)
	if a > b {
		a, b = b, a
	}
	f[b] = a
}
