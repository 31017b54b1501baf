package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/model"
)

// photoFlags say how photos become the input of the network.
type photoFlags struct{ flags.Photos }

// register adds the flags that a command has for photos. size is false for a
// command that has a --resolution of its own.
func (f *photoFlags) register(cmd *cobra.Command, size bool) {
	f.Register(cmd.Flags(), size)
	complete(cmd, "interpolation", string(model.Bilinear), string(model.Bicubic))
}

func (f *photoFlags) check(cmd *cobra.Command) error {
	if err := f.Check(cmd.Flags()); err != nil {
		return usagef(cmd, "%w", err)
	}
	return nil
}

// say says what the input is, where flags made it another one: the network runs on any, and
// what takes minutes must not look like a program that hangs. A size that is not unusual is said
// if always is set, for a program that others ask than who gave the flags.
func (f *photoFlags) say(stderr io.Writer, name string, c model.Config, always bool) {
	in := f.In
	if in.Height == 0 && in.Width == 0 && in.Crop <= 1 {
		return
	}
	const usual = 224 // the side that the published weights are for (arXiv 1801.04381, 6.1)
	h, w := c.InputSize()
	switch times := float64(h) * float64(w) / (usual * usual); {
	case times > 4:
		fmt.Fprintf(stderr, "mobilenet: %s: inputs are %dx%d pixels, %.0f times %dx%[5]d, which MobileNetV2 is usually trained with: a photo takes as many times as long, and answers may be worse\n", printable(name), w, h, times, usual)
	case in.Crop > 1:
		fmt.Fprintf(stderr, "mobilenet: %s: inputs are %dx%d pixels (--crop)\n", printable(name), w, h)
	case always:
		fmt.Fprintf(stderr, "mobilenet: %s: inputs are %dx%d pixels (--resolution)\n", printable(name), w, h)
	}
}

// sayAssumed says what a model's file leaves open and was assumed.
func sayAssumed(stderr io.Writer, model string, assumed []string) {
	if len(assumed) > 0 {
		fmt.Fprintf(stderr, "mobilenet: %s does not say how its photos were prepared; assumed: %s\n", printable(model), strings.Join(assumed, " "))
	}
}
