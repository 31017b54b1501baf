package kernel

import (
	"fmt"
	"slices"
	"testing"
)

// newDotInt8 returns rows and queries in memory, with extreme values often.
func newDotInt8(m *memory8, n, q, stride int) DotInt8 {
	a := DotInt8{Dst: take[int32](m, n*q), Rows: m.bytes(n * stride), Queries: take[int8](m, q*stride), N: n, Q: q, Stride: stride}
	for i := range a.Queries {
		switch m.rng.IntN(8) {
		case 0:
			a.Queries[i] = 127
		case 1:
			a.Queries[i] = -127
		default:
			a.Queries[i] = int8(m.rng.IntN(255) - 127)
		}
	}
	return a
}

// TestDotInt8 compares with the sums in int64, of every shape of tile and beyond.
func TestDotInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		m := newMemory8(11)
		for _, stride := range []int{64, 128, 192, 1280} {
			for n := 0; n <= 4*DotRows; n += DotRows {
				for q := 0; q <= 10; q += DotQueries {
					a := newDotInt8(m, n, q, stride)
					rows, queries := slices.Clone(a.Rows), slices.Clone(a.Queries)
					set.Dot(a)
					for r := range n {
						for c := range q {
							var want int64
							for k := range stride {
								want += int64(rows[r*stride+k]) * int64(queries[c*stride+k])
							}
							if got := a.Dst[r*q+c]; int64(got) != want {
								t.Fatalf("%d rows and %d queries of %d: row %d, query %d: got %d, want %d", n, q, stride, r, c, got, want)
							}
						}
					}
					m.intact(t)
					if !slices.Equal(rows, a.Rows) || !slices.Equal(queries, a.Queries) {
						t.Fatal("an input changed")
					}
				}
			}
		}
	})
}

// TestDotInt8Extremes has the largest sums that are allowed.
func TestDotInt8Extremes(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		const stride = 64 << 10
		a := newDotInt8(newMemory8(12), DotRows, 2, stride)
		for i := range a.Rows {
			a.Rows[i] = 255
		}
		for k := range stride {
			a.Queries[k], a.Queries[stride+k] = 127, -127
		}
		set.Dot(a)
		for r := range a.N {
			if want := int32(255 * 127 * stride); a.Dst[2*r] != want || a.Dst[2*r+1] != -want {
				t.Fatalf("row %d: %d", r, a.Dst[2*r:][:2])
			}
		}
	})
}

// TestDotInt8Refuses has what kernels can't take be a panic and no wrong read.
func TestDotInt8Refuses(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for i, change := range []func(a *DotInt8){
			func(a *DotInt8) { a.N = 12 },
			func(a *DotInt8) { a.Q = 3 },
			func(a *DotInt8) { a.Stride = 65 },
			func(a *DotInt8) { a.Stride = 0 },
			func(a *DotInt8) { a.N = 16 },
			func(a *DotInt8) { a.Q = 6 },
			func(a *DotInt8) { a.Dst = a.Dst[1:] },
			func(a *DotInt8) { a.Rows = a.Rows[1:] },
			func(a *DotInt8) { a.Queries = a.Queries[1:] },
		} {
			a := newDotInt8(newMemory8(13), 8, 4, 64)
			change(&a)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("change %d was taken", i)
					}
				}()
				set.Dot(a)
			}()
		}
	})
}

func BenchmarkDotInt8(b *testing.B) {
	for _, set := range AvailableInt8() {
		for _, q := range []int{2, 128} {
			b.Run(fmt.Sprintf("isa=%s/queries=%d", set.Name, q), func(b *testing.B) {
				a := newDotInt8(newMemory8(14), 256, q, 1280)
				b.SetBytes(int64(len(a.Rows)))
				for b.Loop() {
					set.Dot(a)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(a.N*a.Q), "ns/product")
			})
		}
	}
}
