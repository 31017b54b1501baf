package engine

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A Step is a layer, or layers that run as one, of the plan for an input size.
type Step struct {
	Name  string        // torchvision module paths, and what of them
	Out   [3]int        // [C, H, W] of what it puts out
	Tasks int           // independent pieces that the threads share
	MACs  int           // multiply-adds for one image, without the rows computed twice
	Time  time.Duration // the fastest of the profiled runs on one thread
}

// Memory is what one image in flight needs besides the weights, in bytes.
type Memory struct {
	Activations int
	Scratch     int // per thread
}

// Profile runs an image, a batch of one, so many times on the calling goroutine
// alone. It returns the steps of the plan for its size, each with the least time
// that it took, and the memory that the plan needs.
func (e *Engine) Profile(ctx context.Context, in Input, runs int) ([]Step, Memory, error) {
	if err := e.enter(); err != nil {
		return nil, Memory{}, err
	}
	defer e.open.RUnlock()
	out := Output{Logits: make([]float32, e.program.config.Classes)}
	if in.N != 1 {
		return nil, Memory{}, fmt.Errorf("a batch of %d images to profile: want 1", in.N)
	}
	if err := e.check(in, out); err != nil {
		return nil, Memory{}, err
	}
	p := e.plan(planKey{size: size{in.H, in.W}, images: 1, results: true})
	x := exec{pixels: in.Pixels, data: in.Data, logits: out.Logits}
	p.own(&x)
	steps := make([]Step, len(p.steps))
	for i, s := range p.steps {
		steps[i] = s.describe()
		steps[i].Tasks, steps[i].Time = s.tasks(), math.MaxInt64
	}
	for range runs {
		if err := ctx.Err(); err != nil {
			return nil, Memory{}, err
		}
		for i, s := range p.steps {
			start := time.Now()
			for task := range s.tasks() {
				s.run(&x, task)
			}
			steps[i].Time = min(steps[i].Time, time.Since(start))
		}
	}
	return steps, Memory{Activations: p.act, Scratch: p.scratch}, nil
}

// macs is what one layer does for an output of pixels.
func (w weights) macs(pixels int) int { return w.n * w.k * pixels }

func (s *strip) describe() Step {
	d := Step{Out: [3]int{s.net.first.n, s.dst.h, s.dst.w}}
	var blocks []string
	for i := range s.levels {
		l := &s.levels[i]
		in, out := l.in.h*l.in.w, l.out.h*l.out.w
		if l.b == nil {
			d.MACs += s.net.first.macs(out)
			continue
		}
		d.MACs += l.b.expand.macs(in) + l.b.depthwise.macs(out) + l.b.project.macs(out)
		d.Out[0] = l.b.Out
		blocks = append(blocks, l.b.Name)
	}
	d.Name = stripName(s.src == nil, blocks)
	return d
}

// stripName names a strip of blocks, behind the first convolution where image is
// set.
func stripName(image bool, blocks []string) string {
	switch n := len(blocks); {
	case image && n == 0:
		return "features.0"
	case image:
		return "features.0 to " + blocks[n-1]
	case n == 1:
		return blocks[0]
	default:
		return blocks[0] + " to " + blocks[n-1]
	}
}

func (s *expand) describe() Step {
	name := s.b.Name + " expand, depthwise"
	if s.b.Expand == nil {
		name = s.b.Name + " depthwise"
	}
	return Step{
		Name: name, Out: [3]int{s.b.Hidden, s.dst.h, s.dst.w},
		MACs: s.b.expand.macs(s.src.h*s.src.w) + s.b.depthwise.macs(s.dst.h*s.dst.w),
	}
}

func (s *project) describe() Step {
	return Step{
		Name: s.b.Name + " project", Out: [3]int{s.b.Out, s.dst.h, s.dst.w},
		MACs: s.b.project.macs(s.dst.h * s.dst.w),
	}
}

func (s *lastPool) describe() Step {
	return Step{
		Name: fmt.Sprintf("features.%d, avgpool", len(s.net.bottlenecks)+1), Out: [3]int{s.net.last.n, 1, 1},
		MACs: s.net.last.macs(s.src.h * s.src.w),
	}
}

func (s *linear) describe() Step {
	name := "classifier"
	if s.dst != nil {
		name = "hidden layer"
	}
	return Step{Name: name, Out: [3]int{s.w.n, 1, 1}, MACs: s.w.macs(1)}
}
