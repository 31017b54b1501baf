package diagram

import (
	"cmp"
	"math"
	"slices"
)

// align joins items that should stand above each other into columns: first the
// bends of one edge, then nodes along the longest paths, then the rest; never
// two edges of the same item, and no two that cross.
func (l *layering) align() {
	type segment struct{ from, to int }
	var segments []segment
	for i := range l.items {
		for _, j := range l.items[i].down {
			segments = append(segments, segment{i, j})
		}
	}
	through := l.pathsThrough()
	class := func(s segment) int {
		switch a, b := l.items[s.from].bend, l.items[s.to].bend; {
		case a && b:
			return 0
		case !a && !b:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(segments, func(s, t segment) int {
		return cmp.Or(cmp.Compare(class(s), class(t)), cmp.Compare(through(t.from, t.to), through(s.from, s.to)))
	})
	upper, lower := map[int]int{}, map[int]int{} // the neighbour in the same column
	chosen := make([][]segment, len(l.layers))
	for _, s := range segments {
		_, taken := lower[s.from]
		_, takenBelow := upper[s.to]
		a, b := l.items[s.from], l.items[s.to]
		crosses := slices.ContainsFunc(chosen[a.layer], func(t segment) bool {
			return (l.items[t.from].pos < a.pos) != (l.items[t.to].pos < b.pos)
		})
		if !taken && !takenBelow && !crosses {
			lower[s.from], upper[s.to] = s.to, s.from
			chosen[a.layer] = append(chosen[a.layer], s)
		}
	}
	columns := 0
	for _, layer := range l.layers {
		for _, i := range layer {
			if above, ok := upper[i]; ok {
				l.items[i].column = l.items[above].column
			} else {
				l.items[i].column = columns
				columns++
			}
		}
	}
}

// pathsThrough returns the function that gives the number of nodes on the
// longest path through an edge. So the trunk of a network goes before what
// joins it, such as its weights.
func (l *layering) pathsThrough() func(from, to int) int {
	above, below := make([]int, len(l.items)), make([]int, len(l.items))
	count := func(i int) int {
		if l.items[i].bend {
			return 0
		}
		return 1
	}
	for _, layer := range l.layers {
		for _, i := range layer {
			for _, j := range l.items[i].up {
				above[i] = max(above[i], above[j])
			}
			above[i] += count(i)
		}
	}
	for _, layer := range slices.Backward(l.layers) {
		for _, i := range layer {
			for _, j := range l.items[i].down {
				below[i] = max(below[i], below[j])
			}
			below[i] += count(i)
		}
	}
	return func(from, to int) int { return above[from] + below[to] }
}

// A gap keeps two neighbouring columns apart.
type gap struct {
	column int
	least  float64
}

// spread gives every column the leftmost place there is and then moves it
// towards its neighbours in the graph, as far as the columns beside it let it.
func (l *layering) spread() {
	columns := 0
	for i := range l.items {
		columns = max(columns, l.items[i].column+1)
	}
	before, after := make([][]gap, columns), make([][]gap, columns)
	for _, layer := range l.layers {
		for p := 1; p < len(layer); p++ {
			a, b := &l.items[layer[p-1]], &l.items[layer[p]]
			least := (a.w+b.w)/2 + nodeGap
			if a.bend || b.bend {
				least = (a.w+b.w)/2 + bendGap
			}
			before[b.column] = append(before[b.column], gap{a.column, least})
			after[a.column] = append(after[a.column], gap{b.column, least})
		}
	}
	order := sortColumns(before, after)
	x := make([]float64, columns)
	for _, c := range order {
		x[c] = math.Inf(-1)
		for _, g := range before[c] {
			x[c] = max(x[c], x[g.column]+g.least)
		}
		if len(before[c]) == 0 {
			x[c] = 0
		}
	}
	pulls := l.pulls(columns)
	const rounds = 12
	for range rounds {
		slices.Reverse(order)
		for _, c := range order {
			if len(pulls[c]) == 0 {
				continue
			}
			want := 0.0
			for _, other := range pulls[c] {
				want += x[other] / float64(len(pulls[c]))
			}
			low, high := math.Inf(-1), math.Inf(1)
			for _, g := range before[c] {
				low = max(low, x[g.column]+g.least)
			}
			for _, g := range after[c] {
				high = min(high, x[g.column]-g.least)
			}
			x[c] = max(low, min(high, want))
		}
	}
	for i := range l.items {
		l.items[i].x = x[l.items[i].column]
	}
}

// sortColumns orders the columns so that each comes behind all on its left.
func sortColumns(before, after [][]gap) []int {
	waiting := make([]int, len(before))
	var order []int
	for c := range before {
		if waiting[c] = len(before[c]); waiting[c] == 0 {
			order = append(order, c)
		}
	}
	for k := 0; k < len(order); k++ {
		for _, g := range after[order[k]] {
			if waiting[g.column]--; waiting[g.column] == 0 {
				order = append(order, g.column)
			}
		}
	}
	return order
}

// pulls lists, for each column, the columns that edges lead to or come from.
func (l *layering) pulls(columns int) [][]int {
	pulls := make([][]int, columns)
	for i := range l.items {
		for _, j := range l.items[i].down {
			if a, b := l.items[i].column, l.items[j].column; a != b {
				pulls[a], pulls[b] = append(pulls[a], b), append(pulls[b], a)
			}
		}
	}
	return pulls
}

// stack puts the layers below each other, further apart where an edge goes far
// to the side.
func (l *layering) stack() {
	y := 0.0
	for _, layer := range l.layers {
		high, far := 0.0, 0.0
		for _, i := range layer {
			high = max(high, l.items[i].h)
			for _, j := range l.items[i].down {
				far = max(far, math.Abs(l.items[i].x-l.items[j].x))
			}
		}
		for _, i := range layer {
			it := &l.items[i]
			if it.bend {
				it.h = high
			}
			it.y, it.row, it.low = y+(high-it.h)/2, y, y+high
		}
		y += high + rowGap + min(far/6, 2*rowGap)
	}
}
