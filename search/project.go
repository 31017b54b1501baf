package search

import (
	"fmt"
	"math"
)

// Project makes a row of this index of a model's features: by its projection, if it
// has one, and of length 1, if all its rows are. Features that need neither are
// returned as they are.
func (h *head) Project(features []float32) ([]float32, error) {
	return Project(&h.meta, h.projection, features)
}

// Project makes a row as m says of a model's features, by a projection as [Create]
// takes it.
func Project(m *Meta, projection, features []float32) ([]float32, error) {
	want := m.Dim
	if m.Features > 0 {
		want = m.Features
	}
	if len(features) != want {
		return nil, fmt.Errorf("%d features, and the index is of %d", len(features), want)
	}
	v := features
	if m.Features > 0 {
		v = reduce(m, projection, features)
	}
	if m.Normalized {
		v = Normalized(v)
	}
	return v, nil
}

// reduce multiplies what features differ from the mean in by the directions:
//
//	out[i] = Σk directions[i][k]*(features[k]-mean[k])
func reduce(m *Meta, projection, features []float32) []float32 {
	n := m.Features
	mean, directions := projection[:n], projection[n:]
	centred := make([]float64, n)
	for k, x := range features {
		centred[k] = float64(x) - float64(mean[k])
	}
	out := make([]float32, m.Dim)
	for i := range out {
		sum := 0.0
		for k, d := range directions[i*n:][:n] {
			sum += float64(float64(d) * centred[k])
		}
		out[i] = float32(sum)
	}
	return out
}

// Normalized returns v divided by its length; one of length 0 stays as it is, and so does
// one of length 1 as far as float32 can have it.
func Normalized(v []float32) []float32 {
	square := 0.0
	for _, x := range v {
		square += float64(float64(x) * float64(x))
	}
	out := make([]float32, len(v))
	if square == 0 || math.Abs(square-1) < 1e-6 {
		copy(out, v)
		return out
	}
	norm := math.Sqrt(square)
	for i, x := range v {
		out[i] = float32(float64(x) / norm)
	}
	return out
}
