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

// sayAssumed says what a model's file leaves open and was assumed.
func sayAssumed(stderr io.Writer, model string, assumed []string) {
	if len(assumed) > 0 {
		fmt.Fprintf(stderr, "mobilenet: %s does not say how its photos were prepared; assumed: %s\n", printable(model), strings.Join(assumed, " "))
	}
}
