package mobilenet_test

import (
	"errors"
	"image"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
)

// quantised returns the small network in 8-bit integers.
func quantised(t *testing.T) *model.Quantized {
	t.Helper()
	m, err := mobilenet.LoadModel(t.Context(), weights)
	if err != nil {
		t.Fatal(err)
	}
	var each iter.Seq2[image.Image, error] = func(yield func(image.Image, error) bool) {
		for _, p := range photos() {
			if !yield(p, nil) {
				return
			}
		}
	}
	q, err := quant.Calibrate(t.Context(), m, each, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range q.Config.Network().Blocks {
		if !b.Residual() {
			q.Sums[i] = model.QuantizedSum{} // means nothing, and no file keeps it
		}
	}
	return q
}

// TestQuantised: a file of 8-bit integers runs as such, or as float32 where that is
// asked for, whatever is in the cache.
func TestQuantised(t *testing.T) {
	q := quantised(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "q.safetensors")
	if err := mobilenet.SaveQuantized(path, q); err != nil {
		t.Fatal(err)
	}
	answers := func(c *mobilenet.Classifier, err error) [][]float32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Logits(t.Context(), photos())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	inBytes := answers(mobilenet.NewQuantized(q))
	inFloats := answers(mobilenet.New(q.Dequantize()))
	if slices.Equal(inBytes[0], inFloats[0]) {
		t.Fatal("8-bit integers and float32 answer the same to the bit")
	}
	if got := answers(mobilenet.NewQuantized(q, mobilenet.WithPrecision(mobilenet.Float32))); !cmp.Equal(got, inFloats) {
		t.Errorf("a network in memory, as float32: %v, want %v", got, inFloats)
	}
	cache := mobilenet.WithCache(filepath.Join(dir, "cache"))
	for i, precision := range []mobilenet.Precision{"float32", "", "float32", "int8", ""} {
		c, err := mobilenet.Open(t.Context(), path, cache, mobilenet.WithPrecision(precision))
		got, want, runs := answers(c, err), inBytes, mobilenet.Int8
		if precision == mobilenet.Float32 {
			want, runs = inFloats, mobilenet.Float32
		}
		if !cmp.Equal(got, want) || c.Precision() != runs || c.Dequantized() != (runs == mobilenet.Float32) {
			t.Errorf("%d, precision %q: runs in %s, dequantised %v: %v, want %v", i, precision, c.Precision(), c.Dequantized(), got, want)
		}
	}
}

// TestLoadQuantised: as it is, or as float32.
func TestLoadQuantised(t *testing.T) {
	q := quantised(t)
	path := filepath.Join(t.TempDir(), "q.safetensors")
	if err := mobilenet.SaveQuantized(path, q); err != nil {
		t.Fatal(err)
	}
	labels := []string{"a", "b", "c", "d", "e"}
	opts := []mobilenet.Option{mobilenet.WithLabels(labels), mobilenet.WithInput(model.Input{Height: 96, Resize: 100})}
	got, err := mobilenet.LoadQuantized(t.Context(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mobilenet.LoadModel(t.Context(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	q.Labels = labels
	q.Config.SetInput(96, 96)
	q.Config.Preprocess.Resize, q.Assumed.Resolution, q.Assumed.Resize = 100, false, false
	if diff := cmp.Diff(q, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(q.Dequantize(), m); diff != "" || !m.Dequantized {
		t.Errorf("as float32 (-want +got):\n%s", diff)
	}
}

// TestNotQuantised: 8 bits are wanted of a model of float32.
func TestNotQuantised(t *testing.T) {
	_, err1 := mobilenet.LoadQuantized(t.Context(), weights)
	_, err2 := mobilenet.Open(t.Context(), weights, mobilenet.WithPrecision(mobilenet.Int8))
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, mobilenet.ErrNotQuantized) || !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), weights) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := mobilenet.Open(t.Context(), weights, mobilenet.WithPrecision("half")); err == nil || !strings.Contains(err.Error(), `precision "half": want float32 or int8`) {
		t.Errorf("error %v", err)
	}
	if err := mobilenet.SaveQuantized("a.pth", quantised(t)); err == nil || !strings.Contains(err.Error(), "a.pth: 8-bit integers are kept in files whose name ends in .safetensors") {
		t.Errorf("error %v", err)
	}
	if err := mobilenet.SaveQuantized("a.safetensors", nil); err == nil {
		t.Error("no network, and no error")
	}
	if _, err := mobilenet.NewQuantized(nil); err == nil {
		t.Error("no network, and no error")
	}
	if _, err := mobilenet.NewQuantized(&model.Quantized{}); err == nil {
		t.Error("an empty network, and no error")
	}
	var f *fault.Error
	if !errors.As(err1, &f) || f.File != weights {
		t.Errorf("a %T", err1)
	}
}

// TestForeign: what others quantised runs in their integers, or as float32 where that is
// asked for or part of it is that, whatever is in the cache.
func TestForeign(t *testing.T) {
	const zoo, unfit = "onnx/testdata/foreign/zoo.onnx", "onnx/testdata/foreign/float_first.onnx"
	cache := mobilenet.WithCache(t.TempDir())
	answers := func(c *mobilenet.Classifier, err error) [][]float32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Logits(t.Context(), photos())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	q, err := mobilenet.LoadQuantized(t.Context(), zoo)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mobilenet.LoadModel(t.Context(), zoo)
	if err != nil || !m.Dequantized || m.Unfit != "" {
		t.Fatalf("%v, dequantised %v, unfit for %q", err, m.Dequantized, m.Unfit)
	}
	want := map[mobilenet.Precision][][]float32{
		mobilenet.Int8: answers(mobilenet.NewQuantized(q)), mobilenet.Float32: answers(mobilenet.New(m)),
	}
	for i, precision := range []mobilenet.Precision{"float32", "", "float32", "int8", ""} {
		runs := mobilenet.Int8
		if precision == mobilenet.Float32 {
			runs = mobilenet.Float32
		}
		c, err := mobilenet.Open(t.Context(), zoo, cache, mobilenet.WithPrecision(precision))
		if got := answers(c, err); !cmp.Equal(got, want[runs]) || c.Precision() != runs || c.Dequantized() != (runs == mobilenet.Float32) || c.Unfit() != "" {
			t.Errorf("%d, precision %q: runs in %s, dequantised %v, unfit for %q: %v, want %v", i, precision, c.Precision(), c.Dequantized(), c.Unfit(), got, want[runs])
		}
	}
	for range 2 { // made, and from the cache
		c, err := mobilenet.Open(t.Context(), unfit, cache)
		if err != nil || c.Precision() != mobilenet.Float32 || !c.Dequantized() || !strings.Contains(c.Unfit(), "(Conv): it takes numbers") {
			t.Fatalf("%v, %s, dequantised %v, unfit for %q", err, c.Precision(), c.Dequantized(), c.Unfit())
		}
	}
	_, err1 := mobilenet.Open(t.Context(), unfit, mobilenet.WithPrecision(mobilenet.Int8))
	_, err2 := mobilenet.LoadQuantized(t.Context(), unfit)
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, mobilenet.ErrNotQuantized) || !strings.Contains(err.Error(), "(Conv): it takes numbers") {
			t.Errorf("error %v", err)
		}
	}
}
