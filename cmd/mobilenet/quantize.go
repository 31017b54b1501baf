package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/tflite"
)

// quantizeFlags are those of mobilenet quantize.
type quantizeFlags struct {
	model, data, truth, out, report string
	format                          string // of an ONNX file
	photos, threads                 int
	wide, symmetric, sensitivity    bool
	keep                            []string
	input                           photoFlags
}

func newQuantize() *cobra.Command {
	var f quantizeFlags
	cmd := &cobra.Command{
		Use:   "quantize [flags] --data DIR -o OUT.safetensors",
		Short: "Make a network of 8-bit integers, from some photos",
		Long: `Make a network of 8-bit integers of a model: a quarter of the size, and faster. The
photos in DIR, of the kind that the network will see, show what ranges its numbers
have; they need no labels, and 32 to 512 are enough. The same photos give the same
network to the bit.

Of the photos in the folder, --photos are calibrated with, taken evenly from all of
it, and as many others tell how far the network is from the model: how often both
have the same best class, the signal to noise ratio of the logits, and the
divergence of the probabilities. Where the photos have labels, as val takes them (a
folder per class, a table, --truth), also how often each is right.

--sensitivity has a table of the layers: what range the bytes of each stand for, and
the signal to noise ratio of the logits when these bytes, or its weights, alone are
rounded. The lowest numbers are what costs most. --wide helps where the bytes of a
residual sum cost much, --keep-float where the weights of a layer do: they stay in
float32, and what flows between layers is bytes all the same.

OUT, a .safetensors file, is a model for every command: predict, val and bench run it
in 8 bits, export writes it as ONNX in 8 bits, convert and train take the integers for
numbers and say so. Named .onnx, OUT is that export at once, in --format. Named
.tflite it is for LiteRT, whose rounding of residual sums is what is measured then.`,
		Example: `  mobilenet quantize --model best.safetensors --data photos -o best-int8.safetensors
  mobilenet quantize -m mobilenet_v2.pth -d photos -o int8.safetensors --photos 256 --sensitivity --report int8.json
  mobilenet quantize -m best.safetensors -d photos -o int8.onnx --format qoperator`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "imagenet1k_v2", "weights with a name (see mobilenet weights list) or a file: "+modelEndings())
	fs.StringVarP(&f.data, "data", "d", "", "folder of photos to calibrate with, searched through; or a table of photos and labels")
	fs.StringVar(&f.truth, "truth", "", "file with the true classes of a flat folder of photos")
	fs.StringVarP(&f.out, "output", "o", "", "file to write: .safetensors, .onnx or .tflite")
	fs.StringVar(&f.format, "format", string(onnx.QDQ), "of OUT.onnx: qdq, with pairs of QuantizeLinear and DequantizeLinear, or qoperator, with operators on bytes")
	fs.StringVar(&f.report, "report", "", "JSON file for what was measured, and the range and scale of every layer")
	fs.BoolVar(&f.sensitivity, "sensitivity", false, "measure what rounding costs, layer by layer")
	fs.IntVar(&f.photos, "photos", 128, "how many photos to calibrate with, at most, and how many others to measure with")
	flags.Threads(fs, &f.threads, "cores to use; 0 means all")
	fs.BoolVar(&f.wide, "wide", false, "keep residual sums in float32: more exact, a little slower")
	fs.BoolVar(&f.symmetric, "symmetric", false, "for TensorRT: signed bytes whose zero is 0; less exact")
	fs.StringSliceVar(&f.keep, "keep-float", nil, "layers whose weights stay in float32, by module path: features.0.0,features.17,classifier.1")
	f.input.register(cmd, true)
	completeModel(cmd)
	complete(cmd, "format", string(onnx.QDQ), string(onnx.QOperator))
	return cmd
}

func (f *quantizeFlags) check(cmd *cobra.Command) error {
	switch {
	case f.data == "":
		return usagef(cmd, "--data is missing: a folder of photos of the kind that the network will see; they show what ranges its numbers have")
	case f.out == "":
		return usagef(cmd, "say what to write: -o FILE.safetensors")
	case !slices.Contains([]string{".safetensors", ".onnx", ".tflite"}, strings.ToLower(filepath.Ext(f.out))): // before the work, not behind it
		return usagef(cmd, "%s: write what? the name ends in none of .safetensors, .onnx, .tflite", f.out)
	case cmd.Flags().Changed("format") && !f.asONNX():
		return usagef(cmd, "--format is a choice of ONNX files, not of %s", f.out)
	case f.asONNX() && f.format == string(onnx.QOperator) && len(f.keep) > 0: // before the work, too
		return usagef(cmd, "--keep-float: operators on bytes have no place for layers in float32; want --format qdq")
	case f.wide && !strings.EqualFold(filepath.Ext(f.out), ".safetensors"):
		return usagef(cmd, "--wide: only .safetensors files have wide residual sums")
	case sameFile(f.model, f.out):
		return usagef(cmd, "%s is the model as well: it would be written over; give the output another name", f.out)
	case f.report != "" && (sameFile(f.report, f.model) || samePath(f.report, f.out)):
		return usagef(cmd, "--report %s is the model or the output as well: it would be written over; give the report another name", f.report)
	case f.wide && f.symmetric:
		return usagef(cmd, "--wide is for this engine, --symmetric for TensorRT: want one of them")
	case f.photos < 1 || f.photos > 4096:
		return usagef(cmd, "--photos %d: want 1 to 4096; 32 to 512 are of use", f.photos)
	}
	if err := oneOf(cmd, "format", f.format, string(onnx.QDQ), string(onnx.QOperator)); err != nil {
		return err
	}
	return f.input.check(cmd)
}

