package checkpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A part is a tensor of a candidate's state dict that is not of the features.
type part struct {
	name   string // what follows the candidate's root, or the scope
	inside bool   // the candidate
	leaf   leaf
}

func (p part) String() string { return fmt.Sprintf("%s %v", fault.Shown(p.name), p.leaf.shape) }

// group is what the names begin with of all that belongs together: "classifier".
func (p part) group() string {
	group, _, _ := strings.Cut(p.name, ".")
	return group
}

// addHead makes the classifier of what is behind the features, whose last convolution
// has so many channels. People replace it and call it what they like: it is the one
// matrix [classes, channels], with or without a bias, or several such matrices one
// behind the other. Anything else behind the features would answer something else, and
// is an error; what is beside the network, such as the weights of a loss, is left out
// and noted. usual is the naming's own name for the classifier.
func (n *network) addHead(loose []part, usual string, channels int) error {
	layers, err := chain(loose, channels)
	if err != nil {
		return err
	}
	rest := loose
	var names []string
	for i, l := range layers {
		module, _ := cutLast(l.name)
		out := l.leaf.shape[0]
		ours := fmt.Sprintf("classifier.%d", 2*i+1) // as in model.Network
		n.tensors[ours+".weight"] = matrix(l.leaf)
		n.tensors[ours+".bias"] = zeros(out)
		biased := false
		var others []part
		for _, p := range rest {
			switch {
			case p.inside == l.inside && p.name == l.name:
			case p.inside == l.inside && p.name == module+".bias" && slices.Equal(p.leaf.shape, []int{out}):
				n.tensors[ours+".bias"] = p.leaf
				biased = true
			default:
				others = append(others, p)
			}
		}
		rest = others
		if !biased {
			n.note("%s has no bias", fault.Shown(module))
		}
		names = append(names, fault.Shown(module))
		n.head = append(n.head, out)
	}
	switch {
	case len(layers) == 0:
		n.note("it has no classifier, and gives embeddings")
	case len(layers) > 1:
		n.note("its classifier is %s%s", strings.Join(names, ", "), assumedReLU)
	case names[0] != usual:
		n.note("its classifier is %s", names[0])
	}
	return n.leaveOut(rest, layers)
}

// chain finds the matrices of the classifier in the order that they run in: none, one,
// or several with hidden values between them.
func chain(loose []part, channels int) ([]part, error) {
	var layers []part
	for in := channels; ; {
		var found []part
		for _, p := range loose {
			if p.takes(in) && !slices.ContainsFunc(layers, p.is) {
				found = append(found, p)
			}
		}
		if len(found) == 2 && found[0].group() == found[1].group() {
			// A square matrix is before one that is not, from 1280 to 1280 to the classes.
			square := func(p part) bool { return p.takes(p.leaf.shape[0]) }
			found = slices.DeleteFunc(found, func(p part) bool { return !square(p) && slices.ContainsFunc(found, square) })
		}
		switch {
		case len(found) == 0:
			return layers, nil
		case len(found) > 1:
			return nil, fault.Unsupportedf("two matrices are behind the features, %v and %v: which one classifies?", found[0], found[1])
		case found[0].leaf.err != nil:
			return nil, about(found[0].name, found[0].leaf.err)
		case len(layers) > 0 && found[0].neighbours(layers[len(layers)-1]):
			return nil, fault.Unsupportedf("a classifier of two linear layers, %v and %v, with no activation between: only ReLU runs here", layers[len(layers)-1], found[0])
		case len(layers) > 0 && !found[0].follows(layers[len(layers)-1]):
			return nil, fault.Unsupportedf("a classifier of two linear layers, %v and %v: what is between them does not show", layers[len(layers)-1], found[0])
		}
		layers = append(layers, found[0])
		in = found[0].leaf.shape[0]
	}
}

// takes reports whether p is a matrix, or a 1x1 convolution, of so many inputs.
func (p part) takes(in int) bool {
	s := p.leaf.shape
	return len(s) == 2 && s[1] == in || len(s) == 4 && slices.Equal(s[1:], []int{in, 1, 1})
}

func (p part) is(o part) bool { return p.inside == o.inside && p.name == o.name }

// follows reports whether p is the layer behind o, with an activation between: places
// of one nn.Sequential that are not neighbours, or attributes that only a number tells
// apart, as fc1 and fc2.
func (p part) follows(o part) bool {
	a, _ := cutLast(o.name)
	b, _ := cutLast(p.name)
	before, from := cutNumber(a)
	behind, to := cutNumber(b)
	if p.inside != o.inside || before != behind {
		return false
	}
	return to > from+1 || to > from && !strings.HasSuffix(before, ".")
}

// neighbours reports whether p is the very next module behind o in an nn.Sequential.
func (p part) neighbours(o part) bool {
	a, b := o.leaf.in, p.leaf.in
	return a != nil && b != nil && a.parent == b.parent && a.inSequence() && b.index == a.index+1
}

// cutNumber cuts a name before the number at its end, -1 if there is none.
func cutNumber(name string) (string, int) {
	word := strings.TrimRight(name, "0123456789")
	n, err := strconv.Atoi(name[len(word):])
	if err != nil {
		return name, -1
	}
	return word, n
}

