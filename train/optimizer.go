package train

import (
	"fmt"
	"math"
)

// An Optimizer names an update rule, as PyTorch implements it.
type Optimizer string

// The optimizers: stochastic gradient descent with momentum, RMSprop with
// momentum (the paper's), and Adam with decoupled weight decay.
const (
	SGD     Optimizer = "sgd"
	RMSprop Optimizer = "rmsprop"
	AdamW   Optimizer = "adamw"
)

// A rule is how an optimizer updates a parameter.
type rule struct {
	name    Optimizer
	buffers int     // what it remembers of a parameter, in the order of the state file
	rate    float64 // a learning rate that suits it from random weights; 0 for the recipe's
	eps     float64
	update  func(o *optimizer, p *parameter, s state, u update)
}

// rules are all optimizers. A new one is a row here and its update.
var rules = []rule{
	{name: SGD, buffers: 1, update: sgd},
	// eps is that of the paper's training in TensorFlow: sqrt(0.001), which stands
	// outside of the root here.
	{name: RMSprop, buffers: 2, eps: 0.0316, update: rmsprop},
	// PyTorch's defaults.
	{name: AdamW, buffers: 2, eps: 1e-8, rate: 0.001, update: adamw},
}

// Optimizers lists the optimizers.
func Optimizers() []Optimizer {
	var names []Optimizer
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// ruleOf returns the zero rule for an optimizer that there is not.
func ruleOf(o Optimizer) rule {
	for _, r := range rules {
		if r.name == o {
			return r
		}
	}
	return rule{}
}

// hyper are the numbers of an optimizer.
type hyper struct {
	rule         Optimizer
	momentum     float64 // SGD and RMSprop
	alpha        float64 // RMSprop's decay of squared gradients
	beta1, beta2 float64 // AdamW
	eps          float64
	decay        float64 // weight decay
}

// state is what a rule remembers of a parameter, each of the parameter's size: SGD
// the momentum, RMSprop squares and momentum, AdamW the first and second moment.
type state [][]float32

// update is of one parameter in one step.
type update struct {
	lr    float64
	scale float64 // of the gradient
	decay float64 // weight decay: 0 for normalisation and bias
}

// An optimizer updates parameters.
type optimizer struct {
	hyper
	rule   rule
	params []*parameter
	states []state
	pieces []piece // of params
	steps  int
}

func newOptimizer(h hyper, params []*parameter) (*optimizer, error) {
	r := ruleOf(h.rule)
	if r.update == nil {
		return nil, fmt.Errorf("optimizer %q: want one of %q", h.rule, Optimizers())
	}
	o := &optimizer{hyper: h, rule: r, params: params, states: make([]state, len(params))}
	for i, p := range params {
		for range r.buffers {
			o.states[i] = append(o.states[i], make([]float32, len(p.Value)))
		}
	}
	o.pieces = piecesOf(params)
	return o, nil
}

func piecesOf(params []*parameter) []piece {
	return pieces(len(params), func(i int) int { return len(params[i].Value) })
}

// step updates all parameters with their gradients times scale, at learning rate
// lr.
func (o *optimizer) step(threads int, lr, scale float64) {
	o.steps++
	each(threads, len(o.pieces), func(i int) {
		at := o.pieces[i]
		p := *o.params[at.array]
		u := update{lr: lr * p.Rate, scale: scale}
		if p.Decay {
			u.decay = o.decay
		}
		p.Value, p.Grad = p.Value[at.begin:at.end], p.Grad[at.begin:at.end]
		var s state
		for _, all := range o.states[at.array] {
			s = append(s, all[at.begin:at.end])
		}
		o.rule.update(o, &p, s, u)
	})
}

func sgd(o *optimizer, p *parameter, s state, u update) {
	momentum, buf := float32(o.momentum), s[0]
	lr, scale, decay := float32(u.lr), float32(u.scale), float32(u.decay)
	for i, w := range p.Value {
		v := momentum*buf[i] + scale*p.Grad[i] + decay*w
		buf[i] = v
		p.Value[i] = w - lr*v
	}
}

func rmsprop(o *optimizer, p *parameter, s state, u update) {
	alpha, eps, momentum := float32(o.alpha), float32(o.eps), float32(o.momentum)
	lr, scale, decay := float32(u.lr), float32(u.scale), float32(u.decay)
	for i, w := range p.Value {
		g := scale*p.Grad[i] + decay*w
		square := alpha*s[0][i] + (1-alpha)*g*g
		v := momentum*s[1][i] + g/(float32(math.Sqrt(float64(square)))+eps)
		s[0][i], s[1][i] = square, v
		p.Value[i] = w - lr*v
	}
}

func adamw(o *optimizer, p *parameter, s state, u update) {
	b1, b2 := float32(o.beta1), float32(o.beta2)
	rate := float32(u.lr / (1 - math.Pow(o.beta1, float64(o.steps))))
	correct := float32(1 / math.Sqrt(1-math.Pow(o.beta2, float64(o.steps))))
	keep, eps, scale := float32(1-u.lr*u.decay), float32(o.eps), float32(u.scale)
	for i, w := range p.Value {
		g := scale * p.Grad[i]
		m := b1*s[0][i] + (1-b1)*g
		v := b2*s[1][i] + (1-b2)*g*g
		s[0][i], s[1][i] = m, v
		p.Value[i] = w*keep - rate*m/(float32(math.Sqrt(float64(v)))*correct+eps)
	}
}

// gradNorm is the Euclidean length of all gradients together.
func gradNorm(threads int, params []*parameter) float64 {
	pieces := piecesOf(params)
	squares := make([]float64, len(pieces))
	each(threads, len(pieces), func(i int) {
		at := pieces[i]
		for _, g := range params[at.array].Grad[at.begin:at.end] {
			squares[i] += float64(g) * float64(g)
		}
	})
	var sum float64
	for _, s := range squares {
		sum += s
	}
	return math.Sqrt(sum)
}