// asONNX reports whether what is written is an ONNX file.
func (f *quantizeFlags) asONNX() bool { return strings.EqualFold(filepath.Ext(f.out), ".onnx") }

// save writes q.
func (f *quantizeFlags) save(q *model.Quantized) error {
	if !f.asONNX() {
		return mobilenet.SaveQuantized(f.out, q)
	}
	g, err := onnx.ExportQuantized(q, onnx.QuantizedForm(f.format), onnx.ExportOptions{})
	if err != nil {
		return fault.In(f.out, err)
	}
	return onnx.Save(f.out, g)
}

func (f *quantizeFlags) run(cmd *cobra.Command) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	for _, path := range []string{f.out, f.report} { // now rather than behind the work
		if err := folderIsThere(path); err != nil {
			return err
		}
	}
	m, err := mobilenet.LoadModel(ctx, f.model, mobilenet.WithProgress(downloadBar(stderr)), mobilenet.WithInput(f.input.In))
	if err != nil {
		return err
	}
	sayAssumed(stderr, f.model, m.Assumed.List(m.Config))
	sayDequantized(stderr, f.model, m.Dequantized)
	photos, err := openPhotos(ctx, stderr, f.data, f.truth, m)
	if err != nil {
		return err
	}
	calibrate, measure := photos.divide(f.photos)
	own := len(measure.items) == 0
	if own {
		measure = calibrate
	}
	probe := measure.some(sensitivityPhotos)
	n := len(calibrate.items) + len(measure.items)
	if f.sensitivity {
		n += len(probe.items)
	}
	bar := newPhotoBar(stderr, n)
	defer bar.finish()
	tick := func(int) { bar.add() }
	c, err := quant.Observe(ctx, m, calibrate.images(ctx), quant.Options{Threads: f.threads, Wide: f.wide, Symmetric: f.symmetric, KeepFloat: f.keep, Progress: tick})
	if err != nil {
		return err
	}
	c.Network.Assumed = model.Assumed{}                    // it is made for just these photos
	if strings.EqualFold(filepath.Ext(f.out), ".tflite") { // what is measured is what LiteRT computes
		if c.Network, err = tflite.Prepare(c.Network); err != nil {
			return err
		}
	}
	r := quantizeReport{Calibrated: len(calibrate.items), Layers: quant.Layers(c.Network)}
	o := quant.CompareOptions{Threads: f.threads, Labels: measure.labels(), Progress: tick}
	if r.Comparison, err = quant.Compare(ctx, m, c.Network, measure.images(ctx), o); err != nil {
		return err
	}
	if f.sensitivity {
		if r.Layers, err = c.Sensitivity(ctx, probe.images(ctx), o); err != nil {
			return err
		}
	}
	if err := f.save(c.Network); err != nil {
		return err
	}
	bar.clear()
	if own {
		fmt.Fprintf(stderr, "mobilenet: measured on the photos that it was calibrated with, which suit it best: %s has no others\n", printable(f.data))
	}
	if n := len(calibrate.items); n < fewToCalibrate {
		fmt.Fprintf(stderr, "mobilenet: calibrated with %s: what so few don't show is cut off; 32 to 512 are of use\n", plural(n, "photo"))
	}
	if r.Photos > 0 && float64(r.SQNR) < poor {
		fmt.Fprintf(stderr, "mobilenet: the network is far from the model (%v): are these photos of the kind that it will see? see --sensitivity, --wide, --keep-float\n", r.SQNR)
	}
	if len(f.keep) > 0 && f.asONNX() {
		fmt.Fprintln(stderr, "mobilenet: "+keptInONNX)
	}
	return f.tell(cmd.OutOrStdout(), r)
}

const (
	fewToCalibrate = 16 // fewer than that leave ranges to chance
	poor           = 15 // decibels; ImageNet's weights have about 22 with 80 photos, 13.8 with a range by the extremes for each tensor
)

// keptInONNX is what ONNX Runtime does to layers that stay float32 between bytes.
const keptInONNX = "ONNX Runtime quantises the layers that were kept once more, by the extremes of their weights, unless the session says disabled_optimizers=[\"WeightBiasQuantization\"]"
