package train

import (
	"fmt"
	"math"
)

// An Optimizer names an update rule, as PyTorch implements it.
type Optimizer string

// The optimisers: stochastic gradient descent with momentum, RMSprop with
// momentum (the paper's), and Adam with decoupled weight decay.
const (
	SGD     Optimizer = "sgd"
	RMSprop Optimizer = "rmsprop"
	AdamW   Optimizer = "adamw"
)

// hyper are the numbers of an optimiser.
type hyper struct {
	rule         Optimizer
	momentum     float64 // SGD and RMSprop
	alpha        float64 // RMSprop's decay of squared gradients
	beta1, beta2 float64 // AdamW
	eps          float64
	decay        float64 // weight decay
}

// state is what the rule remembers of a parameter: SGD the momentum buffer,
// RMSprop squares and momentum, AdamW the first and second moment.
type state [2][]float32

// buffers is how many of a state's slices a rule uses.
func (o Optimizer) buffers() int {
	if o == SGD {
		return 1
	}
	return 2
}

// An optimizer updates parameters.
type optimizer struct {
	hyper
	params []*Parameter
	states []state
	steps  int
}

func newOptimizer(h hyper, params []*Parameter) (*optimizer, error) {
	switch h.rule {
	case SGD, RMSprop, AdamW:
	default:
		return nil, fmt.Errorf("optimizer %q: want %s, %s or %s", h.rule, SGD, RMSprop, AdamW)
	}
	o := &optimizer{hyper: h, params: params, states: make([]state, len(params))}
	for i, p := range params {
		for b := range h.rule.buffers() {
			o.states[i][b] = make([]float32, len(p.Value))
		}
	}
	return o, nil
}

// step updates all parameters with their gradients times scale, at learning rate
// lr.
func (o *optimizer) step(threads int, lr, scale float64) {
	o.steps++
	each(threads, len(o.params), func(i int) {
		p, s := o.params[i], o.states[i]
		decay := 0.0
		if p.Decay {
			decay = o.decay
		}
		switch o.rule {
		case SGD:
			o.sgd(p, s[0], float32(lr), float32(scale), float32(decay))
		case RMSprop:
			o.rmsprop(p, s, float32(lr), float32(scale), float32(decay))
		case AdamW:
			o.adamw(p, s, lr, float32(scale), decay)
		}
	})
}

func (o *optimizer) sgd(p *Parameter, buf []float32, lr, scale, decay float32) {
	momentum := float32(o.momentum)
	for i, w := range p.Value {
		v := momentum*buf[i] + scale*p.Grad[i] + decay*w
		buf[i] = v
		p.Value[i] = w - lr*v
	}
}

func (o *optimizer) rmsprop(p *Parameter, s state, lr, scale, decay float32) {
	alpha, eps, momentum := float32(o.alpha), float32(o.eps), float32(o.momentum)
	for i, w := range p.Value {
		g := scale*p.Grad[i] + decay*w
		square := alpha*s[0][i] + (1-alpha)*g*g
		v := momentum*s[1][i] + g/(float32(math.Sqrt(float64(square)))+eps)
		s[0][i], s[1][i] = square, v
		p.Value[i] = w - lr*v
	}
}

func (o *optimizer) adamw(p *Parameter, s state, lr float64, scale float32, decay float64) {
	b1, b2 := float32(o.beta1), float32(o.beta2)
	rate := float32(lr / (1 - math.Pow(o.beta1, float64(o.steps))))
	correct := float32(1 / math.Sqrt(1-math.Pow(o.beta2, float64(o.steps))))
	keep, eps := float32(1-lr*decay), float32(o.eps)
	for i, w := range p.Value {
		g := scale * p.Grad[i]
		m := b1*s[0][i] + (1-b1)*g
		v := b2*s[1][i] + (1-b2)*g*g
		s[0][i], s[1][i] = m, v
		p.Value[i] = w*keep - rate*m/(float32(math.Sqrt(float64(v)))*correct+eps)
	}
}

// norm is the Euclidean length of all gradients together.
func gradNorm(params []*Parameter) float64 {
	var sum float64
	for _, p := range params {
		for _, g := range p.Grad {
			sum += float64(g) * float64(g)
		}
	}
	return math.Sqrt(sum)
}
