package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
)

// photoList is photos, and what is known of their classes.
type photoList struct {
	items  []dataset.Item // Label is -1 where nobody knows it
	decode func(ctx context.Context, name string) (image.Image, error)
}

// openPhotos finds the photos in data. They are the same ones, in the same order, with
// and without labels, so that the network is, too.
func openPhotos(ctx context.Context, stderr io.Writer, data, truth string, m *model.Model) (*photoList, error) {
	info, err := os.Stat(data)
	if err != nil {
		return nil, err
	}
	set, unlabelled := dataset.OpenEval(data, dataset.EvalOptions{Truth: truth, Labels: m.Labels, Classes: m.Config.Classes})
	if unlabelled != nil && (truth != "" || !info.IsDir()) {
		return nil, unlabelled
	}
	var paths []string
	if info.IsDir() {
		if paths, _, err = dataset.Images(data); err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 && set != nil { // a table, or images in files of many
		tellNotes(stderr, set)
		return ofSet(set), nil
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no photos to calibrate with", data)
	}
	labels := map[string]int{}
	if set != nil {
		tellNotes(stderr, set)
		for _, item := range set.Items {
			labels[filepath.Clean(item.Name)] = item.Label
		}
	} else if !flat(data, paths) {
		fmt.Fprintf(stderr, "note: no accuracy is measured: %s\n", printable(reason(unlabelled)))
	}
	l := &photoList{decode: func(ctx context.Context, path string) (image.Image, error) {
		return mobilenet.DecodeFile(ctx, path)
	}}
	for _, path := range paths {
		label, ok := labels[filepath.Clean(path)]
		if !ok {
			label = -1
		}
		l.items = append(l.items, dataset.Item{Name: path, Label: label})
	}
	return l, nil
}

// flat reports whether nothing about a folder could say the classes of its photos.
func flat(dir string, paths []string) bool {
	tables := 0
	for _, kind := range []string{"*.csv", "*.tsv"} {
		found, _ := filepath.Glob(filepath.Join(dir, kind)) // its only error is of the pattern
		tables += len(found)
	}
	return tables == 0 && !slices.ContainsFunc(paths, func(path string) bool {
		return filepath.Dir(path) != filepath.Clean(dir)
	})
}

// ofSet is all of a set.
func ofSet(set *dataset.Set) *photoList {
	at := map[string]int{}
	for i, item := range set.Items {
		at[item.Name] = i
	}
	return &photoList{items: set.Items, decode: func(ctx context.Context, name string) (image.Image, error) {
		return set.Image(ctx, at[name])
	}}
}

// divide returns photos to calibrate with and others to measure with, at most n of
// each. Where there are more than n photos they are every other one of those taken,
// evenly from all, so that each part is of all classes.
func (l *photoList) divide(n int) (calibrate, others *photoList) {
	calibrate, others = &photoList{decode: l.decode}, &photoList{decode: l.decode}
	if len(l.items) <= n {
		calibrate.items = l.items
		return calibrate, others
	}
	for i, item := range l.some(2 * n).items {
		if i%2 == 0 {
			calibrate.items = append(calibrate.items, item)
		} else {
			others.items = append(others.items, item)
		}
	}
	return calibrate, others
}

// some returns at most n photos, evenly from all.
func (l *photoList) some(n int) *photoList {
	n = min(n, len(l.items))
	part := &photoList{decode: l.decode}
	for i := range n {
		part.items = append(part.items, l.items[i*len(l.items)/n])
	}
	return part
}

func (l *photoList) labels() []int {
	var labels []int
	for _, item := range l.items {
		labels = append(labels, item.Label)
	}
	return labels
}

// images decodes the photos on all cores, and yields them in their order.
func (l *photoList) images(ctx context.Context) iter.Seq2[image.Image, error] {
	return prefetch.Map(ctx, prefetch.Options{}, count(len(l.items)), func(ctx context.Context, i int) (image.Image, error) {
		img, err := l.decode(ctx, l.items[i].Name)
		if err != nil {
			return nil, err // and not a typed nil
		}
		return img, nil
	})
}
