package dataset

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Set is labelled images.
type Set struct {
	Classes []string // their names, accents composed (Unicode's NFC)
	Items   []Item

	// Notes are what had to be assumed to read the data, a sentence each. Whoever
	// opens the set shows them once.
	Notes []string
	// Skipped are the files among the images that can't be read, by kind.
	Skipped []Skipped

	// Decode are the choices of decoding the images.
	Decode vision.DecodeOptions

	form  form
	file  string // of a table
	lines []int  // of a table: where each class comes first, for errors
}

// A form is what the classes of a set are named by.
type form uint8

const (
	inFolders form = iota
	inTable
	inIDX
)

// An Item is an image of a Set.
type Item struct {
	Name  string // a path, or the number of an image in a file of many
	Label int    // index of the class

	gray *gray // of an IDX file; nil where Name is a path
}

// Image decodes image i. It may be called at the same time for several images.
// Errors name the file.
func (s *Set) Image(ctx context.Context, i int) (*vision.Image, error) {
	if it := s.Items[i]; it.gray != nil {
		return it.gray.image(), nil
	}
	return vision.DecodeFile(ctx, s.Items[i].Name, s.Decode)
}

// Crop is Image followed by [vision.CropTo], in less time: of a JPEG file only what the
// crop is made of becomes pixels.
func (s *Set) Crop(ctx context.Context, i int, p model.Preprocess, h, w int) (*vision.Image, error) {
	it := s.Items[i]
	if it.gray != nil {
		return vision.CropTo(it.gray.image(), p, h, w), nil
	}
	data, err := boundedfile.Read(it.Name, vision.MaxFile)
	if err != nil {
		return nil, err
	}
	img, err := vision.DecodeCrop(ctx, data, s.Decode, p, h, w)
	return img, fault.In(it.Name, err)
}

// File returns the path of image i; ok is false where it is one of a file of many.
func (s *Set) File(i int) (path string, ok bool) {
	return s.Items[i].Name, s.Items[i].gray == nil
}

// Counts returns the number of images of each class.
func (s *Set) Counts() []int {
	counts := make([]int, len(s.Classes))
	for _, it := range s.Items {
		counts[it.Label]++
	}
	return counts
}

// Split divides the images of each class at random: the share val of them,
// rounded, goes to rest, but at least one and never all. A class with one image
// stays in train. What there is to say about the set stays with train.
func (s *Set) Split(val float64, seed uint64) (train, rest *Set, err error) {
	if !(val >= 0 && val < 1) {
		return nil, nil, fmt.Errorf("share %v for validation: want 0 to less than 1", val)
	}
	byClass := make([][]int, len(s.Classes))
	for i, it := range s.Items {
		byClass[it.Label] = append(byClass[it.Label], i)
	}
	held := make([]bool, len(s.Items))
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, items := range byClass {
		n := int(val*float64(len(items)) + 0.5)
		if val > 0 && len(items) > 1 {
			n = min(max(n, 1), len(items)-1)
		}
		for _, i := range rng.Perm(len(items))[:min(n, max(0, len(items)-1))] {
			held[items[i]] = true
		}
	}
	train = &Set{Classes: s.Classes, Notes: s.Notes, Skipped: s.Skipped, Decode: s.Decode}
	rest = &Set{Classes: s.Classes, Decode: s.Decode}
	for i, it := range s.Items {
		if held[i] {
			rest.Items = append(rest.Items, it)
		} else {
			train.Items = append(train.Items, it)
		}
	}
	return train, rest, nil
}

// note adds a sentence to what there is to say about the set.
func (s *Set) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// relabel gives the set other classes: class i of it is class to[i] of them.
func (s *Set) relabel(classes []string, to []int) {
	for i := range s.Items {
		s.Items[i].Label = to[s.Items[i].Label]
	}
	s.Classes, s.lines = classes, nil
}

// at says where class i of the set, which was opened at path, was found.
func (s *Set) at(path string, i int, e *fault.Error) error {
	if i < len(s.lines) {
		path, e.Place = s.file, fmt.Sprintf("line %d", s.lines[i])
	}
	return fault.In(path, e)
}

// Options say how Open divides images that come without a division.
type Options struct {
	Val  float64 // share for validation
	Seed uint64
}

// Open opens images to train with, in any of the forms that the package lists.
// val is nil if there is nothing to validate with. Images that come divided are
// validated with the val part, or if there is none, with the test part; others are
// divided as o says.
func Open(path string, o Options) (train, val *Set, err error) {
	l, err := survey(path)
	if err != nil {
		return nil, nil, err
	}
	if l.train == nil {
		return nil, nil, l.without("train")
	}
	if train, err = l.train.open(true); err != nil {
		return nil, nil, err
	}
	train.Notes = append(l.notes, train.Notes...)
	if names := alike(train.Classes); names != nil {
		train.note("%s: classes whose names differ in capital letters, spaces or underscores alone: %s", path, some(names))
	}
	held := l.val
	if held == nil {
		held = l.test
	}
	if held == nil {
		return divide(train, o)
	}
	if val, err = held.open(false); held == l.test && errors.Is(err, errNoClasses) {
		// Competitions keep the classes of their test images to themselves.
		train.note("%s: not used: %s, which has no classes", path, held.name)
		return divide(train, o)
	}
	if err != nil {
		return nil, nil, err
	}
	known, to := newIndex(train.Classes), make([]int, len(val.Classes))
	for i, c := range val.Classes {
		if to[i] = known.find(c); to[i] < 0 {
			err := fault.Brokenf("class %q is not among the %d of the training images", c, len(train.Classes))
			return nil, nil, val.at(held.path, i, err)
		}
	}
	val.relabel(train.Classes, to)
	if n := shared(train, val); n > 0 {
		train.note("%s: trained and validated with: %s", path, images(n))
	}
	if l.test != nil {
		train.note("%s", l.aboutTest())
	}
	return train, val, nil
}

// shared counts the images that are in both sets, as may be where tables list them.
func shared(a, b *Set) (n int) {
	if a.form != inTable {
		return 0
	}
	in := make(map[string]bool, len(b.Items))
	for _, it := range b.Items {
		in[it.Name] = true
	}
	for _, it := range a.Items {
		if in[it.Name] {
			n++
		}
	}
	return n
}

// aboutTest says what becomes of the test part.
func (l *layout) aboutTest() string {
	if l.val == nil {
		return fmt.Sprintf("%s: validated with %s, for there is no val part", l.path, l.test.name)
	}
	return fmt.Sprintf("%s: not used: %s", l.path, l.test.name)
}

func divide(s *Set, o Options) (train, val *Set, err error) {
	if o.Val == 0 {
		return s, nil, nil
	}
	train, val, err = s.Split(o.Val, o.Seed)
	if err == nil && len(val.Items) == 0 {
		val = nil
	}
	return train, val, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// FashionMNIST returns the folder where Debian's package dataset-fashion-mnist
// puts its files.
func FashionMNIST() (string, error) {
	const dir = "/usr/share/datasets/fashion-mnist"
	if !hasIDX(dir) {
		return "", errors.New("Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist, or fetch the four files from https://github.com/zalandoresearch/fashion-mnist and give their folder")
	}
	return dir, nil
}
