package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/tflite"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE.onnx|FILE.tflite",
		Short: "Check that an ONNX or TFLite file is well-formed, and summarise it",
		Long: `Check an ONNX file as onnx.checker does: versions, names, the order of the nodes,
operators' inputs, outputs and attributes, tensors, types and shapes. Every mistake
is reported with its node, the first ten of them in full, and the exit code is 1 if
there is one. Operators that MobileNetV2 graphs do not use are listed as not checked.

Of a MobileNetV2 it says what it runs in. A network of 8-bit integers is run on random
pixels, and compared with the graph, which is computed operator by operator.

Of a TFLite file the first mistake is reported: offsets and counts, tensors, their
quantisation, metadata, and the shapes of the operators that a MobileNetV2 has. Of a
MobileNetV2 it says what it runs in, too. Its operators are not computed one by one:
a network of 8-bit integers is compared with a float32 network of the same integers,
whose logits are close and not the same, and one of float32 with nothing.`,
		Example: `  mobilenet check mobilenet.onnx
  mobilenet check mobilenet.tflite`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if begins(args[0], tflite.Match) {
				return checkTFLite(cmd.Context(), cmd.OutOrStdout(), args[0])
			}
			for _, match := range []func([]byte) bool{checkpoint.IsTorch, checkpoint.IsSafetensors, checkpoint.IsKeras} {
				if begins(args[0], match) {
					return fault.In(args[0], fault.Unsupportedf("check is for ONNX and TFLite files; mobilenet summary says what is in others"))
				}
			}
			p, err := onnx.Read(args[0])
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			defer out.Flush() // what was found out before a mistake
			fmt.Fprintf(out, "%s: %.2f MB\n%s", args[0], float64(info.Size())/1e6, onnx.Summary(p))
			if names := onnx.Unchecked(p); len(names) > 0 {
				const shown = 10
				fmt.Fprintf(out, "not checked  %d nodes: %s", len(names), strings.Join(names[:min(shown, len(names))], ", "))
				if len(names) > shown {
					fmt.Fprint(out, ", ...")
				}
				fmt.Fprintln(out)
			}
			if err := onnx.Check(p); err != nil {
				return fault.In(args[0], err)
			}
			if err := describeNetwork(cmd.Context(), out, p); err != nil {
				return fault.In(args[0], err)
			}
			fmt.Fprintln(out, "ok")
			return out.Flush()
		},
	}
}

func checkTFLite(ctx context.Context, w io.Writer, file string) error {
	folder, name := wholefile.Folder(file)
	data, err := wholefile.Read(folder, name, math.MaxInt32)
	if err != nil {
		return fault.In(file, err)
	}
	about, err := tflite.Check(data)
	if about != "" {
		fmt.Fprintf(w, "%s: %.2f MB\n%s", file, float64(len(data))/1e6, about)
	}
	if err != nil {
		return fault.In(file, err)
	}
	m, q, err := tflite.Network(data)
	if broken(err) {
		return fault.In(file, err)
	}
	if err == nil {
		sayNetwork(w, m, q)
		if err := compareTFLite(ctx, w, q); err != nil {
			return fault.In(file, err)
		}
	}
	_, err = fmt.Fprintln(w, "ok")
	return err
}

// compareTFLite runs q, unless it is nil, and what its integers stand for in float32,
// on the same random pixels.
func compareTFLite(ctx context.Context, w io.Writer, q *model.Quantized) error {
	if q == nil {
		_, err := fmt.Fprintln(w, "numbers      not compared: operators are computed one by one of ONNX files only")
		return err
	}
	height, width := q.Config.InputSize()
	if height*width > maxSlow {
		return nil
	}
	in := engine.Input{Pixels: noise(3 * height * width), N: 1, H: height, W: width}
	bytes, err := logitsOf(ctx, engine.Source{Quantized: q}, in, q.Config.Classes)
	if err != nil {
		return err
	}
	numbers, err := logitsOf(ctx, engine.Source{Model: q.Dequantize()}, in, q.Config.Classes)
	if err != nil {
		return err
	}
	off, largest := apart(bytes, numbers)
	_, err = fmt.Fprintf(w, "8 bits       on random pixels the logits, up to %.4g, differ by at most %.2g from those of the same integers taken for numbers\n", largest, off)
	return err
}

