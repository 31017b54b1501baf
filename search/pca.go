package search

import (
	"context"
	"fmt"
	"iter"
	"math"
	"sort"
)

// Components returns the projection onto the n principal components of the rows: the
// directions in which they differ most, those first, each of length 1, as [Create] takes
// it. It reads rows twice, of many the 65,536 that are evenly among them, and keeps the
// covariance, 13 MB at 1280 values.
//
// The sign of a direction, which means nothing, is such that its largest value is
// positive. This is what scikit-learn's PCA(svd_solver="covariance_eigh") computes.
func (x *Index) Components(ctx context.Context, n int) ([]float32, error) {
	dim := x.meta.Dim
	switch {
	case n < 1 || n > dim:
		return nil, fmt.Errorf("%d principal components of %d features: want 1 to %d", n, dim, dim)
	case x.rows < 2:
		return nil, fmt.Errorf("principal components of %d rows: want at least 2, and better thousands", x.rows)
	case n > x.rows: // which have no more directions
		return nil, fmt.Errorf("%d principal components of %d rows: want at most %d, and better thousands of rows", n, x.rows, x.rows)
	}
	mean := make([]float64, dim)
	rows := 0
	for r, err := range x.sample() {
		if err != nil || ctx.Err() != nil {
			return nil, first(ctx.Err(), err)
		}
		for k, v := range r.Vector {
			mean[k] += float64(v)
		}
		rows++
	}
	for k := range mean {
		mean[k] /= float64(rows)
	}
	covariance, err := x.covariance(ctx, mean, rows)
	if err != nil {
		return nil, err
	}
	values, vectors := eigen(covariance, dim)
	order := make([]int, dim)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return values[order[a]] > values[order[b]] })
	projection := make([]float32, 0, dim*(1+n))
	for _, v := range mean {
		projection = append(projection, float32(v))
	}
	for _, i := range order[:n] {
		sign, largest := 1.0, 0.0
		for k := range dim {
			if v := vectors[k*dim+i]; math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest < 0 {
			sign = -1
		}
		for k := range dim {
			projection = append(projection, float32(sign*vectors[k*dim+i]))
		}
	}
	return projection, nil
}

// sampled is how many rows principal components are fitted to: fifty times as many as
// there are features.
const sampled = 1 << 16

// sample yields up to so many rows, evenly among all.
func (x *Index) sample() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var v []float32
		step := max(1, (x.rows+sampled-1)/sampled)
		for row := 0; row < x.rows; row += step {
			var err error
			v, err = x.Row(row, v)
			if !yield(Row{Vector: v}, err) || err != nil {
				return
			}
		}
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// eigen returns the eigenvalues of a symmetric matrix [n][n] and its eigenvectors, the
// columns of a matrix [n][n]: Householder's reduction to a tridiagonal matrix and the
// QL algorithm with implicit shifts (tred2 and tql2 of EISPACK, by Bowdler, Martin,
// Reinsch and Wilkinson, Handbook for Automatic Computation II). a is used up.
func eigen(a []float64, n int) (values, vectors []float64) {
	d, e := make([]float64, n), make([]float64, n)
	tridiagonal(a, d, e, n)
	implicitQL(a, d, e, n)
	return d, a
}

