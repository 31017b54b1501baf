package duplicates

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// features makes n rows in families: each is a member's own mixture of its family's
// features and others. Some rows are like nothing.
func features(seed uint64, n, dim, families int) Rows {
	r := rand.New(rand.NewPCG(seed, 1))
	random := func() []float32 {
		v := make([]float32, dim)
		for k := range v {
			v[k] = float32(max(0, r.NormFloat64()-0.3))
		}
		return v
	}
	base := make([][]float32, families)
	for i := range base {
		base[i] = random()
	}
	rows := make(Rows, n)
	for i := range rows {
		own, family, share := random(), base[r.IntN(families)], r.Float32()*0.7
		for k := range own {
			own[k] = 3 * (share*own[k] + (1-share)*family[k])
		}
		rows[i] = own
	}
	if n > 20 {
		rows[5] = make([]float32, dim)
		rows[6][3] = float32(math.NaN())
		rows[7][dim-1] = -1
		rows[8][0] = float32(math.Inf(1))
	}
	return rows
}

// likeness is that of the docs, term by term.
func likeness(x, y []float32) float64 {
	var xy, sx, sy float64
	for k := range x {
		xy += math.Sqrt(float64(x[k])) * math.Sqrt(float64(y[k]))
		sx, sy = sx+float64(x[k]), sy+float64(y[k])
	}
	return xy / math.Sqrt(sx*sy)
}

// TestCompare compares with a comparison of each row with each, in float64.
func TestCompare(t *testing.T) {
	for _, c := range []struct{ n, dim, families, split, most int }{
		{0, 8, 1, 0, 0}, {1, 8, 1, 0, 0}, {2, 5, 1, 0, 0}, {2, 5, 1, 1, 0}, {700, 70, 40, 0, 0}, {300, 70, 3, 0, 0},
		{300, 70, 3, 0, 200}, {300, 70, 1, 0, 300}, {600, 64, 10, 259, 0}, {600, 64, 10, 600, 0},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) { testCompare(t, features(uint64(c.n), c.n, c.dim, c.families), c.split, c.most) })
	}
}

func testCompare(t *testing.T, rows Rows, split, most int) {
	const threshold = 0.95
	all := map[[2]int32]float64{}
	for i := range rows {
		for j := range rows[:i] {
			if split > 0 && (j >= split || i < split) {
				continue
			}
			if l := likeness(rows[j], rows[i]); l >= threshold {
				all[[2]int32{int32(j), int32(i)}] = l
			}
		}
	}
	if len(rows) > 20 && split < len(rows) && len(all) < max(50, 2*most) {
		t.Fatalf("only %d pairs: the test shows nothing", len(all))
	}
	for _, threads := range []int{1, 3} {
		for _, l := range Linkages() {
			got, err := Compare(t.Context(), rows, Settings{Threshold: threshold, Linkage: l, Split: split, Threads: threads, most: most})
			if err != nil {
				t.Fatal(err)
			}
			if most == 0 && len(got.Pairs) != len(all) || most > 0 && len(got.Pairs) != min(most, len(all)) {
				t.Fatalf("%d pairs, want %d, at most %d", len(got.Pairs), len(all), most)
			}
			if got.Lost != (most > 0 && len(all) > most) {
				t.Errorf("pairs lost: %v", got.Lost)
			}
			for i, p := range got.Pairs {
				if want := all[[2]int32{p.A, p.B}]; math.Abs(want-float64(p.Likeness)) > 1e-6 {
					t.Fatalf("%v: want %v", p, want)
				}
				if i > 0 && closer(got.Pairs[i-1], p) >= 0 {
					t.Fatal("pairs out of order")
				}
			}
			for _, p := range got.Below {
				if l := likeness(rows[p.A], rows[p.B]); l >= threshold || l < threshold-near-1e-6 {
					t.Errorf("%v is not just below", p)
				}
			}
			if len(rows) > 20 && !slices.Equal(got.None, []int32{5, 6, 7, 8}) {
				t.Errorf("like nothing: %v", got.None)
			}
			if split == 0 {
				checkGroups(t, got.Groups, all, len(rows), l)
			}
		}
	}
}

// checkGroups wants groups that are what they say, and none that could be joined.
func checkGroups(t *testing.T, groups [][]int32, alike map[[2]int32]float64, n int, l Linkage) {
	t.Helper()
	in := make([]int, n) // 1 + the group
	for g, rows := range groups {
		for _, r := range rows {
			if in[r] != 0 {
				t.Fatalf("row %d is in two groups", r)
			}
			in[r] = g + 1
		}
		if len(rows) < 2 || !slices.IsSorted(rows) {
			t.Fatalf("group %v", rows)
		}
	}
	if l == Connected {
		f := newForest(n)
		for p := range alike {
			f.join(p[0], p[1])
		}
		if want := f.groups(); !slices.EqualFunc(groups, want, slices.Equal) {
			t.Errorf("connected: %d groups, want %d", len(groups), len(want))
		}
		return
	}
	is := func(a, b int32) bool { _, ok := alike[[2]int32{min(a, b), max(a, b)}]; return ok }
	all := func(a, b []int32) bool {
		for _, i := range a {
			for _, j := range b {
				if i != j && !is(i, j) {
					return false
				}
			}
		}
		return true
	}
	units := slices.Clone(groups)
	for r := range n {
		if in[r] == 0 {
			units = append(units, []int32{int32(r)})
		}
	}
	for i, g := range units {
		if !all(g, g) {
			t.Errorf("group %v holds what is not alike", g)
		}
		for _, h := range units[:i] {
			if all(g, h) {
				t.Errorf("groups %v and %v could be one", h, g)
			}
		}
	}
}

// TestChain: a row that turns slowly from one photo into another makes one connected
// group, and several complete ones.
func TestChain(t *testing.T) {
	const n, dim = 60, 64
	rows := make(Rows, n)
	for i := range rows {
		rows[i] = make([]float32, dim)
		for k := range rows[i] {
			share := float32(i) / (n - 1)
			if k < dim/2 {
				share = 1 - share
			}
			rows[i][k] = share
		}
	}
	complete, err := Compare(t.Context(), rows, Settings{Threshold: 0.95, Linkage: Complete})
	if err != nil {
		t.Fatal(err)
	}
	connected, err := Compare(t.Context(), rows, Settings{Threshold: 0.95, Linkage: Connected})
	if err != nil {
		t.Fatal(err)
	}
	if len(connected.Groups) != 1 || len(complete.Groups) < 3 {
		t.Errorf("%d connected groups, %d complete", len(connected.Groups), len(complete.Groups))
	}
}
