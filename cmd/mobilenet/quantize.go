package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
)

// quantizeFlags are those of mobilenet quantize.
type quantizeFlags struct {
	model, data, out, report string
	photos, threads          int
	wide                     bool
	input                    photoFlags
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
divergence of the probabilities.

OUT, a .safetensors file, is a model for every command: predict, val and bench run it
in 8 bits, export writes it as ONNX in 8 bits, convert and train take the integers for
numbers and say so. Named .onnx, OUT is that export at once.`,
		Example: `  mobilenet quantize --model best.safetensors --data photos -o best-int8.safetensors
  mobilenet quantize -m mobilenet_v2.pth -d photos -o int8.safetensors --photos 256 --report int8.json`,
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
	fs.StringVarP(&f.data, "data", "d", "", "folder of photos to calibrate with, searched through")
	fs.StringVarP(&f.out, "output", "o", "", "file to write: .safetensors or .onnx")
	fs.StringVar(&f.report, "report", "", "JSON file for what was measured")
	fs.IntVar(&f.photos, "photos", 128, "how many photos to calibrate with, at most, and how many others to measure with")
	fs.IntVar(&f.threads, "threads", 0, "cores to use; 0 means all")
	fs.BoolVar(&f.wide, "wide", false, "keep residual sums in float32: more exact, a little slower")
	f.input.register(cmd, true)
	completeModel(cmd)
	return cmd
}

func (f *quantizeFlags) check(cmd *cobra.Command) error {
	switch {
	case f.data == "":
		return usagef(cmd, "--data is missing: a folder of photos of the kind that the network will see; they show what ranges its numbers have")
	case f.out == "":
		return usagef(cmd, "say what to write: -o FILE.safetensors")
	case !slices.Contains([]string{".safetensors", ".onnx"}, strings.ToLower(filepath.Ext(f.out))): // before the work, not behind it
		return usagef(cmd, "%s: write what? the name ends in none of .safetensors, .onnx", f.out)
	case sameFile(f.model, f.out):
		return usagef(cmd, "%s is the model as well: it would be written over; give the output another name", f.out)
	case f.photos < 1 || f.photos > 4096:
		return usagef(cmd, "--photos %d: want 1 to 4096; 32 to 512 are of use", f.photos)
	case f.threads < 0 || f.threads > 1024:
		return usagef(cmd, "--threads %d: want 0 to 1024", f.threads)
	}
	return f.input.check(cmd)
}

func (f *quantizeFlags) run(cmd *cobra.Command) error {
	stderr := cmd.ErrOrStderr()
	m, err := mobilenet.LoadModel(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(stderr)), mobilenet.WithInput(f.input.in))
	if err != nil {
		return err
	}
	sayAssumed(stderr, f.model, m.Assumed.List(m.Config))
	sayDequantized(stderr, f.model, m.Dequantized)
	calibrate, others, err := f.divide()
	if err != nil {
		return err
	}
	bar := newPhotoBar(stderr, len(calibrate)+len(others))
	defer bar.finish()
	q, err := f.calibrate(cmd.Context(), m, calibrate, func(int) { bar.add() })
	if err != nil {
		return err
	}
	q.Assumed = model.Assumed{} // it is made for just these photos
	measured := others
	if len(others) == 0 {
		measured = calibrate
	}
	c, err := quant.Compare(cmd.Context(), m, q, mobilenet.DecodeFiles(cmd.Context(), slices.Values(measured)), f.threads)
	if err != nil {
		return err
	}
	if err := mobilenet.SaveQuantized(f.out, q); err != nil {
		return err
	}
	bar.clear()
	if len(others) == 0 {
		fmt.Fprintf(stderr, "mobilenet: measured on the photos that it was calibrated with, which suit it best: %s has no others\n", printable(f.data))
	}
	return f.tell(cmd.OutOrStdout(), len(calibrate), c)
}

// divide lists the photos to calibrate with and those to measure with. Where there are
// more than --photos they are every other one of those taken, evenly from all of the
// folder, so that each part is of all its classes.
func (f *quantizeFlags) divide() (calibrate, others []string, err error) {
	paths, _, err := dataset.Images(f.data)
	if err != nil {
		return nil, nil, err
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("%s: no photos to calibrate with", f.data)
	}
	if len(paths) <= f.photos {
		return paths, nil, nil
	}
	n := min(2*f.photos, len(paths))
	for i := range n {
		if path := paths[i*len(paths)/n]; i%2 == 0 {
			calibrate = append(calibrate, path)
		} else {
			others = append(others, path)
		}
	}
	return calibrate, others, nil
}

func (f *quantizeFlags) calibrate(ctx context.Context, m *model.Model, paths []string, progress func(int)) (*quant.Network, error) {
	return quant.Calibrate(ctx, m, mobilenet.DecodeFiles(ctx, slices.Values(paths)), quant.Options{Threads: f.threads, Wide: f.wide, Progress: progress})
}

// tell prints, and keeps, what was measured.
func (f *quantizeFlags) tell(w io.Writer, calibrated int, c quant.Comparison) error {
	info, err := os.Stat(f.out)
	if err != nil {
		return err
	}
	if f.report != "" {
		write := func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(struct {
				Calibrated int `json:"calibration_photos"`
				quant.Comparison
				Bytes int64 `json:"bytes"`
			}{calibrated, c, info.Size()})
		}
		if err := atomicfile.Write(f.report, write); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "%s: %.2f MB, calibrated with %d photos; on %d photos %.1f %% have the same best class, logits %.1f dB, KL %.4f\n",
		f.out, float64(info.Size())/1e6, calibrated, c.Photos, 100*c.Agreement, c.SQNR, c.KL)
	return err
}