// tridiagonal leaves the diagonal in d, what is below it in e[1:], and the orthogonal
// matrix that makes it in v.
func tridiagonal(v, d, e []float64, n int) {
	copy(d, v[(n-1)*n:])
	for i := n - 1; i > 0; i-- {
		scale, h := 0.0, 0.0
		for k := range i {
			scale += math.Abs(d[k])
		}
		if scale == 0 {
			e[i] = d[i-1]
			for j := range i {
				d[j] = v[(i-1)*n+j]
				v[i*n+j], v[j*n+i] = 0, 0
			}
			d[i] = 0
			continue
		}
		for k := range i {
			d[k] /= scale
			h += d[k] * d[k]
		}
		f := d[i-1]
		g := math.Sqrt(h)
		if f > 0 {
			g = -g
		}
		e[i] = scale * g
		h -= f * g
		d[i-1] = f - g
		clear(e[:i])
		for j := range i { // the lower triangle, row by row
			v[j*n+i] = d[j]
		}
		for k := range i {
			row, f, g := v[k*n:][:k+1], d[k], 0.0
			for j, x := range row[:k] {
				g += x * d[j]
				e[j] += x * f
			}
			e[k] += g + row[k]*f
		}
		f = 0
		for j := range i {
			e[j] /= h
			f += e[j] * d[j]
		}
		hh := f / (h + h)
		for j := range i {
			e[j] -= hh * d[j]
		}
		for k := range i {
			row, dk, ek := v[k*n:][:k+1], d[k], e[k]
			for j := range row {
				row[j] -= d[j]*ek + e[j]*dk
			}
		}
		for j := range i {
			d[j] = v[(i-1)*n+j]
			v[i*n+j] = 0
		}
		d[i] = h
	}
	sums := make([]float64, n)
	for i := range n - 1 {
		v[(n-1)*n+i] = v[i*n+i]
		v[i*n+i] = 1
		h := d[i+1]
		if h != 0 {
			for k := range i + 1 {
				d[k] = v[k*n+i+1] / h
			}
			clear(sums[:i+1])
			for k := range i + 1 {
				x := v[k*n+i+1]
				for j, y := range v[k*n:][:i+1] {
					sums[j] += x * y
				}
			}
			for k := range i + 1 {
				row, x := v[k*n:][:i+1], d[k]
				for j := range row {
					row[j] -= sums[j] * x
				}
			}
		}
		for k := range i + 1 {
			v[k*n+i+1] = 0
		}
	}
	for j := range n {
		d[j] = v[(n-1)*n+j]
		v[(n-1)*n+j] = 0
	}
	v[(n-1)*n+n-1] = 1
	e[0] = 0
}

// implicitQL diagonalises the matrix.
func implicitQL(v, d, e []float64, n int) {
	// The rotations go through columns of v: as rows, they are side by side.
	transpose(v, n)
	copy(e, e[1:])
	e[n-1] = 0
	f, largest := 0.0, 0.0
	for l := range n {
		largest = max(largest, math.Abs(d[l])+math.Abs(e[l]))
		m := l
		for m < n-1 && math.Abs(e[m]) > 0x1p-52*largest {
			m++
		}
		if m > l {
			for range 100 { // it takes two or three
				f += rotate(v, d, e, n, l, m)
				if math.Abs(e[l]) <= 0x1p-52*largest {
					break
				}
			}
		}
		d[l] += f
		e[l] = 0
	}
	transpose(v, n)
}

// rotate is one step of the QL algorithm between l and m. It returns the shift.
func rotate(v, d, e []float64, n, l, m int) float64 {
	g := d[l]
	p := (d[l+1] - g) / (2 * e[l])
	r := math.Hypot(p, 1)
	if p < 0 {
		r = -r
	}
	d[l] = e[l] / (p + r)
	d[l+1] = e[l] * (p + r)
	dl1 := d[l+1]
	h := g - d[l]
	for i := l + 2; i < n; i++ {
		d[i] -= h
	}
	p = d[m]
	c, c2, c3 := 1.0, 1.0, 1.0
	el1 := e[l+1]
	s, s2 := 0.0, 0.0
	for i := m - 1; i >= l; i-- {
		c3, c2, s2 = c2, c, s
		g = c * e[i]
		h := c * p
		r = math.Hypot(p, e[i])
		e[i+1] = s * r
		s = e[i] / r
		c = p / r
		p = c*d[i] - s*g
		d[i+1] = h + s*(c*g+s*d[i])
		a, b := v[i*n:][:n], v[(i+1)*n:][:n]
		for k, x := range a {
			y := b[k]
			b[k] = s*x + c*y
			a[k] = c*x - s*y
		}
	}
	p = -s * s2 * c3 * el1 * e[l] / dl1
	e[l] = s * p
	d[l] = c * p
	return h
}

func transpose(v []float64, n int) {
	for i := range n {
		for j := range i {
			v[i*n+j], v[j*n+i] = v[j*n+i], v[i*n+j]
		}
	}
}
