package duplicates

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A Linkage says what makes a group of photos that are alike.
type Linkage string

const (
	// Complete groups have members that are all alike, each and each: no chain joins
	// the unlike. The closest pairs come first, and two groups become one if every
	// photo of one is like every photo of the other.
	Complete Linkage = "complete"

	// Connected groups are joined by chains: whatever is like a member is one.
	Connected Linkage = "connected"
)

// Linkages are all of them.
func Linkages() []Linkage { return []Linkage{Complete, Connected} }

// DefaultThreshold is the likeness from which photos are taken for alike where nobody
// says otherwise: it takes no more photos that only resemble each other than
// imagededup's CNN does by default, and finds more changed copies (docs/duplicates.md
// has figures).
const DefaultThreshold = 0.94

// Settings say which rows are alike.
type Settings struct {
	Threshold float64 // the least likeness of what is alike, more than 0 and at most 1: see [DefaultThreshold]
	Linkage   Linkage
	Split     int // compare rows before it with rows from it on, and none else; 0 compares all
	Threads   int // 0 means all cores

	most int // pairs that are kept; 0 means mostPairs
}

// Alike is which rows of a matrix are alike.
type Alike struct {
	Groups [][]int32 // of two rows and more, by their first
	Pairs  []Pair    // that are alike, the closest first
	Below  []Pair    // some that just are not, the closest first
	Lost   bool      // there are more Pairs than were kept: the closest are there
	None   []int32   // rows that are like nothing: all 0, not finite or with negative values
}

// Compare finds out which rows of m are alike. The likeness of two rows x and y is
//
//	Σk √x[k]·√y[k] / √(Σk x[k] · Σk y[k])
//
// the Bhattacharyya coefficient of the two as distributions: the cosine of the square
// roots. Pooled features have a few large values, which decide a cosine of the values
// themselves; their roots tell photos apart better (docs/duplicates.md has figures).
//
// It is exact, and the same for any number of threads. Memory is a byte for each value,
// up to 150 MB for pairs, and what m takes.
func Compare(ctx context.Context, m Matrix, o Settings) (*Alike, error) {
	switch {
	case !(o.Threshold > 0 && o.Threshold <= 1):
		return nil, fmt.Errorf("a threshold of %v: want more than 0 and at most 1", o.Threshold)
	case o.Split < 0 || o.Split > m.Len():
		return nil, fmt.Errorf("%d rows, split at %d", m.Len(), o.Split)
	case !slices.Contains(Linkages(), o.Linkage):
		return nil, fmt.Errorf("groups that are %q: want %s or %s", o.Linkage, Complete, Connected)
	}
	all := &Alike{}
	if m.Len() == 0 {
		return all, nil
	}
	rows, at, err := roundAll(ctx, m, o)
	if err != nil {
		return nil, err
	}
	s, err := newScan(m, rows, o)
	if err != nil {
		return nil, err
	}
	s.at = at
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	for i := range rows.n {
		if row := at[i]; row >= 0 && rows.isNone(i) {
			all.None = append(all.None, row)
		}
	}
	all.Pairs, all.Below, all.Lost = s.named(s.alike.pairs), s.named(s.below.pairs), s.alike.lost
	if o.Split == 0 {
		if all.Groups, err = s.groups(ctx, o.Linkage); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// named returns pairs of rows of the matrix.
func (s *scan) named(pairs []Pair) []Pair {
	all := slices.Clone(pairs)
	for i, p := range all {
		all[i].A, all[i].B = s.at[p.A], s.at[p.B]
	}
	return all
}

// roundAll rounds the rows of m. at says which row is where: the second part of two
// begins where kernels can begin, and -1 is in between.
func roundAll(ctx context.Context, m Matrix, o Settings) (rows *rounded, at []int32, err error) {
	gap := up(o.Split, kernel.DotRows) - o.Split
	n := m.Len() + gap
	rows, at = newRounded(n, m.Dim()), make([]int32, n)
	for i := range at {
		switch {
		case i < o.Split || o.Split == 0:
			at[i] = int32(i)
		case i < o.Split+gap:
			at[i] = -1
		default:
			at[i] = int32(i - gap)
		}
	}
	threads := o.Threads
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	const some = 256
	var next atomic.Int64
	var running sync.WaitGroup
	errs := make([]error, threads)
	for t := range threads {
		running.Go(func() {
			row, x := make([]float32, m.Dim()), make([]float64, m.Dim())
			for ctx.Err() == nil && errs[t] == nil {
				from := int(next.Add(some)) - some
				if from >= n {
					return
				}
				for i := from; i < min(n, from+some); i++ {
					if at[i] < 0 {
						rows.none(i)
					} else if err := m.Row(row, int(at[i])); err != nil {
						errs[t] = err
						return
					} else if !unit(x, row) {
						rows.none(i)
					} else {
						rows.set(i, x)
					}
				}
			}
		})
	}
	running.Wait()
	for _, err := range append(errs, ctx.Err()) {
		if err != nil {
			return nil, nil, err
		}
	}
	return rows, at, nil
}