// leaveOut notes what of a state dict is not used. Parts of the candidate and of its
// classifier, and matrices behind that, are errors: the network is another one with
// them.
func (n *network) leaveOut(rest []part, layers []part) error {
	var unexpected, left []string
	for _, p := range rest {
		for i, l := range layers {
			behind := i == len(layers)-1 && p.takes(l.leaf.shape[0])
			if behind || p.inside == l.inside && p.group() == l.group() {
				return fault.Unsupportedf("a classifier of more than linear layers: %v and %v", l, p)
			}
		}
		if p.inside {
			unexpected = append(unexpected, p.name)
		} else if p.computes() {
			e := fault.Unsupportedf("a parameter that MobileNetV2 does not have: what is computed with it does not show; if nothing is, save the network without it")
			e.Place = fault.Shown(p.leaf.name)
			return e
		} else if flag := p.normalises(); flag != "" {
			n.note("left out: %s; if photos are normalised with it: %s", fault.Shown(p.name), flag)
		} else {
			left = append(left, p.name)
		}
	}
	if unexpected != nil {
		return &model.MismatchError{Unexpected: unexpected}
	}
	slices.Sort(left)
	if left != nil {
		n.note("left out: %s", some(left))
	}
	return nil
}

// computes reports whether p takes part in what a network computes, as far as that
// shows: it is a parameter of a module, or what a state dict calls a temperature.
func (p part) computes() bool {
	_, kind := cutLast(p.name)
	return p.leaf.parameter || kind == ".temperature" || kind == ".logit_scale"
}

// normalises is the flag that normalises photos as a buffer of three values called mean
// or std does, "" if p is none.
func (p part) normalises() string {
	_, kind := cutLast(p.name)
	flag := ""
	for _, name := range []string{"mean", "std"} {
		if kind == "."+name || strings.HasSuffix(kind, "_"+name) {
			flag = name
		}
	}
	if flag == "" || elements(p.leaf.shape) != 3 || p.leaf.err != nil {
		return ""
	}
	t, err := p.leaf.read()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("--%s %v,%v,%v", flag, t.Data[0], t.Data[1], t.Data[2])
}

// assumedReLU ends the note on a head of several layers.
const assumedReLU = "; between them ReLU is assumed"

// some is the first of some names out of a file, and how many there are.
func some(names []string) string {
	const shown = 3
	var first []string
	for _, name := range names[:min(shown, len(names))] {
		first = append(first, fault.Shown(name))
	}
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(first, ", "), len(names)-shown)
	}
	return strings.Join(first, ", ")
}

// matrix is a 1x1 convolution, or a matrix, as a matrix.
func matrix(l leaf) leaf {
	shape, read := l.shape[:2], l.read
	l.shape = shape
	l.values = func() (model.Tensor, error) {
		t, err := read()
		t.Shape = shape
		return t, err
	}
	return l
}

// transposed is a matrix of inputs and outputs, as Paddle has it, as torch's.
func transposed(l leaf) leaf {
	from, read := l.shape, l.read
	l.shape = []int{from[1], from[0]}
	shape := l.shape
	l.values = func() (model.Tensor, error) {
		t, err := read()
		if err != nil {
			return t, err
		}
		return model.Tensor{Shape: shape, Data: permute(t.Data, from, []int{1, 0})}, nil
	}
	return l
}

// greyShares are what red, green and blue are worth in a grey level, as in Pillow's mode L.
var greyShares = [3]float32{0.299, 0.587, 0.114}

// greyNote says what addColours has done.
const greyNote = "its first convolution is for grey: it weighs red, green and blue by 0.299, 0.587 and 0.114 here"

// addColours makes a first convolution of grey one of red, green and blue: the weights
// times greyShares, which add up to 1, so that normalised colours are weighed as levels
// are. Any other number of channels but three is an error.
func (n *network) addColours() error {
	const name = "features.0.0.weight"
	l := n.tensors[name]
	if len(l.shape) != 4 || l.shape[1] == 3 || l.shape[2] != 3 {
		return nil
	}
	if l.shape[1] != 1 {
		e := fault.Unsupportedf("a first convolution of %d channels: photos have three, or are taken for grey by a network of one", l.shape[1])
		e.Place = fault.Shown(l.name)
		return e
	}
	n.grey = true
	n.note(greyNote)
	shape, read := []int{l.shape[0], 3, 3, 3}, l.read
	l.shape, l.integers = shape, nil
	l.values = func() (model.Tensor, error) {
		t, err := read()
		if err != nil {
			return t, err
		}
		out := model.Tensor{Shape: shape, Data: make([]float32, 0, 3*len(t.Data))}
		for o := range shape[0] {
			for _, share := range greyShares {
				for _, v := range t.Data[9*o:][:9] {
					out.Data = append(out.Data, v*share)
				}
			}
		}
		return out, nil
	}
	n.tensors[name] = l
	return nil
}

func zeros(n int) leaf {
	return leaf{shape: []int{n}, same: "0", values: func() (model.Tensor, error) {
		return model.Tensor{Shape: []int{n}, Data: make([]float32, n)}, nil
	}}
}
