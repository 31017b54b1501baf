package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/vision"
)

// A Set is labelled images.
type Set struct {
	Classes []string
	Items   []Item
}

// An Item is an image of a Set.
type Item struct {
	Name  string // a path, or the number of an image in a file of many
	Label int    // index of the class

	path string
	gray []byte // of an IDX file, instead of a path
	w, h int
}

// Image decodes image i. It may be called at the same time for several images.
// Errors name the file.
func (s *Set) Image(i int) (*vision.Image, error) {
	it := s.Items[i]
	if it.path == "" {
		img := vision.NewImage(it.w, it.h)
		for p, v := range it.gray {
			img.Pix[3*p], img.Pix[3*p+1], img.Pix[3*p+2] = v, v, v
		}
		return img, nil
	}
	return vision.DecodeFile(context.Background(), it.path, vision.DecodeOptions{})
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
// stays in train.
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
	train, rest = &Set{Classes: s.Classes}, &Set{Classes: s.Classes}
	for i, it := range s.Items {
		if held[i] {
			rest.Items = append(rest.Items, it)
		} else {
			train.Items = append(train.Items, it)
		}
	}
	return train, rest, nil
}

// Options say how Open divides images that come without a division.
type Options struct {
	Val  float64 // share for validation
	Seed uint64
}

// Open opens images to train with:
//
//   - a folder with a folder of photos per class, as torchvision's ImageFolder
//   - a folder with train/ and val/ (or valid/, validation/, test/) of such
//   - a folder with the IDX files of the MNIST family, .gz or not; its test part
//     is for validation
//   - a CSV of path and label, or a folder with train.csv and val.csv
//
// val is nil if there is nothing to validate with.
func Open(path string, o Options) (train, val *Set, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		if train, err = openCSV(path, names{}); err != nil {
			return nil, nil, err
		}
		return divide(train, o)
	}
	if hasIDX(path) {
		if train, val, err = openMNIST(path); err != nil || val != nil {
			return train, val, err
		}
		return divide(train, o)
	}
	if both := filepath.Join(path, "train.csv"); exists(both) {
		if train, err = openCSV(both, names{}); err != nil {
			return nil, nil, err
		}
		if other := filepath.Join(path, "val.csv"); exists(other) {
			val, err = openCSV(other, names{labels: train.Classes})
			return train, val, err
		}
		return divide(train, o)
	}
	if folder := filepath.Join(path, "train"); hasFolder(folder) {
		if train, err = openFolder(folder, nil); err != nil {
			return nil, nil, err
		}
		if other := validation(path); other != "" {
			val, err = openFolder(other, train.Classes)
			return train, val, err
		}
		return divide(train, o)
	}
	if train, err = openFolder(path, nil); err != nil {
		return nil, nil, err
	}
	return divide(train, o)
}

// validation returns the folder beside train/ that holds other images, or "".
func validation(dir string) string {
	for _, name := range []string{"val", "valid", "validation", "test"} {
		if path := filepath.Join(dir, name); hasFolder(path) {
			return path
		}
	}
	return ""
}

// hasFolder reports whether dir has folders in it: train/ may also be the class
// of the photos of trains.
func hasFolder(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), ".") && isFolder(dir, e)
	})
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

// index returns the place of name in classes, or -1. Upper and lower case are
// alike unless that leaves a choice.
func index(classes []string, name string) int {
	if i := slices.Index(classes, name); i >= 0 {
		return i
	}
	found := -1
	for i, c := range classes {
		if strings.EqualFold(c, name) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}
