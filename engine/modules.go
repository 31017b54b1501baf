package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// A Module is a part of the network whose output a run can be asked for, named as
// in torchvision. These are all kinds of them:
//
//	features.0          the first convolution
//	features.3          an inverted residual
//	features.3.conv.0   its expansion; where the expand ratio is 1, its depthwise convolution
//	features.3.conv.1   its depthwise convolution
//	features.3.conv     its projection, before the input is added
//	features.18         the last convolution
//
// Convolutions come with their batch normalisation and, except for projections,
// their ReLU6. Smaller parts, such as features.0.0, have no output of their own:
// the norms are folded into the convolutions.
type Module struct {
	Name     string
	Channels int
	Stride   int // rows (and columns) of the image for one of the output
}

// Shape is the shape of the module's output for one image of h by w pixels.
func (m Module) Shape(h, w int) (channels, height, width int) {
	up := func(n int) int { return (n + m.Stride - 1) / m.Stride }
	return m.Channels, up(h), up(w)
}

// Modules lists the modules that a [Tap] can name, in the order that they run.
func (e *Engine) Modules() []Module { return slices.Clone(e.modules) }

// modulesOf lists the modules of a network.
func modulesOf(n model.Network) []Module {
	stride := n.First.Stride
	all := []Module{{moduleOf(n.First), n.First.Out, stride}}
	for _, b := range n.Blocks {
		convs := b.Convs()
		for _, c := range convs[:len(convs)-1] {
			stride *= c.Stride
			all = append(all, Module{moduleOf(c), c.Out, stride})
		}
		all = append(all, Module{projectionOf(b), b.Out, stride}, Module{b.Name, b.Out, stride})
	}
	return append(all, Module{moduleOf(n.Last), n.Last.Out, stride})
}

// moduleOf names the module of a convolution, its norm and its ReLU6, such as
// "features.3.conv.0" of "features.3.conv.0.0".
func moduleOf(c model.Conv) string { return strings.TrimSuffix(c.Name, ".0") }

// projectionOf names what is between the input of b and the sum.
func projectionOf(b model.InvertedResidual) string { return b.Name + ".conv" }

// A Tap asks a run for the output of a module.
type Tap struct {
	Module string    // a name that [Engine.Modules] lists
	Data   []float32 // gets the output, [N][C][H][W] with the sizes of [Module.Shape]; float32, whatever the engine computes with
}

// tapped checks the taps of a run and returns the names of their modules, in the
// network's order with spaces between, and where the output of each goes.
func (e *Engine) tapped(taps []Tap, in Input) (names string, data [][]float32, err error) {
	if len(taps) == 0 {
		return "", nil, nil
	}
	of := make([][]float32, len(e.modules))
	for _, t := range taps {
		i := slices.IndexFunc(e.modules, func(m Module) bool { return m.Name == t.Module })
		switch {
		case i < 0:
			return "", nil, fmt.Errorf("no module %q has an output to ask for: some that have are %s", t.Module, e.someModules())
		case of[i] != nil:
			return "", nil, fmt.Errorf("the output of %s is asked for twice", t.Module)
		}
		c, h, w := e.modules[i].Shape(in.H, in.W)
		if len(t.Data) != in.N*c*h*w {
			return "", nil, fmt.Errorf("the output of %s has room for %d values, want %d for shape [%d %d %d %d]", t.Module, len(t.Data), in.N*c*h*w, in.N, c, h, w)
		}
		of[i] = t.Data
	}
	var list []string
	for i, v := range of {
		if v != nil {
			list, data = append(list, e.modules[i].Name), append(data, v)
		}
	}
	return strings.Join(list, " "), data, nil
}

// someModules lists the first modules and the last.
func (e *Engine) someModules() string {
	var names []string
	for _, m := range e.modules[:min(6, len(e.modules))] {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ") + " and " + e.modules[len(e.modules)-1].Name
}
