package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/model"
)

// precisionFlag says what a network runs in: auto, float or int8.
type precisionFlag string

func (f *precisionFlag) register(cmd *cobra.Command) {
	*f = "auto"
	cmd.Flags().Var((*flags.Precision)(f), "precision", flags.PrecisionUsage)
	complete(cmd, "precision", flags.Precisions...)
}

func (f precisionFlag) check(cmd *cobra.Command) error {
	return oneOf(cmd, "precision", string(f), flags.Precisions...)
}

func (f precisionFlag) option() mobilenet.Option { return flags.Precision(f).Option() }

// load returns the model of that name. Where it runs in 8-bit integers these are in q,
// and m has no weights.
func (f precisionFlag) load(ctx context.Context, name string, opts ...mobilenet.Option) (m *model.Model, q *model.Quantized, err error) {
	if f != "float" {
		q, err = mobilenet.LoadQuantized(ctx, name, opts...)
		if err == nil {
			return &model.Model{Config: q.Config, Labels: q.Labels, Assumed: q.Assumed, Notes: q.Notes}, q, nil
		}
		if f == "int8" || !errors.Is(err, mobilenet.ErrNotQuantized) {
			return nil, nil, err
		}
	}
	m, err = mobilenet.LoadModel(ctx, name, opts...)
	return m, nil, err
}

// say says that a model of 8-bit integers runs as float32, which is not what its file
// says, unless somebody has asked for it, and what in the file does not fit.
func (f precisionFlag) say(stderr io.Writer, model string, dequantized bool, unfit string) {
	if !dequantized || f == "float" {
		return
	}
	if unfit != "" {
		unfit = " (" + printable(unfit) + ")"
	}
	fmt.Fprintf(stderr, "mobilenet: %s is quantised to 8 bits and runs as float32 here%s: ONNX Runtime's and LiteRT's answers differ; "+
		"better than either is the float32 model that it was made from, if you have it\n", printable(model), unfit)
}

// sayDequantized says that what is made of a model of 8-bit integers is float32.
func sayDequantized(stderr io.Writer, model string, dequantized bool) {
	if dequantized {
		fmt.Fprintf(stderr, "mobilenet: %s is quantised to 8 bits: its weights are taken as float32, and the rounding of its activations is lost\n", printable(model))
	}
}
