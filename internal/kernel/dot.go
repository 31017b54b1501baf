package kernel

// What the kernels of [DotInt8] take at once. Who lays rows out for them adds zeros
// up to whole groups, so that no kernel has a rest.
const (
	DotStride  = 64 // values of a row
	DotRows    = 8
	DotQueries = 2
)

// DotInt8 is the products of rows with queries, as bytes:
//
//	Dst[r][q] = Σk Rows[r][k]*Queries[q][k]
//
// The sums are int32 and exact: a Stride of up to 64K can't exceed them.
type DotInt8 struct {
	Dst     []int32 // [N][Q]
	Rows    []uint8 // [N][Stride]
	Queries []int8  // [Q][Stride], each -127 to 127
	N       int     // rows, a multiple of DotRows
	Q       int     // queries, a multiple of DotQueries
	Stride  int     // values of a row, a multiple of DotStride
}

func (a *DotInt8) check() {
	need("N", a.N >= 0 && a.N%DotRows == 0)
	need("Q", a.Q >= 0 && a.Q%DotQueries == 0)
	need("Stride", a.Stride > 0 && a.Stride <= 64<<10 && a.Stride%DotStride == 0)
	need("Dst", len(a.Dst) >= a.N*a.Q)
	need("Rows", len(a.Rows) >= a.N*a.Stride)
	need("Queries", len(a.Queries) >= a.Q*a.Stride)
}

// groups calls four with the first four of the queries that are left, as long as there
// are as many, and two with the first two. four may be nil. Rows come from the second
// level of the cache again and again; in pieces for the first level it is no faster.
func (a DotInt8) groups(four, two func(*DotInt8)) {
	a.check()
	if a.N == 0 {
		return
	}
	for left := a.Q; left > 0; {
		f, n := two, 2
		if four != nil && left >= 4 {
			f, n = four, 4
		}
		f(&a)
		left -= n
		a.Dst, a.Queries = a.Dst[n:], a.Queries[n*a.Stride:]
	}
}

// dotInt8Generic takes the rows in pairs, and the queries: each value is read for two
// products.
func dotInt8Generic(a DotInt8) {
	a.check()
	for r := 0; r < a.N; r += 2 {
		x0 := a.Rows[r*a.Stride:][:a.Stride]
		x1 := a.Rows[(r+1)*a.Stride:][:a.Stride]
		for q := 0; q < a.Q; q += 2 {
			w0 := a.Queries[q*a.Stride:][:a.Stride]
			w1 := a.Queries[(q+1)*a.Stride:][:a.Stride]
			var s00, s01, s10, s11 int32
			for k, w := range w0 {
				u, v := int32(w), int32(w1[k])
				x, y := int32(x0[k]), int32(x1[k])
				s00 += x * u
				s01 += x * v
				s10 += y * u
				s11 += y * v
			}
			a.Dst[r*a.Q+q], a.Dst[r*a.Q+q+1] = s00, s01
			a.Dst[(r+1)*a.Q+q], a.Dst[(r+1)*a.Q+q+1] = s10, s11
		}
	}
}
