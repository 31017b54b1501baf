package checkpoint

import (
	"fmt"
	"slices"
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

// addHead makes a classifier of what is behind the features. People replace it and
// call it what they like: it is the one matrix [classes, channels], with or without a
// bias. A head of more than that would answer something else, and is an error. What is
// beside the network, such as the weights of a loss, is left out and noted. usual is
// the naming's own name for the classifier.
func (n *network) addHead(loose []part, usual string, channels int) error {
	weight, err := classifier(loose, channels)
	if err != nil {
		return err
	}
	module, _ := cutLast(weight.name)
	classes := weight.leaf.shape[0]
	n.tensors["classifier.1.weight"] = matrix(weight.leaf)
	n.tensors["classifier.1.bias"] = zeros(classes)
	biased := false
	var rest []part
	for _, p := range loose {
		switch {
		case p.inside == weight.inside && p.name == weight.name:
		case p.inside == weight.inside && p.name == module+".bias" && slices.Equal(p.leaf.shape, []int{classes}):
			n.tensors["classifier.1.bias"] = p.leaf
			biased = true
		default:
			rest = append(rest, p)
		}
	}
	if module != usual {
		n.note("its classifier is %s", fault.Shown(module))
	}
	if !biased {
		n.note("its classifier has no bias")
	}
	return n.leaveOut(rest, weight)
}

// classifier finds the matrix of the classifier.
func classifier(loose []part, channels int) (part, error) {
	var found []part
	for _, p := range loose {
		if s := p.leaf.shape; len(s) == 2 && s[1] == channels || len(s) == 4 && slices.Equal(s[1:], []int{channels, 1, 1}) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0:
		return part{}, errHeadless
	case len(found) > 1:
		return part{}, fault.Unsupportedf("two matrices are behind the features, %v and %v: which one classifies?", found[0], found[1])
	case found[0].leaf.err != nil:
		return part{}, about(found[0].name, found[0].leaf.err)
	}
	return found[0], nil
}

// leaveOut notes what of a state dict is not used. Parts of the candidate and of the
// head, and matrices behind the classifier, are errors: the network is another one
// with them.
func (n *network) leaveOut(rest []part, weight part) error {
	var unexpected, left []string
	// Matrices first: they say most about what the head is.
	slices.SortStableFunc(rest, func(a, b part) int { return len(b.leaf.shape) - len(a.leaf.shape) })
	for _, p := range rest {
		s := p.leaf.shape
		behind := len(s) == 2 && s[1] == weight.leaf.shape[0]
		switch {
		case behind || p.inside == weight.inside && p.group() == weight.group():
			return fault.Unsupportedf("a classifier of more than one linear layer, which is not run yet: %v and %v", weight, p)
		case p.inside:
			unexpected = append(unexpected, p.name)
		default:
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

func zeros(n int) leaf {
	return leaf{shape: []int{n}, same: "0", values: func() (model.Tensor, error) {
		return model.Tensor{Shape: []int{n}, Data: make([]float32, n)}, nil
	}}
}
