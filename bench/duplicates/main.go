// Command duplicates makes an index of many rows of the features of few photos, to
// measure mobilenet duplicates with:
//
//	mobilenet embed photos/ -o few.mnidx
//	go run ./bench/duplicates few.mnidx many.mnidx 100000
//	/usr/bin/time -v mobilenet duplicates --index many.mnidx > /dev/null
//
// Each row is a mixture of two photos' features with some noise; each hundredth is
// nearly another.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/mobilenet-go/mobilenet/search"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want an index of photos, the index to make, and its number of rows")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	few, err := search.Open(args[0])
	if err != nil {
		return err
	}
	defer few.Close()
	w, err := search.Create(args[1], few.Meta(), nil)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 1))
	var a, b, last []float32
	for i := range n {
		if a, err = few.Row(r.IntN(few.Len()), a); err != nil {
			return err
		}
		if b, err = few.Row(r.IntN(few.Len()), b); err != nil {
			return err
		}
		share, noise := r.Float32(), float32(1)
		if i%100 == 99 {
			copy(a, last)
			copy(b, last)
			noise = 0.1
		}
		for k := range a {
			a[k] = (share*a[k] + (1-share)*b[k]) * (1 + noise*(2*r.Float32()-1))
		}
		last = append(last[:0], a...)
		if err := w.Add(fmt.Sprintf("photos/%06d.jpg", i), a); err != nil {
			return err
		}
		if i%10_000 == 9_999 {
			if err := w.Commit(); err != nil {
				return err
			}
		}
	}
	return w.Close()
}
