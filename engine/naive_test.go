package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// naive runs a model the slow and obvious way: one image, planes of float64,
// convolutions and norms one by one as they stand in the paper. It returns the
// logits, the features, and what each module puts out.
func naive(m *model.Model, img []float32, h, w int) (logits, features []float64, maps map[string]volume) {
	return naivePoked(m, img, h, w, func(string, volume) {})
}

// naivePoked is naive with poke changing what a module has put out, before the next reads it.
func naivePoked(m *model.Model, img []float32, h, w int, poke func(module string, x volume)) (logits, features []float64, maps map[string]volume) {
	x := volume{c: 3, h: h, w: w, v: make([]float64, 3*h*w)}
	for p := range h * w {
		for c := range 3 {
			x.v[c*h*w+p] = float64(img[p*3+c])
		}
	}
	n := m.Config.Network()
	x = naiveConv(m, n.First, x)
	maps = map[string]volume{"features.0": x}
	poke("features.0", x)
	for _, b := range n.Blocks {
		y := x
		for i, c := range b.Convs() {
			y = naiveConv(m, c, y)
			if c.ReLU6 {
				maps[fmt.Sprintf("%s.conv.%d", b.Name, i)] = y
				poke(fmt.Sprintf("%s.conv.%d", b.Name, i), y)
			}
		}
		maps[b.Name+".conv"] = y
		poke(b.Name+".conv", y)
		if b.Residual() {
			y.v = slices.Clone(y.v)
			for i := range y.v {
				y.v[i] += x.v[i]
			}
		}
		maps[b.Name] = y
		poke(b.Name, y)
		x = y
	}
	x = naiveConv(m, n.Last, x)
	maps[fmt.Sprintf("features.%d", len(n.Blocks)+1)] = x
	poke(fmt.Sprintf("features.%d", len(n.Blocks)+1), x)
	for c := range x.c {
		sum := 0.0
		for _, v := range x.v[c*x.h*x.w : (c+1)*x.h*x.w] {
			sum += v
		}
		features = append(features, sum/float64(x.h*x.w))
	}
	if n.Classifier.Out == 0 {
		return nil, features, maps
	}
	logits = features
	for i, l := range n.Linears() {
		weight, bias := m.Dict[l.Name+".weight"].Data, m.Dict[l.Name+".bias"].Data
		in, out := logits, make([]float64, l.Out)
		for o := range out {
			out[o] = float64(bias[o])
			for j, v := range in {
				if i > 0 {
					v = max(v, 0) // ReLU
				}
				out[o] += v * float64(weight[o*len(in)+j])
			}
		}
		logits = out
	}
	return logits, features, maps
}

// volume is [c][h][w].
type volume struct {
	c, h, w int
	v       []float64
}

func (x volume) at(c, y, col int) float64 {
	if y < 0 || y >= x.h || col < 0 || col >= x.w {
		return 0
	}
	return x.v[(c*x.h+y)*x.w+col]
}

func naiveConv(m *model.Model, c model.Conv, x volume) volume {
	out := volume{c: c.Out, h: c.OutSize(x.h), w: c.OutSize(x.w)}
	out.v = make([]float64, out.c*out.h*out.w)
	top, left := 0, 0
	if c.Kernel == 3 {
		top, left = m.Config.Padding.Before(x.h, c.Stride), m.Config.Padding.Before(x.w, c.Stride)
	}
	weight := m.Dict[c.Name+".weight"].Data
	in := c.In / c.Groups
	for o := range c.Out {
		norm := func(part string) float64 { return float64(m.Dict[c.Norm+part].Data[o]) }
		scale := norm(".weight") / math.Sqrt(norm(".running_var")+m.Config.BNEps)
		shift := norm(".bias") - norm(".running_mean")*scale
		for y := range out.h {
			for col := range out.w {
				sum := 0.0
				for i := range in {
					from := i
					if c.Groups > 1 {
						from = o
					}
					for ky := range c.Kernel {
						for kx := range c.Kernel {
							k := ((o*in+i)*c.Kernel+ky)*c.Kernel + kx
							sum += float64(weight[k]) * x.at(from, y*c.Stride-top+ky, col*c.Stride-left+kx)
						}
					}
				}
				v := sum*scale + shift
				if c.ReLU6 {
					v = min(max(v, 0), 6)
				}
				out.v[(o*out.h+y)*out.w+col] = v
			}
		}
	}
	return out
}
