package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestSetsSameBits has AVX2, AVX-512 and the mixture of both give the same logits,
// for batches on one thread and on several.
func TestSetsSameBits(t *testing.T) {
	if _, err := kernel.Choose("avx512"); err != nil {
		testenv.Skip(t, "avx512", err.Error())
	}
	widths, sides := []float64{0.35, 1, 1.4}, []int{96, 128, 224, 320}
	if testing.Short() {
		widths, sides = widths[:1], sides[:2]
	}
	for _, width := range widths {
		c := model.Default()
		c.Width = width
		m := random(t, c)
		for _, side := range sides {
			image := side * side * 3
			data := pixels(8 * image)
			var want []float32
			for _, set := range []string{"avx2", "avx512", "avx2+avx512"} {
				for threads := 1; threads <= 3; threads++ {
					e, err := Compile(m, Options{Threads: threads, CPU: set})
					if err != nil {
						t.Fatal(err)
					}
					if e.CPU() != set {
						t.Fatalf("%s kernels, want %s", e.CPU(), set)
					}
					for _, n := range []int{8, 3, 1} {
						got := outputs(t, e, Input{Data: data[:n*image], N: n, H: side, W: side}).Logits
						if want == nil {
							want = got
						}
						if !slices.Equal(got, want[:len(got)]) {
							t.Errorf("width %v, %dx%d, batch %d, %d threads: %s has other bits than avx2", width, side, side, n, threads, set)
						}
					}
					e.Close()
				}
			}
		}
	}
}

// TestKernels has an engine say what computes its layers, and why.
func TestKernels(t *testing.T) {
	m := random(t, small())
	for _, set := range kernel.Available() {
		e, err := Compile(m, Options{Threads: 1, CPU: set.Name})
		if err != nil {
			t.Fatal(err)
		}
		kernels := e.Kernels()
		for _, k := range kernels {
			if k.Layers == "" || k.Why == "" || len(set.Choices) == 0 && k.CPU != set.Name {
				t.Errorf("%s: %+v", set.Name, k)
			}
		}
		if len(kernels) != max(1, len(set.Choices)) {
			t.Errorf("%s: %+v", set.Name, kernels)
		}
		e.Close()
	}
	t.Setenv("MOBILENET_CPU", "generic")
	e := compile(t, m, 1)
	defer e.Close()
	if got, want := fmt.Sprint(e.Kernels()), "[{all layers generic generic was asked for}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := Compile(m, Options{CPU: "avx2+mmx"}); err == nil {
		t.Error("avx2+mmx has kernels")
	}
}
