package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/search/duplicates"
)

// A comparison is the photos of a command line.
type comparison struct {
	paths   []string
	split   int // where the second of two parts begins, or 0
	failed  []duplicates.Failure
	skipped []dataset.Skipped
	known   *indexed // their features, where an index has them
	close   func() error
}

// find finds the photos: of each argument, or of an index.
func (f *duplicatesFlags) find(args []string) (*comparison, error) {
	c := &comparison{close: func() error { return nil }}
	var out []string
	if f.move != "" {
		out = append(out, f.move)
	}
	add := func(arg string) error {
		photos, skipped := findPhotos([]string{arg}, out...)
		for _, in := range photos {
			if in.err != nil {
				c.failed = append(c.failed, duplicates.Failure{Path: in.name, Err: in.err})
			} else {
				c.paths = append(c.paths, in.name)
			}
		}
		c.skipped = append(c.skipped, skipped...)
		return nil
	}
	if f.index != "" {
		x, err := openIndex(f.index)
		if err != nil {
			return nil, err
		}
		c.close = x.Close
		known := &indexed{x: x}
		c.known = known
		if len(args) == 0 {
			args = []string{""}
		}
		add = func(arg string) error {
			known.add(c, arg)
			return nil
		}
	}
	for i, arg := range args {
		if err := add(arg); err != nil {
			return nil, err
		}
		if f.between && i == 0 {
			if c.split = len(c.paths); c.split == 0 {
				return nil, fault.In(arg, errors.New("no photos to compare with"))
			}
		}
	}
	if f.between {
		return c, c.disjoint(args)
	}
	return c, nil
}

// disjoint returns an error if a photo is in both parts: it would be found to be a
// duplicate of itself.
func (c *comparison) disjoint(args []string) error {
	first := map[string]bool{}
	folders := map[string]string{} // where each is: asking for every photo of a million takes minutes
	for i, path := range c.paths {
		folder, ok := folders[filepath.Dir(path)]
		if !ok {
			folder = filepath.Dir(duplicates.Place(path))
			folders[filepath.Dir(path)] = folder
		}
		switch place := filepath.Join(folder, filepath.Base(path)); {
		case i < c.split:
			first[place] = true
		case first[place]:
			return fmt.Errorf("--between %s %s: they overlap, both have %s: want two parts with no photo in common", shown(args[0]), shown(args[1]), shown(path))
		}
	}
	return nil
}

// openIndex opens an index whose rows can be compared.
func openIndex(path string) (*search.Index, error) {
	x, err := search.Open(path)
	if err != nil {
		return nil, err
	}
	if m := x.Meta(); m.Features > 0 {
		x.Close()
		return nil, fault.In(path, fault.Unsupportedf("its rows are %d principal components; duplicates are found by the features themselves: make an index without --pca", m.Dim))
	}
	return x, nil
}

// indexed is some rows of an index.
type indexed struct {
	x    *search.Index
	rows []int32
	read atomic.Int64 // rows, so far
}

// releaseRows are read before the memory of the file is released: 1.3 MB, or where they
// are far from each other 16 MB, since pages come in sixteens.
const releaseRows = 256

// add adds the rows of photos that are, or are below, path; all for "".
func (m *indexed) add(c *comparison, path string) {
	for i := range m.x.Len() {
		if name := m.x.Path(i); path == "" || filepath.Clean(name) == filepath.Clean(path) || below(path, name) {
			c.paths = append(c.paths, name)
			m.rows = append(m.rows, int32(i))
		}
	}
}

// Len, Dim and Row make it a Matrix.
func (m *indexed) Len() int { return len(m.rows) }
func (m *indexed) Dim() int { return m.x.Meta().Dim }

func (m *indexed) Row(dst []float32, i int) error {
	_, err := m.x.Row(int(m.rows[i]), dst)
	if m.read.Add(1)%releaseRows == 0 {
		m.x.Release()
	}
	return err
}

// folders are the arguments that are folders.
func folders(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		info, err := os.Stat(arg)
		return err != nil || !info.IsDir()
	})
}
