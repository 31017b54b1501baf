package model

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Tensor is float32 data in row-major order. A scalar has an empty shape and
// one value. Batch counters (num_batches_tracked), which PyTorch keeps as
// int64, are held as float32 too: exact up to 2^24 batches.
type Tensor struct {
	Shape []int
	Data  []float32
}

// A StateDict maps torchvision's names to tensors, as state_dict() does there.
type StateDict map[string]Tensor

// A Spec is the name and shape of one entry of a state dict.
type Spec struct {
	Name    string
	Shape   []int
	Counter bool // num_batches_tracked: an int64 scalar in PyTorch
}

// Trained reports whether the entry is a parameter, learned by gradient
// descent, and not a buffer (running statistics and counters).
func (s Spec) Trained() bool {
	return strings.HasSuffix(s.Name, ".weight") || strings.HasSuffix(s.Name, ".bias")
}

// Specs lists the state dict's entries in torchvision's order: 314 for the
// standard table.
func (n Network) Specs() []Spec {
	var specs []Spec
	for _, c := range n.Convs() {
		specs = append(specs, Spec{Name: c.Name + ".weight", Shape: c.WeightShape()})
		for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			specs = append(specs, Spec{Name: c.Norm + part, Shape: []int{c.Out}})
		}
		specs = append(specs, Spec{Name: c.Norm + ".num_batches_tracked", Shape: []int{}, Counter: true})
	}
	for _, l := range n.Linears() {
		specs = append(specs,
			Spec{Name: l.Name + ".weight", Shape: []int{l.Out, l.In}},
			Spec{Name: l.Name + ".bias", Shape: []int{l.Out}})
	}
	return specs
}

// A MismatchError says how a state dict differs from what a network needs. The
// state dict may be that of another network: errors.Is(err, errors.ErrUnsupported)
// is true.
type MismatchError struct {
	Missing    []string // in the network, not in the state dict
	Unexpected []string // in the state dict, not in the network
	Misshapen  []string // "name: shape [..], want [..]"
}

// Is makes errors.Is(err, errors.ErrUnsupported) true.
func (e *MismatchError) Is(target error) bool { return target == errors.ErrUnsupported }

// shown is how many things of a kind an error message lists.
const shown = 3

func (e *MismatchError) Error() string {
	var parts []string
	add := func(what string, names []string) {
		if len(names) == 0 {
			return
		}
		first := slices.Clone(names[:min(shown, len(names))])
		if what == "unexpected" { // names of the file; the others are ours
			for i, name := range first {
				first[i] = fault.Shown(name)
			}
		}
		s := fmt.Sprintf("%d %s (%s", len(names), what, strings.Join(first, "; "))
		if len(names) > shown {
			s += "; ..."
		}
		parts = append(parts, s+")")
	}
	add("missing", e.Missing)
	add("unexpected", e.Unexpected)
	add("misshapen", e.Misshapen)
	return "state dict does not fit the network: " + strings.Join(parts, ", ")
}

// Check compares a state dict with what n needs and returns a *[MismatchError] if
// they differ. A missing num_batches_tracked is not an error: files written
// before PyTorch 0.4.1 and by most exporters have none.
func (n Network) Check(dict StateDict) error {
	shapes := make(map[string][]int, len(dict))
	for name, t := range dict {
		shapes[name] = t.Shape
	}
	if err := n.CheckShapes(shapes); err != nil {
		return err
	}
	var e MismatchError
	for _, s := range n.Specs() {
		if t, ok := dict[s.Name]; ok && len(t.Data) != elements(t.Shape) {
			e.Misshapen = append(e.Misshapen, fmt.Sprintf("%s: %d values for shape %v", s.Name, len(t.Data), t.Shape))
		}
	}
	if e.Misshapen == nil {
		return nil
	}
	return &e
}

// CheckShapes is [Network.Check] for a state dict of which only the shapes are known.
func (n Network) CheckShapes(shapes map[string][]int) error {
	var e MismatchError
	known := map[string]bool{}
	for _, s := range n.Specs() {
		known[s.Name] = true
		shape, ok := shapes[s.Name]
		switch {
		case !ok && s.Counter:
		case !ok:
			e.Missing = append(e.Missing, s.Name)
		case !slices.Equal(shape, s.Shape):
			e.Misshapen = append(e.Misshapen, fmt.Sprintf("%s: shape %s, want %v", s.Name, shapeText(shape), s.Shape))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		if !known[name] {
			e.Unexpected = append(e.Unexpected, name)
		}
	}
	if e.Missing == nil && e.Unexpected == nil && e.Misshapen == nil {
		return nil
	}
	return &e
}

// shapeText prints a shape from a file, which can have any number of dimensions.
func shapeText(shape []int) string {
	if len(shape) > 8 {
		return fmt.Sprintf("of %d dimensions", len(shape))
	}
	return fmt.Sprint(shape)
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
