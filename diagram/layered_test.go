package diagram

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawDAG draws the sizes and edges of a random acyclic graph.
func drawDAG(t *rapid.T) ([]point, []edge) {
	n := rapid.IntRange(1, 30).Draw(t, "nodes")
	var sizes []point
	for range n {
		sizes = append(sizes, point{rapid.Float64Range(0, 200).Draw(t, "w"), rapid.Float64Range(0, 80).Draw(t, "h")})
	}
	var edges []edge
	if n > 1 {
		for range rapid.IntRange(0, 60).Draw(t, "edges") {
			to := rapid.IntRange(1, n-1).Draw(t, "to")
			edges = append(edges, edge{from: rapid.IntRange(0, to-1).Draw(t, "from"), to: to})
		}
	}
	return sizes, edges
}

func TestLayering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes, edges := drawDAG(t)
		l, err := newLayering(sizes, edges)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range edges {
			route := l.routes[i]
			if route[0] != e.from || route[len(route)-1] != e.to {
				t.Errorf("edge %v runs %v", e, route)
			}
			for k := 1; k < len(route); k++ {
				a, b := l.items[route[k-1]], l.items[route[k]]
				if b.layer != a.layer+1 || b.y < a.y+a.h+rowGap-rounding {
					t.Errorf("edge %v does not lead down from %v to %v", e, a, b)
				}
			}
		}
		for i, a := range l.items {
			for _, b := range l.items[i+1:] {
				if overlap(rect{x: a.x - a.w/2, y: a.y, w: a.w, h: a.h}, rect{x: b.x - b.w/2, y: b.y, w: b.w, h: b.h}) {
					t.Errorf("%+v overlaps %+v", a, b)
				}
			}
		}
	})
}

// Whatever the graph, nothing is drawn over anything.
func TestFlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes, edges := drawDAG(t)
		g := graph{title: "graph", edges: edges}
		for range sizes {
			lines := rapid.SliceOfN(rapid.StringMatching("[a-z]{1,9} [0-9×]{1,30}"), 0, 5).Draw(t, "lines")
			g.nodes = append(g.nodes, node{name: rapid.StringMatching("[A-Z][a-z]{1,30}").Draw(t, "name"), lines: lines, group: other})
		}
		for i := range g.edges {
			e := &g.edges[i]
			e.output = rapid.IntRange(0, 2).Draw(t, "output")
			if labelled := rapid.Bool().Draw(t, "labelled"); labelled {
				e.label = "1×2×3"
			}
		}
		c, err := drawGraph(&g, "subtitle", "note")
		if err != nil {
			t.Fatal(err)
		}
		checkCanvas(t, c)
	})
}

// A chain with shortcuts, as MobileNetV2 is one, must come out straight.
func TestChainIsStraight(t *testing.T) {
	sizes := make([]point, 20)
	for i := range sizes {
		sizes[i] = point{100, 40}
	}
	var edges []edge
	for i := range 19 {
		edges = append(edges, edge{from: i, to: i + 1})
	}
	for i := 0; i < 16; i += 4 {
		edges = append(edges, edge{from: i, to: i + 3})
	}
	l, err := newLayering(sizes, edges)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sizes {
		if l.items[i].x != l.items[0].x || l.items[i].layer != i {
			t.Errorf("node %d is at %+v", i, l.items[i])
		}
	}
}

func TestCrossings(t *testing.T) {
	// K(3,3) has 9 crossings in every order.
	var edges []edge
	for i := range 3 {
		for k := range 3 {
			edges = append(edges, edge{from: i, to: 3 + k})
		}
	}
	l, err := newLayering(make([]point, 6), edges)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.crossings(); got != 9 {
		t.Errorf("%d crossings of K(3,3), want 9", got)
	}
	// A permutation has none in the right order.
	edges = []edge{{from: 0, to: 6}, {from: 1, to: 4}, {from: 2, to: 7}, {from: 3, to: 5}}
	if l, err = newLayering(make([]point, 8), edges); err != nil {
		t.Fatal(err)
	}
	if got := l.crossings(); got != 0 {
		t.Errorf("%d crossings of a matching, want 0", got)
	}
}

func TestLayeringLimits(t *testing.T) {
	chain := func(n int) (edges []edge) {
		for i := range n - 1 {
			edges = append(edges, edge{from: i, to: i + 1})
		}
		return edges
	}
	tangled := chain(maxNodes)
	for i := range maxNodes - 2 {
		tangled = append(tangled, edge{from: i, to: maxNodes - 1})
	}
	for want, c := range map[string]struct {
		nodes int
		edges []edge
	}{
		"cycle":           {3, append(chain(3), edge{from: 2, to: 0})},
		"4001 boxes":      {maxNodes + 1, nil},
		"the arrows pass": {maxNodes, tangled},
	} {
		_, err := newLayering(make([]point, c.nodes), c.edges)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	// The longest chain there may be.
	l, err := newLayering(slices.Repeat([]point{{100, 40}}, maxNodes), chain(maxNodes))
	if err != nil || l.items[maxNodes-1].layer != maxNodes-1 {
		t.Errorf("%v", err)
	}
}
