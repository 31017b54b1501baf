package main

import (
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

// networkFlags say what network a command is about: a model's, or one of a width
// without weights.
type networkFlags struct {
	model   string
	width   float64
	input   model.Input // its size
	classes int         // 0: ImageNet's

	// From network on: what the model runs in, and its 8-bit integers where it runs in these.
	precision mobilenet.Precision
	quantized *model.Quantized
}

// network is the model, without its weights, or one of the flags.
func (f *networkFlags) network(cmd *cobra.Command) (*model.Model, error) {
	f.precision = mobilenet.Float32
	c := model.Default()
	c.Width = f.width
	if f.classes != 0 || cmd.Flags().Changed("classes") {
		c.Classes = f.classes
	}
	if f.model == "" {
		if err := f.input.Apply(&c); err != nil {
			return nil, usagef(cmd, "%w", err)
		}
		return &model.Model{Config: c}, nil
	}
	for _, flag := range []string{"width", "classes"} {
		if cmd.Flags().Changed(flag) {
			return nil, usagef(cmd, "--%s is for a network without weights; %s has its own", flag, f.model)
		}
	}
	m, q, err := precisionFlag("auto").load(cmd.Context(), f.model,
		mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())), mobilenet.WithInput(f.input))
	if err != nil {
		return nil, err
	}
	if f.quantized = q; q != nil {
		f.precision = mobilenet.Int8
	}
	return &model.Model{Config: m.Config, Labels: m.Labels, Assumed: m.Assumed, Notes: m.Notes, Dequantized: m.Dequantized, Unfit: m.Unfit}, nil
}
