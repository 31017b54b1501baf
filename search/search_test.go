package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// meta describes rows of dim values.
func meta(dim int) Meta {
	return Meta{Model: "a.safetensors", Digest: "00", Precision: "float32", Height: 224, Width: 224, Preprocess: model.ImageNetPreprocess(256), Dim: dim}
}

// features returns n rows that look like pooled features: none negative, some far above
// the others, in groups that are alike.
func features(rng *rand.Rand, n, dim int) [][]float32 {
	rows := make([][]float32, n)
	var centre []float32
	for i := range rows {
		if i%16 == 0 {
			centre = make([]float32, dim)
			for k := range centre {
				centre[k] = float32(max(0, rng.ExpFloat64()-0.7))
			}
		}
		rows[i] = make([]float32, dim)
		for k := range rows[i] {
			rows[i][k] = max(0, centre[k]+0.3*float32(rng.NormFloat64()))
		}
	}
	return rows
}

// signed returns n rows of any sign.
func signed(rng *rand.Rand, n, dim int) [][]float32 {
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, dim)
		for k := range rows[i] {
			rows[i][k] = float32(rng.NormFloat64())
		}
	}
	return rows
}

func name(i int) string { return fmt.Sprintf("photos/%d.jpg", i) }

// indexOf writes rows to an index, so many at a time, and opens it.
func indexOf(t testing.TB, m Meta, rows [][]float32, atOnce int) *Index {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.mnidx")
	w, err := Create(path, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range rows {
		if err := w.Add(name(i), v); err != nil {
			t.Fatal(err)
		}
		if (i+1)%atOnce == 0 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// best is what a search should find, computed the slow and obvious way.
func best(rows [][]float32, q []float32, o Options) []Hit {
	var hits []Hit
	for i, v := range rows {
		if o.Match != nil && !o.Match(i, []byte(name(i))) {
			continue
		}
		var product, a, b float64
		for k := range v {
			product += float64(v[k]) * float64(q[k])
			a += float64(v[k]) * float64(v[k])
			b += float64(q[k]) * float64(q[k])
		}
		score := 0.0
		if a > 0 && b > 0 {
			score = product / math.Sqrt(a*b)
		}
		if o.MinScore == 0 || score >= o.MinScore {
			hits = append(hits, Hit{i, name(i), score})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	return hits[:min(len(hits), cmp.Or(o.Top, 10))]
}

// alike holds hits against what was expected. Which of two rows that are equally good
// comes first is a matter of rounding.
func alike(t *testing.T, got, want []Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i].Score-want[i].Score) > 1e-12 {
			t.Errorf("hit %d: got %v, want %v", i, got[i], want[i])
		}
		if got[i].Row != want[i].Row && math.Abs(got[i].Score-want[i].Score) > 1e-15 {
			t.Errorf("hit %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// TestSearch compares with a scan in float64, for every set of kernels.
func TestSearch(t *testing.T) {
	for _, set := range kernel.AvailableInt8() {
		t.Run(set.Name, func(t *testing.T) {
			t.Setenv("MOBILENET_CPU", set.Name)
			rng := rand.New(rand.NewPCG(1, 2))
			for _, dim := range []int{1, 7, 64, 65, 320, 1280} {
				for _, make := range []func(*rand.Rand, int, int) [][]float32{features, signed} {
					n := 700
					rows := make(rng, n, dim)
					rows[3], rows[5] = rows[4], constant(dim, 0) // equals, and one without a direction
					rows[9] = constant(dim, 2.5)
					x := indexOf(t, meta(dim), rows, 300)
					queries := append(make(rng, 3, dim), rows[4], rows[60], constant(dim, 0), constant(dim, -1))
					for _, o := range []Options{
						{}, {Top: 1}, {Top: n + 5}, {Top: 20, MinScore: 0.7}, {Threads: 1, Top: 50},
						{Top: 5, Match: func(row int, _ []byte) bool { return row%3 == 1 }},
					} {
						all, err := x.Search(context.Background(), queries, o)
						if err != nil {
							t.Fatal(err)
						}
						for j, hits := range all {
							alike(t, hits, best(rows, queries[j], o))
						}
					}
				}
			}
		})
	}
}

func constant(n int, v float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// TestBounds has no score be further from the truth than its margin.
func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		dim := 1 + rng.IntN(200)
		rows, stride := append(features(rng, 8, dim), signed(rng, 8, dim)...), up(dim, 64)
		for _, v := range rows {
			if rng.IntN(4) == 0 {
				v[rng.IntN(dim)] *= 1e4
			}
		}
		for _, v := range rows {
			planes := make([]int8, 2*stride)
			q := prepare(rows[rng.IntN(len(rows))], planes, stride)
			u := make([]byte, stride)
			c, err := quantise(u, v)
			if err != nil {
				t.Fatal(err)
			}
			var high, low int32
			for k, b := range u {
				high += int32(b) * int32(planes[k])
				low += int32(b) * int32(planes[stride+k])
			}
			row := make([]byte, 4*dim)
			floats(row, v)
			r := newRowScore(&c)
			score, margin := r.of(&q, high, low)
			if truth := q.exact(row); !(math.Abs(truth-score) <= margin) || margin > 0.1 {
				t.Fatalf("%d values: %v is %v from %v", dim, score, margin, truth)
			}
		}
	}
}

// TestSame: of an index of photos that were prepared otherwise only what differs is told, as
// the flags that change it.
func TestSame(t *testing.T) {
	for want, change := range map[string]func(m *Meta){
		"--resize 256 in the index, 232 here":                                                         func(m *Meta) { m.Preprocess.Resize = 232 },
		"--resolution 224 in the index, 192x256 here":                                                 func(m *Meta) { m.Height, m.Width = 192, 256 },
		"--resolution 224 in the index, 96 here; --interpolation bilinear in the index, bicubic here": func(m *Meta) { m.Height, m.Width, m.Preprocess.Interpolation = 96, 96, model.Bicubic },
		"--mean 0.485,0.456,0.406 in the index, 0.5,0.456,0.406 here":                                 func(m *Meta) { m.Preprocess.Mean[0] = 0.5 },
		"--std 0.229,0.224,0.225 in the index, 1,0.224,0.225 here":                                    func(m *Meta) { m.Preprocess.Std[0] = 1 },
		"--resize 256 in the index and not here; --squash here and not in the index":                  func(m *Meta) { m.Preprocess.Squash = true },
	} {
		index, here := meta(3), meta(3)
		change(&here)
		if err := index.Same(&here); err == nil || !strings.HasSuffix(err.Error(), "prepared otherwise: "+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	index, here := meta(3), meta(3)
	index.Preprocess.Squash, here.Preprocess.Squash, here.Preprocess.Resize = true, true, 1
	if err := index.Same(&here); err != nil {
		t.Error(err) // squashed alike
	}
}
