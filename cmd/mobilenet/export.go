package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

type exportFlags struct {
	model, out, mode, dynamic, format string
	simplify                          bool
	photos                            photoFlags
	options                           onnx.ExportOptions
}

func newExport() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [flags] -o FILE.onnx",
		Short: "Write the model as ONNX, as torch.onnx.export does",
		Long: `Write the model as an ONNX graph: node for node what torch.onnx.export makes of
torchvision's mobilenet_v2. The modes are

  eval      batch normalisation folded into the convolutions
  train     batch normalisation and dropout as training computes them
  preserve  batch normalisation as inference computes it

--simplify makes the graph smaller, as onnxsim does, runs both graphs on the same
random input and prints the largest difference. With an .onnx file as model and no
other change asked for, that file's own graph is simplified.

A model in 8-bit integers is written as that: --format qdq, with float32 operators
between QuantizeLinear and DequantizeLinear, as most tools want it; qoperator, with
operators on bytes, for ONNX Runtime; float, as if nobody had quantised it. Such a
model can also be written for LiteRT: -o FILE.tflite, without flags.`,
		Example: `  mobilenet export --model best.safetensors -o best.onnx
  mobilenet export -m best.pth -o train.onnx --mode train --simplify
  mobilenet export -m best.pth -o server.onnx --dynamic batch --softmax --preprocess
  mobilenet export -m theirs.onnx -o smaller.onnx --simplify`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "imagenet1k_v2", "published weights or a file")
	fs.StringVarP(&f.out, "output", "o", "", "file to write")
	fs.IntVar(&f.options.Opset, "opset", onnx.DefaultOpset, fmt.Sprintf("version of the operators, %d to %d", onnx.MinOpset, onnx.MaxOpset))
	fs.StringVar(&f.mode, "mode", string(onnx.Eval), "eval, train or preserve")
	fs.StringVar(&f.dynamic, "dynamic", "none", "axes without a fixed size: none, batch or all")
	fs.BoolVar(&f.simplify, "simplify", false, "simplify the graph, and prove it")
	fs.IntVar(&f.options.Batch, "batch", 1, "images in the input")
	fs.StringVar(&f.options.Input, "input-name", "images", "name of the input")
	fs.StringVar(&f.options.Output, "output-name", "output", "name of the output")
	fs.BoolVar(&f.options.Softmax, "softmax", false, "put out probabilities, not logits")
	fs.BoolVar(&f.options.Preprocess, "preprocess", false, "take 8-bit pixels [N,H,W,3] and normalise them in the graph")
	fs.BoolVar(&f.options.Half, "half", false, "store weights as float16")
	fs.StringVar(&f.format, "format", "qdq", "of a quantised model: qdq, qoperator or float")
	f.photos.register(cmd, true)
	completeModel(cmd)
	complete(cmd, "mode", string(onnx.Eval), string(onnx.Train), string(onnx.Preserve))
	complete(cmd, "format", string(onnx.QDQ), string(onnx.QOperator), "float")
	complete(cmd, "dynamic", "none", string(onnx.DynamicBatch), string(onnx.DynamicAll))
	return cmd
}

func (f *exportFlags) run(cmd *cobra.Command) error {
	if f.out == "" {
		return usagef(cmd, "say what to write: -o FILE.onnx")
	}
	if strings.EqualFold(filepath.Ext(f.out), ".tflite") {
		return f.tflite(cmd)
	}
	if ext := filepath.Ext(f.out); isModel(f.out) && !strings.EqualFold(ext, ".onnx") {
		u := usagef(cmd, "-o %s: export writes ONNX", f.out)
		switch strings.ToLower(ext) {
		case ".pth", ".pt", ".safetensors":
			u.hint = fmt.Sprintf("did you mean mobilenet convert %s %s?", f.model, f.out)
		default:
			u.hint = fmt.Sprintf("did you mean -o %s.onnx? Other programs convert that", strings.TrimSuffix(f.out, ext))
		}
		return u
	}
	if err := oneOf(cmd, "mode", f.mode, string(onnx.Eval), string(onnx.Train), string(onnx.Preserve)); err != nil {
		return err
	}
	if err := oneOf(cmd, "dynamic", f.dynamic, "none", string(onnx.DynamicBatch), string(onnx.DynamicAll)); err != nil {
		return err
	}
	if err := oneOf(cmd, "format", f.format, string(onnx.QDQ), string(onnx.QOperator), "float"); err != nil {
		return err
	}
	if err := f.photos.check(cmd); err != nil {
		return err
	}
	if sameFile(f.model, f.out) {
		return usagef(cmd, "%s is the model as well: it would be written over; give the output another name", f.out)
	}
	p, err := f.graph(cmd)
	if err != nil {
		return err
	}
	if f.simplify {
		if p, err = simplified(cmd, p); err != nil {
			return fault.In(f.model, err)
		}
	}
	if err := onnx.Save(f.out, p); err != nil {
		return err
	}
	info, err := os.Stat(f.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d nodes, %.2f MB\n", f.out, onnx.Nodes(p), float64(info.Size())/1e6)
	return nil
}

// tflite writes a network of 8 bits as TFLite, which has none of ONNX's choices.
func (f *exportFlags) tflite(cmd *cobra.Command) error {
	for _, name := range []string{"opset", "mode", "dynamic", "batch", "input-name", "output-name", "softmax", "preprocess", "half", "simplify", "format", "symmetric"} {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s is a choice of ONNX files, not of %s", name, f.out)
		}
	}
	if err := f.photos.check(cmd); err != nil {
		return err
	}
	if sameFile(f.model, f.out) {
		return usagef(cmd, "%s is the model as well: it would be written over; give the output another name", f.out)
	}
	q, err := mobilenet.LoadQuantized(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())), mobilenet.WithInput(f.photos.In))
	if errors.Is(err, mobilenet.ErrNotQuantized) {
		u := usagef(cmd, "-o %s: export writes networks of 8 bits as TFLite, and %s is none", f.out, f.model)
		u.hint = fmt.Sprintf("did you mean mobilenet convert %s %s?", f.model, f.out)
		return u
	}
	if err != nil {
		return err
	}
	sayAssumed(cmd.ErrOrStderr(), f.model, q.Assumed.List(q.Config))
	sayNotes(cmd.ErrOrStderr(), f.model, q.Notes)
	sayQNNPACK(cmd.ErrOrStderr(), f.model, "LiteRT", q)
	if err := mobilenet.SaveQuantized(f.out, q); err != nil {
		return err
	}
	info, err := os.Stat(f.out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %.2f MB\n", f.out, float64(info.Size())/1e6)
	return err
}

