package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"path/filepath"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/search/duplicates"
)

// warnNearly names photos to validate with that are nearly the same as some that are
// trained with, from the default threshold of mobilenet duplicates on. Those of the same
// bytes were named before. It takes features that mean something, and so weights to
// start from.
func (f *trainFlags) warnNearly(ctx context.Context, w io.Writer) error {
	switch {
	case f.o.Val == nil:
		return nil
	case f.model == "none":
		fmt.Fprintln(w, "nearly the same photos in train and val: not looked for, which takes weights (--model)")
		return nil
	}
	c, err := mobilenet.New(f.o.Model, mobilenet.WithThreads(f.o.Threads))
	if err != nil {
		return err
	}
	var rows duplicates.Rows
	var items []dataset.Item
	split := 0
	for _, set := range []*dataset.Set{f.o.Train, f.o.Val} {
		split = len(rows)
		photos := prefetch.Map(ctx, prefetch.Options{Workers: f.o.Threads}, count(len(set.Items)), func(ctx context.Context, i int) (image.Image, error) {
			img, err := set.Image(ctx, i)
			if err != nil {
				return nil, err // and not a typed nil
			}
			return c.Prepare(img), nil
		})
		i := 0
		for v, err := range c.EmbedAll(ctx, photos) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil { // the others were reported
				rows, items = append(rows, v), append(items, set.Items[i])
			}
			i++
		}
	}
	if split == 0 || split == len(rows) {
		return nil
	}
	alike, err := duplicates.Compare(ctx, rows, duplicates.Settings{Threshold: duplicates.DefaultThreshold, Linkage: duplicates.Complete, Split: split, Threads: f.o.Threads})
	if err != nil {
		return err
	}
	f.sayNearly(w, alike.Pairs, items)
	return nil
}

// warnTest names photos to test with that are trained or validated with, too. A run
// that goes on may have another --test than before.
func (f *trainFlags) warnTest(ctx context.Context, w io.Writer) (err error) {
	if f.o.Test == nil {
		return nil
	}
	if f.o.Division == nil {
		if f.o.Division, err = dataset.Divide(ctx, f.o.Train, f.o.Val); err != nil {
			return err
		}
	}
	known, err := f.o.Division.Known(ctx, f.o.Test)
	if len(known) > 0 {
		fmt.Fprintf(w, "warning: %d of the %d photos to test with %s trained or validated with, too, byte for byte: %s\n", len(known), len(f.o.Test.Items), isAre(len(known)), few(known))
	}
	if err != nil || f.o.Resume {
		return err
	}
	if none := without(f.o.Test); len(none) > 0 {
		fmt.Fprintln(w, "warning: no photos to test with of", few(none))
	}
	return f.warnKnown(ctx, w, f.o.Test, "test")
}

// sayNearly names each photo of the second part once, with the one it is most like.
func (f *trainFlags) sayNearly(w io.Writer, pairs []duplicates.Pair, items []dataset.Item) {
	said := map[int32]bool{}
	shared := map[string]bool{}
	for _, copied := range f.o.Division.Shared() {
		shared[copied.Path] = true
	}
	var texts []string
	for _, p := range pairs {
		if said[p.B] {
			continue
		}
		said[p.B] = true
		name := items[p.B].Name
		if path, err := filepath.Abs(name); err == nil && (shared[path] || shared[name]) {
			continue
		}
		texts = append(texts, fmt.Sprintf("%s (%s, %.3f)", name, items[p.A].Name, p.Likeness))
	}
	if len(texts) > 0 {
		fmt.Fprintf(w, "warning: %d of the %d photos to validate with %s nearly the same as some that are trained with, by their likeness: %s\n", len(texts), len(f.o.Val.Items), isAre(len(texts)), few(texts))
		fmt.Fprintln(w, "mobilenet duplicates --between shows all of them")
	}
}
