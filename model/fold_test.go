package model

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestUnfoldThenFoldIsExact(t *testing.T) {
	conv := Conv{Name: "c", Norm: "n", In: 1, Out: 1, Kernel: 1, Stride: 1, Groups: 1}
	rapid.Check(t, func(t *rapid.T) {
		eps := rapid.Float64Range(1e-9, 0.5).Draw(t, "eps")
		w := rapid.Float32().Draw(t, "w")
		b := rapid.Float32().Draw(t, "b")
		m := &Model{Config: Config{BNEps: eps}, Dict: StateDict{}}
		Unfold(m.Dict, conv, []float32{w}, []float32{b}, eps)
		fw, fb := m.Fold(conv)
		if fw[0] != w || fb[0] != b {
			t.Fatalf("eps %v: %v and %v became %v and %v", eps, w, b, fw[0], fb[0])
		}
	})
}

func TestFoldIsTheNormOfTheConvolution(t *testing.T) {
	cfg := Default()
	m, err := New(cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	conv := cfg.Network().First
	for o := range conv.Out {
		m.Dict[conv.Norm+".running_mean"].Data[o] = float32(o) / 7
		m.Dict[conv.Norm+".running_var"].Data[o] = 0.3 + float32(o)/9
		m.Dict[conv.Norm+".bias"].Data[o] = float32(o) - 5
		m.Dict[conv.Norm+".weight"].Data[o] = 1 - float32(o)/11
	}
	w, b := m.Fold(conv)
	src := m.Dict[conv.Name+".weight"].Data
	for o := range conv.Out {
		var plain, folded float64 // the response to an input of ones
		for i := o * 27; i < (o+1)*27; i++ {
			plain += float64(src[i])
			folded += float64(w[i])
		}
		std := math.Sqrt(0.3 + float64(o)/9 + cfg.BNEps)
		want := (plain-float64(o)/7)/std*(1-float64(o)/11) + float64(o) - 5
		if got := folded + float64(b[o]); math.Abs(got-want) > 1e-5 {
			t.Errorf("channel %d: %v, want %v", o, got, want)
		}
	}
}