// sayQNNPACK says that who runs what is written rounds otherwise than q does.
func sayQNNPACK(stderr io.Writer, file, who string, q *model.Quantized) {
	if q.QNNPACK {
		fmt.Fprintf(stderr, "mobilenet: %s has QNNPACK's rounding: %s's differs, by a step in the few bytes that are next to a tie\n", printable(file), who)
	}
}

// graph is what the flags ask for, not simplified yet.
func (f *exportFlags) graph(cmd *cobra.Command) (*onnx.Graph, error) {
	if f.simplify && strings.EqualFold(filepath.Ext(f.model), ".onnx") && !f.changes(cmd) {
		p, err := onnx.Read(f.model)
		if err != nil {
			return nil, err
		}
		if err := onnx.Check(p); err != nil {
			return nil, fault.In(f.model, err)
		}
		return p, nil
	}
	precision := precisionFlag("auto")
	if f.format == "float" {
		precision = "float"
	}
	m, q, err := precision.load(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr())), mobilenet.WithInput(f.photos.In))
	if err != nil {
		return nil, err
	}
	if q == nil && f.format != "float" && cmd.Flags().Changed("format") {
		return nil, fault.In(f.model, &fault.Error{Kind: fault.Unsupported, Reason: mobilenet.ErrNotQuantized.Error()})
	}
	if q != nil && f.simplify {
		return nil, usagef(cmd, "--simplify is for graphs of float32: want --format float with it")
	}
	sayAssumed(cmd.ErrOrStderr(), f.model, m.Assumed.List(m.Config))
	sayNotes(cmd.ErrOrStderr(), f.model, m.Notes)
	sayDequantized(cmd.ErrOrStderr(), f.model, m.Dequantized)
	f.options.Mode = onnx.Mode(f.mode)
	if f.dynamic != "none" {
		f.options.Dynamic = onnx.Dynamic(f.dynamic)
	}
	var p *onnx.Graph
	if q != nil {
		sayQNNPACK(cmd.ErrOrStderr(), f.model, "ONNX Runtime", q)
		p, err = onnx.ExportQuantized(q, onnx.QuantizedForm(f.format), f.options)
	} else {
		p, err = onnx.Export(m, f.options)
	}
	if err != nil {
		return nil, fault.In(f.model, err)
	}
	return p, nil
}

// changes reports whether a flag asks for a graph other than the file's own.
func (f *exportFlags) changes(cmd *cobra.Command) bool {
	for _, name := range []string{"opset", "mode", "dynamic", "batch", "input-name", "output-name", "softmax", "preprocess", "half"} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return !f.photos.In.IsZero()
}

// simplified simplifies p and prints how far the result's outputs are from p's.
func simplified(cmd *cobra.Command, p *onnx.Graph) (*onnx.Graph, error) {
	s, err := onnx.Simplify(p)
	if err != nil {
		return nil, err
	}
	difference, largest, err := onnx.Difference(p, s, 1)
	if err != nil {
		return nil, fmt.Errorf("run the simplified graph against the original: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "simplified: %d nodes became %d; on random input outputs up to %.3g differ by at most %.2g\n",
		onnx.Nodes(p), onnx.Nodes(s), largest, difference)
	// A wrong graph is off by as much as the outputs are; rounding, by a millionth.
	if !(difference <= 1e-3*max(1, largest)) {
		return nil, fmt.Errorf("the simplified graph computes something else: nothing is written")
	}
	return s, nil
}