// logitsOf runs a network on one image.
func logitsOf(ctx context.Context, s engine.Source, in engine.Input, classes int) ([]float32, error) {
	e, err := s.Compile(engine.Options{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	logits := make([]float32, classes)
	return logits, e.Run(ctx, in, engine.Output{Logits: logits})
}

// apart is how far values are from what they should be, and the largest of these.
func apart(values, want []float32) (off, largest float64) {
	for i, v := range want {
		off, largest = max(off, math.Abs(float64(v-values[i]))), max(largest, math.Abs(float64(v)))
	}
	return off, largest
}

// broken tells files that are wrong from those of other networks.
func broken(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Kind == fault.Broken
}

// describeNetwork says what a graph is as a network; nothing, if it is no MobileNetV2.
func describeNetwork(ctx context.Context, out io.Writer, g *onnx.Graph) error {
	m, q, err := onnx.Network(g)
	if broken(err) {
		return err
	}
	if err != nil {
		return nil
	}
	sayNetwork(out, m, q)
	if q == nil {
		return nil
	}
	return compareQuantized(ctx, out, g, q)
}

// sayNetwork says what a file runs in: m, or q in 8 bits.
func sayNetwork(out io.Writer, m *model.Model, q *model.Quantized) {
	runs := "runs in float32"
	switch {
	case q != nil:
		runs = "runs in 8-bit integers"
	case m.Unfit != "":
		runs = "8 bits, runs in float32: " + printable(m.Unfit)
	}
	fmt.Fprintf(out, "network      width %v, %d classes, %s\n", m.Config.Width, m.Config.Classes, runs)
}

// maxSlow is the pixels of an input that is computed operator by operator: some seconds.
const maxSlow = 512 * 512

// compareQuantized runs q and the graph that it was read from on the same random pixels.
func compareQuantized(ctx context.Context, out io.Writer, g *onnx.Graph, q *model.Quantized) error {
	h, w := q.Config.InputSize()
	n := h * w
	if n > maxSlow || !plain(ir.Unwrap(g)) {
		return nil
	}
	in := engine.Input{Pixels: noise(3 * n), N: 1, H: h, W: w}
	levels := q.Config.Preprocess.Levels()
	planes := make([]float32, 3*n)
	for i, v := range in.Pixels {
		planes[i%3*n+i/3] = levels[i%3][v]
	}
	graph, err := onnx.Run(g, []int{1, 3, h, w}, planes)
	if err != nil || len(graph[0]) != q.Config.Classes {
		return nil // it has another layout
	}
	logits, err := logitsOf(ctx, engine.Source{Quantized: q}, in, q.Config.Classes)
	if err != nil {
		return err
	}
	off, largest := apart(logits, graph[0])
	_, err = fmt.Fprintf(out, "8 bits       on random pixels the logits, up to %.4g, differ by at most %.2g from the graph's, operator by operator\n", largest, off)
	return err
}

// plain reports whether a graph of 8-bit integers takes normalised pixels and puts out
// logits: nothing is done to either.
func plain(p *ir.Proto) bool {
	inputs, last := ir.FreeInputs(p), p.Graph.Node[len(p.Graph.Node)-1]
	for _, n := range p.Graph.Node {
		if slices.Contains(n.Input, inputs[0].Name) && n.OpType != "QuantizeLinear" {
			return false
		}
	}
	return last.OpType == "DequantizeLinear" || last.OpType == "Gemm" || last.OpType == "QGemm"
}
