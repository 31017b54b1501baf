package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
)

// checkList settles what predict does otherwise with a list of photos: a row for each,
// also for those that fail, in a form that programs read.
func (f *predictFlags) checkList(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("format") {
		f.format = "json"
	}
	if !cmd.Flags().Changed("errors") {
		f.errors = "inline"
	}
	return oneOf(cmd, "format", f.format, "json", "csv")
}

// runList classifies the photos of --from.
func (f *predictFlags) runList(cmd *cobra.Command) error {
	f.settle()
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	for _, dir := range f.keeper.outputs() {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	c, err := f.classifierFlags.open(ctx, stderr)
	if err != nil {
		return err
	}
	f.keeper.name(c.Labels())
	settings, err := f.settings(cmd, c)
	if err != nil {
		return err
	}
	format := listFormat{names: []string{"predictions", "error"}, sparse: f.errors != "inline", uneven: f.threshold > 0}
	if f.format == "csv" {
		format.csv, format.names = true, csvColumns
	}
	list, err := f.list.open(cmd, format, settings)
	if err != nil {
		return err
	}
	p := f.prediction(cmd, list.photo)
	line := pipeline{
		photos: list.numbers(), long: true, decode: p.decode,
		open: func() (*mobilenet.Classifier, error) { return c, nil },
		use: func(i int, r mobilenet.Result, err error) error {
			if err != nil {
				return list.fail(i, err, f.errors == "inline")
			}
			shown := f.probable(r.Predictions)
			if err := f.keeper.keep(i, list.photo(i).name, r.Predictions, shown); err != nil {
				return err
			}
			return list.add(i, predictedOf(shown), csvPredictions(shown))
		},
	}
	if err := line.run(ctx, &f.classifierFlags, f.top); err != nil {
		return err
	}
	p.clipped.say(stderr)
	return list.finish()
}
