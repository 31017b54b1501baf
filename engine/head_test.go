package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestHeads runs hidden layers, a single output, no classifier, and a first block
// without its residual, against the naive network.
func TestHeads(t *testing.T) {
	narrow := func() model.Config {
		c := model.Default()
		c.Width, c.LastChannels, c.Classes = 0.25, 40, 5 // 8 channels in and out of the first block
		return c
	}
	hidden, single, none, stem := narrow(), narrow(), narrow(), narrow()
	hidden.Head.Hidden = []int{70, 9}
	single.Classes, single.Head.Sigmoid = 1, true
	none.Classes = 0
	stem.NoStemResidual = true
	for name, c := range map[string]model.Config{"hidden": hidden, "single": single, "none": none, "stem": stem} {
		m := random(t, c)
		rng := rand.New(rand.NewPCG(5, 6))
		for _, l := range c.Network().Linears() { // small enough for ReLU to cut some, and large enough to matter
			for _, part := range []string{".weight", ".bias"} {
				for i := range m.Dict[l.Name+part].Data {
					m.Dict[l.Name+part].Data[i] = rng.Float32() - 0.5
				}
			}
		}
		const n, side = 5, 40
		data := pixels(n * side * side * 3)
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(t *testing.T) {
				e := compile(t, m, threads)
				defer e.Close()
				features := c.Network().Features()
				out := Output{Logits: make([]float32, n*c.Classes), Features: make([]float32, n*features)}
				if err := e.Run(t.Context(), Input{Data: data, N: n, H: side, W: side}, out); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					logits, want, _ := naive(m, data[i*side*side*3:], side, side)
					compare := func(what string, got []float32, want []float64) {
						top := 1.0
						for _, v := range want {
							top = max(top, math.Abs(v))
						}
						for j, v := range got {
							if !(math.Abs(float64(v)-want[j]) <= 1e-5*top) {
								t.Fatalf("image %d: %s %d is %v, want %v", i, what, j, v, want[j])
							}
						}
					}
					compare("feature", out.Features[i*features:][:features], want)
					compare("logit", out.Logits[i*c.Classes:][:c.Classes], logits)
				}
				alone := make([]float32, c.Classes) // the same bits
				err := e.Run(t.Context(), Input{Data: data[:side*side*3], N: 1, H: side, W: side}, Output{Logits: alone})
				if err != nil || !slices.Equal(alone, out.Logits[:c.Classes]) {
					t.Errorf("alone %v, in a batch %v (%v)", alone, out.Logits[:c.Classes], err)
				}
			})
		}
	}
}
