package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/internal/prefetch"
)

// checkList: a list gives rows. Pictures of photos by the million nobody looks at, and
// files of which several may have one name are not the same whichever process is first.
func (f *explainFlags) checkList(cmd *cobra.Command) error {
	if cmd.Flags().Changed("format") && f.format != "json" {
		return usagef(cmd, "--format %s: --from gives rows, as --format json has them", f.format)
	}
	return nil
}

// runList explains the photos of --from.
func (f *explainFlags) runList(cmd *cobra.Command) error {
	f.settle()
	workers := f.threads
	f.threads = 1 // photos beside each other: no thread waits for another
	c, err := f.open(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	options, err := f.options(cmd, c)
	if err != nil {
		return err
	}
	settings, err := f.settings(cmd, c)
	if err != nil {
		return err
	}
	list, err := f.list.open(cmd, listFormat{names: []string{"explanation", "error"}}, settings)
	if err != nil {
		return err
	}
	e := explaining{explainFlags: f, c: c, options: options, decoding: f.decoding()}
	e.decoding.IgnoreOrientation = f.asStored
	explain := func(ctx context.Context, i int) (explained, error) { return e.explain(ctx, list.photo(i)) }
	i := 0
	for r, err := range prefetch.Map(cmd.Context(), prefetch.Options{Workers: workers}, list.numbers(), explain) {
		switch {
		case err != nil:
		case r.err != nil:
			err = list.fail(i, r.err, true)
		default:
			err = list.add(i, struct {
				Explanation explanation `json:"explanation"`
			}{r.row}, nil)
		}
		if err != nil {
			return err
		}
		i++
	}
	return list.finish()
}
