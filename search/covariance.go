package search

import (
	"context"
	"sync"
)

// covariance returns the covariance of so many sampled rows, [dim][dim], the lower triangle copied
// to the upper one. Rows are taken in groups, and each goroutine has some rows of the
// matrix, so that the result is the same for any number of them.
func (x *Index) covariance(ctx context.Context, mean []float64, rows int) ([]float64, error) {
	dim := len(mean)
	sum := make([]float64, dim*dim)
	const group = 64
	var some []float64 // [up to group][dim], less the mean
	add := func() {
		var wait sync.WaitGroup
		n := workers(0)
		for w := range n {
			wait.Go(func() {
				for i := w; i < dim; i += n {
					row := sum[i*dim:][:i+1]
					for at := 0; at < len(some); at += dim {
						v := some[at:][:dim]
						f := v[i]
						for j, u := range v[:i+1] {
							row[j] += float64(f * u)
						}
					}
				}
			})
		}
		wait.Wait()
		some = some[:0]
	}
	for r, err := range x.sample() {
		if err != nil || ctx.Err() != nil {
			return nil, first(ctx.Err(), err)
		}
		for k, v := range r.Vector {
			some = append(some, float64(v)-mean[k])
		}
		if len(some) == group*dim {
			add()
		}
	}
	add()
	for i := range dim {
		for j := range i + 1 {
			v := sum[i*dim+j] / float64(rows-1)
			sum[i*dim+j], sum[j*dim+i] = v, v
		}
	}
	return sum, nil
}
