package search

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestEigen has vectors and values be those of the matrix: a*v = λ*v, and the vectors
// orthonormal.
func TestEigen(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for n := 1; n <= 60; n++ {
		for kind := range 4 {
			a := make([]float64, n*n)
			for i := range n {
				for j := range i + 1 {
					v := rng.NormFloat64()
					switch {
					case kind == 1 && i != j, kind == 2: // diagonal; nothing
						v = 0
					case kind == 3: // of rank 1
						v = float64(i+1) * float64(j+1)
					}
					a[i*n+j], a[j*n+i] = v, v
				}
			}
			values, vectors := eigen(append([]float64(nil), a...), n)
			size := 1e-300
			for _, v := range a {
				size = max(size, math.Abs(v))
			}
			bound := 1e-13 * float64(n) * size
			for i := range n {
				for row := range n {
					got := 0.0
					for k := range n {
						got += a[row*n+k] * vectors[k*n+i]
					}
					if want := values[i] * vectors[row*n+i]; !(math.Abs(got-want) <= bound) {
						t.Fatalf("n %d, kind %d: vector %d: %v, want %v", n, kind, i, got, want)
					}
				}
				for j := range i + 1 {
					dot := 0.0
					for k := range n {
						dot += vectors[k*n+i] * vectors[k*n+j]
					}
					want := 0.0
					if i == j {
						want = 1
					}
					if !(math.Abs(dot-want) <= 1e-12) {
						t.Fatalf("n %d, kind %d: vectors %d and %d: %v", n, kind, i, j, dot)
					}
				}
			}
		}
	}
}

// TestComponents finds the directions that rows were made of.
func TestComponents(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	const dim = 20
	rows := make([][]float32, 500)
	for i := range rows {
		rows[i] = make([]float32, dim)
		for k := range rows[i] {
			rows[i][k] = 3 + 0.01*float32(rng.NormFloat64())
		}
		rows[i][4] += 10 * float32(rng.NormFloat64())
		rows[i][7] -= 5 * float32(rng.NormFloat64())
	}
	x := indexOf(t, meta(dim), rows, 200)
	p, err := x.Components(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(p) != 3*dim || p[dim+4] < 0.999 || p[2*dim+7] < 0.999 || math.Abs(float64(p[0])-3) > 0.01 {
		t.Errorf("%v", p)
	}
	m := meta(2)
	m.Features = dim
	for _, v := range rows[:20] {
		got, err := Project(&m, p, v)
		if err != nil || len(got) != 2 || math.Abs(float64(got[0]-(v[4]-p[4]))) > 1 || math.Abs(float64(got[1]-(v[7]-p[7]))) > 1 {
			t.Fatalf("%v of %v, %v", got, v, err)
		}
	}
	for _, n := range []int{0, dim + 1} {
		if _, err := x.Components(t.Context(), n); err == nil {
			t.Errorf("%d components of %d features", n, dim)
		}
	}
}
