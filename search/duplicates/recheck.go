package duplicates

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Unsure lists the photos of groups that nothing but [Finder.Known] says are alike, and
// those that are kept for them. Their files can have changed since: see [Report.Recheck].
func (r *Report) Unsure() []string {
	var paths []string
	seen := map[string]bool{}
	for _, g := range r.Groups {
		kept := &g.Members[g.Keep]
		for i := range g.Members {
			m := &g.Members[i]
			if m.How != AlikeFeatures || m.absent || kept.absent {
				continue
			}
			for _, path := range []string{kept.Path, m.Path} {
				if !seen[path] {
					seen[path] = true
					paths = append(paths, path)
				}
			}
		}
	}
	return paths
}

// Recheck computes the features of all that is Unsure from the files as they are now,
// by f.Features. A photo that is not alike any more leaves its group, and is among
// Failed: times and sizes of files can't tell that, as both can be as they were.
func (r *Report) Recheck(ctx context.Context, f *Finder) error {
	paths := r.Unsure()
	now := map[string][]float64{} // vectors of length 1
	k := 0
	for v, err := range f.Features(ctx, slices.Values(paths)) {
		if abort, ok := errors.AsType[Abort](err); ok {
			return abort.Err
		}
		if x := make([]float64, len(v)); err == nil && k < len(paths) && unit(x, v) {
			now[paths[k]] = x
		}
		k++
	}
	if ctx.Err() != nil || k != len(paths) {
		return cmp.Or(ctx.Err(), fmt.Errorf("features of %d photos: want those of %d", k, len(paths)))
	}
	groups := r.Groups[:0]
	for _, g := range r.Groups {
		if g = r.recheck(g, now, f.Threshold); len(g.Members) > 1 {
			groups = append(groups, g)
		}
	}
	r.Groups = groups
	return nil
}

// recheck returns a group without the photos that are not alike now.
func (r *Report) recheck(g Group, now map[string][]float64, threshold float64) Group {
	kept := g.Members[g.Keep]
	left := Group{Why: g.Why}
	for i, m := range g.Members {
		if m.How == AlikeFeatures && !m.absent && !kept.absent {
			x, y := now[m.Path], now[kept.Path]
			if x == nil || y == nil {
				m.Likeness = 0
			} else {
				m.Likeness = min(1, cosine(x, y))
			}
			if m.Likeness < threshold {
				r.Failed = append(r.Failed, Failure{m.Path, fmt.Errorf("it or %s changed since the index was made: they are not alike now, and it stays", kept.Path)})
				continue
			}
		}
		if i == g.Keep {
			left.Keep = len(left.Members)
		}
		left.Members = append(left.Members, m)
	}
	return left
}
