package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestNumericGradient compares the gradient of every parameter tensor with the
// difference of losses along it, over odd sizes, both paddings, expand ratios and
// channel counts that fill no block.
func TestNumericGradient(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 2))
		draw := func(least, most int) int { return least + rng.IntN(most-least+1) }
		c := model.Default()
		c.Resolution = draw(32, 45)
		c.Padding = []model.Padding{model.PadTorch, model.PadSame}[draw(0, 1)]
		c.RoundTo, c.Width, c.Classes, c.Dropout = 1, 1, draw(2, 40), 0
		c.FirstChannels, c.LastChannels = draw(3, 40), draw(3, 40)
		c.Table = nil
		for range draw(1, 3) {
			c.Table = append(c.Table, model.Stage{T: float64(draw(1, 3)), C: draw(3, 40), N: draw(1, 2), S: draw(1, 2)})
		}
		m, err := model.New(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		head := m.Dict["classifier.1.weight"].Data
		for i := range head {
			head[i] *= 100 // gradients that rounding doesn't drown
		}
		for _, conv := range c.Network().Convs() { // norms that do something, fixed ones too
			for i := range conv.Out {
				m.Dict[conv.Norm+".weight"].Data[i] = 0.5 + rng.Float32()
				m.Dict[conv.Norm+".running_mean"].Data[i] = rng.Float32() - 0.5
				m.Dict[conv.Norm+".running_var"].Data[i] = 0.2 + rng.Float32()
			}
		}
		n, err := newNetwork(m, 2, 0, seed%3 == 0)
		if err != nil {
			t.Fatal(err)
		}
		images := draw(2, 9)
		x := make([]float32, images*c.Resolution*c.Resolution*3)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		target := make([]float32, images*c.Classes)
		for i := range images {
			oneHot(target[i*c.Classes:][:c.Classes], rng.IntN(c.Classes), 0)
		}
		loss := func(back bool) float64 {
			logits, err := n.forward(x, images, nil)
			if err != nil {
				t.Fatal(err)
			}
			grad := make([]float32, len(logits))
			l := softmaxLoss(grad, logits, target, c.Classes)
			if back {
				n.backward(grad)
			} else {
				n.release()
			}
			return l
		}
		loss(true)
		for _, p := range n.params {
			checkDirection(t, seed, p, func() float64 { return loss(false) })
		}
	}
}

// checkDirection moves p along its gradient, forth and back. Steps of several
// lengths are tried: a long one crosses corners of ReLU6, a short one drowns in
// rounding.
func checkDirection(t *testing.T, seed uint64, p *parameter, loss func() float64) {
	length := gradNorm(1, []*parameter{p})
	if length < 1e-2 { // such as the bias of a bottleneck before another norm
		return
	}
	before := append([]float32(nil), p.Value...)
	best := math.Inf(1)
	for _, change := range []float64{3e-3, 1e-3, 3e-4, 1e-4, 3e-5} {
		step := change / (length * length)
		at := func(s float64) float64 {
			for i, g := range p.Grad {
				p.Value[i] = before[i] + float32(s*step*float64(g))
			}
			return loss()
		}
		got := (at(1) - at(-1)) / (2 * change)
		copy(p.Value, before)
		if best = min(best, math.Abs(got-1)); best < 0.1 {
			return
		}
	}
	t.Errorf("case %d: %s: along the gradient (length %v) the loss changes %.3f off what it should", seed, p.Name, length, best)
}
