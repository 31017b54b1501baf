package diagram

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A layering places the nodes of an acyclic graph in layers so that every edge
// points downwards, as Sugiyama, Tagawa and Toda do (1981): rank, order within
// the layers, coordinates. Where an edge passes through a layer it has an item
// of its own, a bend. Paths of nodes, and of bends, become straight where they
// can: each is a column, as in Brandes and Köpf (2001), and moves as one.
type layering struct {
	items  []item  // nodes first, then bends
	layers [][]int // items from left to right
	routes [][]int // of each edge, the items it visits
}

type item struct {
	w, h     float64
	x, y     float64 // middle of the top
	row, low float64 // top and bottom of the layer
	layer    int
	pos      int // within the layer
	up, down []int
	bend     bool
	column   int
}

// Bounds on what is laid out; a file can ask for anything.
const (
	maxNodes = 4000
	maxEdges = 20_000
	maxItems = 40_000
)

// unlimited is what to do about it.
const unlimited = "; DOT and Mermaid have no such limit"

// Spaces in points.
const (
	nodeGap = 28.0 // between items of a layer
	bendGap = 14.0
	rowGap  = 14.0 // between layers
)

// newLayering lays out nodes of the given sizes. edges lists pairs of nodes.
func newLayering(sizes []point, edges []edge) (*layering, error) {
	if len(sizes) > maxNodes {
		return nil, fmt.Errorf("%d boxes: at most %d are laid out"+unlimited, len(sizes), maxNodes)
	}
	if len(edges) > maxEdges {
		return nil, fmt.Errorf("%d arrows: at most %d are laid out"+unlimited, len(edges), maxEdges)
	}
	l := &layering{}
	for _, s := range sizes {
		l.items = append(l.items, item{w: s.x, h: s.y})
	}
	if err := l.rank(edges); err != nil {
		return nil, err
	}
	if err := l.bend(edges); err != nil {
		return nil, err
	}
	l.order()
	l.align()
	l.spread()
	l.stack()
	return l, nil
}

// rank gives every node the length of the longest path to it as its layer.
// Nodes that nothing leads to come right above the first that needs them.
func (l *layering) rank(edges []edge) error {
	n := len(l.items)
	next, waiting := make([][]int, n), make([]int, n)
	for _, e := range edges {
		next[e.from] = append(next[e.from], e.to)
		waiting[e.to]++
	}
	var ready, sources []int
	for i := range n {
		if waiting[i] == 0 {
			ready, sources = append(ready, i), append(sources, i)
		}
	}
	done := 0
	for ; done < len(ready); done++ {
		for _, to := range next[ready[done]] {
			l.items[to].layer = max(l.items[to].layer, l.items[ready[done]].layer+1)
			if waiting[to]--; waiting[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
	if done < n {
		return fmt.Errorf("the graph has a cycle")
	}
	for _, s := range sources {
		if len(next[s]) == 0 {
			continue
		}
		first := math.MaxInt
		for _, to := range next[s] {
			first = min(first, l.items[to].layer)
		}
		l.items[s].layer = first - 1
	}
	return nil
}

// bend splits the edges at the layers they pass and fills the layers, nodes
// and bends in the order of the edges.
func (l *layering) bend(edges []edge) error {
	deepest := 0
	for i := range l.items {
		deepest = max(deepest, l.items[i].layer)
	}
	l.layers = make([][]int, deepest+1)
	for _, e := range edges {
		route := []int{e.from}
		for layer := l.items[e.from].layer + 1; layer < l.items[e.to].layer; layer++ {
			if len(l.items) == maxItems {
				return fmt.Errorf("the arrows pass more than %d layers in all"+unlimited, maxItems)
			}
			route = append(route, len(l.items))
			l.items = append(l.items, item{layer: layer, bend: true})
		}
		route = append(route, e.to)
		l.routes = append(l.routes, route)
		for i := 1; i < len(route); i++ {
			a, b := route[i-1], route[i]
			l.items[a].down = append(l.items[a].down, b)
			l.items[b].up = append(l.items[b].up, a)
		}
	}
	for i := range l.items {
		at := &l.layers[l.items[i].layer]
		l.items[i].pos = len(*at)
		*at = append(*at, i)
	}
	return nil
}

// order sorts every layer by the mean position of the neighbours above, then of
// those below, a few times, and keeps the order with the fewest crossings.
func (l *layering) order() {
	const sweeps = 8
	best, fewest := l.positions(), l.crossings()
	for i := 0; i < sweeps && fewest > 0; i++ {
		for k := range l.layers {
			if i%2 == 1 {
				k = len(l.layers) - 1 - k
			}
			l.sortLayer(k, i%2 == 0)
		}
		if n := l.crossings(); n < fewest {
			best, fewest = l.positions(), n
		}
	}
	for i := range l.items {
		l.items[i].pos = best[i]
	}
	for _, layer := range l.layers {
		slices.SortFunc(layer, func(a, b int) int { return cmp.Compare(best[a], best[b]) })
	}
}

func (l *layering) positions() []int {
	pos := make([]int, len(l.items))
	for i := range l.items {
		pos[i] = l.items[i].pos
	}
	return pos
}

func (l *layering) sortLayer(k int, above bool) {
	layer := l.layers[k]
	mean := map[int]float64{}
	for _, i := range layer {
		it := &l.items[i]
		near := it.down
		if above {
			near = it.up
		}
		mean[i] = float64(it.pos)
		if len(near) > 0 {
			sum := 0
			for _, j := range near {
				sum += l.items[j].pos
			}
			mean[i] = float64(sum) / float64(len(near))
		}
	}
	slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	for pos, i := range layer {
		l.items[i].pos = pos
	}
}

// crossings counts the pairs of edges that cross between neighbouring layers:
// the inversions of the lower ends when the upper ones are sorted, counted with
// a Fenwick tree.
func (l *layering) crossings() int {
	total := 0
	for k := 0; k+1 < len(l.layers); k++ {
		width := len(l.layers[k+1])
		tree := make([]int, width+1)
		seen := 0
		for _, i := range l.layers[k] {
			ends := make([]int, 0, len(l.items[i].down))
			for _, j := range l.items[i].down {
				ends = append(ends, l.items[j].pos)
			}
			for _, pos := range ends {
				left := 0
				for t := pos + 1; t > 0; t -= t & -t {
					left += tree[t]
				}
				total += seen - left
			}
			for _, pos := range ends {
				for t := pos + 1; t <= width; t += t & -t {
					tree[t]++
				}
			}
			seen += len(ends)
		}
	}
	return total
}
