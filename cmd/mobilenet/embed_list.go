package main

import (
	"context"
	"image"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/search"
)

// checkList refuses what is of a file of features, and not of a row.
func (f *embedFlags) checkList(cmd *cobra.Command) error {
	for _, name := range []string{"append", "failed", "int8", "pca"} {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s does not go with --from, which gives rows with an embedding or an error", name)
		}
	}
	switch ending := endingOf(f.output); ending {
	case indexEnding, ".npy", ".parquet":
		u := usagef(cmd, "--output %s: of --from it is a folder, of parts that are JSON lines, and no %s file", f.output, ending)
		u.hint = "embed PATH... -o FILE writes a file of features"
		return u
	}
	return f.classifierFlags.check(cmd)
}

// runList embeds the photos of --from.
func (f *embedFlags) runList(cmd *cobra.Command) error {
	f.settle()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	c, err := f.openAny(ctx, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	settings, err := f.settings(cmd, c)
	if err != nil {
		return err
	}
	list, err := f.list.open(cmd, listFormat{names: []string{"embedding", "error"}}, settings)
	if err != nil {
		return err
	}
	e := embedding{embedFlags: f, c: c}
	decode := func(ctx context.Context, i int) (image.Image, error) { return e.decode(ctx, list.photo(i)) }
	photos, stop := prefetch.Start(ctx, prefetch.Options{Workers: f.threads, Ahead: f.threads + f.batch}, list.numbers(), decode)
	defer stop()
	i := 0
	for v, err := range c.EmbedAll(ctx, photos) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.useListed(list, i, v, err); err != nil {
			cancel() // before the loop waits for a photo that may never come
			return err
		}
		i++
	}
	e.clipped.say(cmd.ErrOrStderr())
	return list.finish()
}

func (f *embedFlags) useListed(list *rowList, i int, v []float32, err error) error {
	if err != nil {
		return list.fail(i, err, true)
	}
	for _, x := range v {
		if x-x != 0 { // infinite, or no number
			return fault.In(f.model, mobilenet.ErrNotFinite)
		}
	}
	if f.normalized {
		v = search.Normalized(v)
	}
	return list.add(i, struct {
		Embedding []float32 `json:"embedding"`
	}{v}, nil)
}
