package dataset

import (
	"errors"
	"fmt"
	"os"

	"github.com/mobilenet-go/mobilenet/fault"
)

// EvalOptions say what the images of OpenEval are measured against.
type EvalOptions struct {
	Truth string // file with the class of each image of a flat folder
	Part  string // "train", "val" or "test"; "" is val, or else test, or all if the images aren't divided

	Labels  []string // the model's classes, or nil where nobody knows their names
	Classes int      // how many classes the model has, where there are no Labels
}

// OpenEval opens images to evaluate a model with, in any of the forms that the
// package lists. Their classes are the model's, and the data names all of them in
// one way: names as in Labels (case and underscores aside), ImageNet's WordNet ids
// (n01440764), or indices from 0. For a model without names folders are taken in the
// order in which torchvision's ImageFolder numbers them (0 1 10 11 2).
//
// Truth goes with a flat folder: a class per line in the order of the file names, or
// file name and class, or a table of these. ILSVRC2012's ground truth is told by its
// name or by its numbers, from 1 to 1000.
//
// A file synsets.txt or LOC_synset_mapping.txt beside the images lists the WordNet
// ids of a model whose classes aren't ImageNet's 1000, in the order of its classes.
func OpenEval(path string, o EvalOptions) (*Set, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case o.Truth != "" && !info.IsDir():
		return nil, fmt.Errorf("%s: a ground-truth file goes with a folder of photos", path)
	case o.Labels == nil && o.Classes < 1:
		return nil, errors.New("neither the model's labels nor the number of its classes is given")
	}
	n, err := readNames(path, o)
	if err != nil {
		return nil, err
	}
	var s *Set
	if o.Truth != "" {
		s, err = openFlat(path, o.Truth, n)
		path = o.Truth
	} else {
		path, s, err = openMeasured(path, o.Part)
	}
	if err != nil {
		return nil, err
	}
	to, note, err := n.assign(path, s)
	if err != nil {
		return nil, err
	}
	if note != "" {
		s.note("%s: %s", path, note)
	}
	s.relabel(n.shown(), to)
	return s, nil
}

// openMeasured opens the part of a set that is to be measured. path is where that is.
func openMeasured(dir, part string) (path string, s *Set, err error) {
	l, err := survey(dir)
	if err != nil {
		return "", nil, err
	}
	from, err := l.measured(part)
	if err != nil {
		return "", nil, err
	}
	if s, err = from.open(false); err != nil {
		return "", nil, err
	}
	s.Notes = append(l.notes, s.Notes...)
	return from.path, s, nil
}

// measured returns the part of that name, or where it has none the one to measure.
func (l *layout) measured(part string) (*source, error) {
	switch {
	case part != "" && l.part(part) == nil:
		return nil, fmt.Errorf("part %q: want train, val or test", part)
	case part != "" && *l.part(part) == nil:
		return nil, l.without(part)
	case part != "":
		return *l.part(part), nil
	case !l.divided:
		return l.train, nil
	case l.val != nil:
		return l.val, nil
	case l.test != nil:
		return l.test, nil
	}
	return nil, fault.In(l.path, fault.Unsupportedf("no part to measure with, only %s, and what a model was trained with says little about it%s", l.train.name, l.instead()))
}
