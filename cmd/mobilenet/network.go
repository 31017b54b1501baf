package main

import (
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

// networkFlags say what network a command is about: a model's, or one of a width
// without weights.
type networkFlags struct {
	model      string
	width      float64
	resolution int // 0: the model's
	classes    int // 0: ImageNet's
}

// config is the model's, or one of the flags.
func (f *networkFlags) config(cmd *cobra.Command) (model.Config, error) {
	c := model.Default()
	c.Width = f.width
	if f.classes != 0 || cmd.Flags().Changed("classes") {
		c.Classes = f.classes
	}
	if f.model != "" {
		for _, flag := range []string{"width", "classes"} {
			if cmd.Flags().Changed(flag) {
				return c, usagef(cmd, "--%s is for a network without weights; %s has its own", flag, f.model)
			}
		}
		m, err := mobilenet.LoadModel(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())))
		if err != nil {
			return c, err
		}
		c = m.Config
	}
	if f.resolution != 0 {
		c.Resolution = f.resolution
	}
	err := c.Validate()
	if err != nil && f.model == "" {
		err = usagef(cmd, "%w", err)
	}
	return c, err
}
