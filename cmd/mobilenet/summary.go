package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

type summaryFlags struct {
	networkFlags
	photos photoFlags
	format string
	plan   bool
}

func newSummary() *cobra.Command {
	var f summaryFlags
	cmd := &cobra.Command{
		Use:   "summary [flags] [MODEL]",
		Short: "List the layers with shapes, parameters and multiply-adds",
		Long: `List the layers of a MobileNetV2 with kernel, stride, shapes, parameters and
multiply-adds (MACs of the convolutions and the classifier, for one image), as
torchinfo does, and what the model holds and needs in all. In the table, dw marks
a depthwise convolution and s is the stride.

Without MODEL it is a network with random weights of the given width.`,
		Example: `  mobilenet summary
  mobilenet summary --width 0.5 --resolution 160
  mobilenet summary best.safetensors --format json
  mobilenet summary --plan`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && f.model != "" {
				return usagef(cmd, "two models: %s and --model %s", args[0], f.model)
			}
			if len(args) == 1 {
				f.model = args[0]
			}
			if err := oneOf(cmd, "format", f.format, "table", "json"); err != nil {
				return err
			}
			if err := f.photos.check(cmd); err != nil {
				return err
			}
			f.input = f.photos.In
			m, err := f.network(cmd)
			if err != nil {
				return err
			}
			precisionFlag("auto").say(cmd.ErrOrStderr(), f.model, m.Dequantized, m.Unfit)
			if f.plan {
				return writePlan(cmd.OutOrStdout(), m.Config)
			}
			if f.format == "json" {
				return writeSummaryJSON(cmd, m, &f.networkFlags)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), renderSummary(m, &f.networkFlags))
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "", "published weights or a file; the same as MODEL")
	fs.Float64VarP(&f.width, "width", "w", 1, "width multiplier")
	f.photos.register(cmd, true)
	fs.IntVar(&f.classes, "classes", 1000, "outputs of the classifier")
	fs.StringVarP(&f.format, "format", "f", "table", "table or json")
	fs.BoolVar(&f.plan, "plan", false, "list the steps that the engine makes of the layers, and time them here")
	completeModel(cmd)
	complete(cmd, "format", "table", "json")
	return cmd
}

// renderSummary fits a terminal of 80 columns.
func renderSummary(m *model.Model, f *networkFlags) string {
	c := m.Config
	s := c.Summarize()
	t := newTable()
	t.Style().Box.PaddingLeft = " "
	t.AppendHeader(table.Row{"layer", "kernel", "s", "in", "out", "params", "MACs", "share"})
	right := table.ColumnConfig{Align: text.AlignRight, AlignHeader: text.AlignRight}
	var columns []table.ColumnConfig
	for n := 3; n <= 8; n++ {
		right.Number = n
		columns = append(columns, right)
	}
	t.SetColumnConfigs(columns)
	for _, l := range s.Layers {
		row := table.Row{l.Name, l.KernelString(), "", shape(l.In), shape(l.Out), "", "", ""}
		if l.Op == "depthwise" {
			row[1] = l.KernelString() + " dw"
		}
		if l.Stride > 0 {
			row[2] = l.Stride
		}
		if l.Params > 0 {
			row[5], row[6] = grouped(l.Params), grouped(l.MACs)
			row[7] = fmt.Sprintf("%.1f%%", 100*float64(l.MACs)/float64(s.MACs))
		}
		t.AppendRow(row)
	}
	h, w := c.InputSize()
	return t.Render() + fmt.Sprintf(`

input                   [3 %d %d], %s padding
photos                  %s
normalised by           %s
precision               %s
parameters              %s
multiply-adds           %s
%s
largest activations     %.2f MB, layer by layer%s`,
		h, w, c.Padding, resized(c.Preprocess), normalised(c.Preprocess), precision(m, f.precision), grouped(s.Params), grouped(s.MACs),
		weightsRow(s, f.quantized), float64(activations(s, f))/1e6, assumedRow(m)+notesRow(m))
}

// weightsRow is what the weights take.
func weightsRow(s model.Summary, q *model.Quantized) string {
	if q == nil {
		return fmt.Sprintf("weights, float32        %.2f MB", float64(s.Bytes)/1e6)
	}
	weights, others := q.Bytes()
	kind := ""
	if q.Wide {
		kind = "; residual sums in float32"
	}
	if q.Signed {
		kind += "; signed bytes"
	}
	if name, ok := q.KeptFloat(); ok {
		kind += "; some weights in float32: " + name + ", ..."
	}
	return fmt.Sprintf("weights, int8           %.2f MB, and %.2f MB of scales and biases%s", float64(weights)/1e6, float64(others)/1e6, kind)
}

// activations are the largest, in bytes. Integers take a quarter.
func activations(s model.Summary, f *networkFlags) int {
	if f.quantized != nil {
		return s.PeakAct / 4
	}
	return s.PeakAct
}

// precision is that of the file, and what it runs in here if that is another.
func precision(m *model.Model, p mobilenet.Precision) string {
	if m.Dequantized {
		return "int8, run as " + string(p)
	}
	return string(p)
}

// resized says how photos become as large as the input.
func resized(p model.Preprocess) string {
	how := fmt.Sprintf("resize %d, centre crop", p.Resize)
	if p.Squash {
		how = "squashed to the input"
	}
	return how + ", " + string(p.Interpolation)
}

func normalised(p model.Preprocess) string {
	return fmt.Sprintf("mean %.4g %.4g %.4g, std %.4g %.4g %.4g", p.Mean[0], p.Mean[1], p.Mean[2], p.Std[0], p.Std[1], p.Std[2])
}

// assumed lists what the file leaves open, the head too.
func assumed(m *model.Model) []string {
	list := m.Assumed.List(m.Config)
	if m.Assumed.Head {
		list = append(list, "softmax at the end (see convert --head)")
	}
	return list
}

// assumedRow is what the file leaves open, as a row behind the others.
func assumedRow(m *model.Model) string {
	list := assumed(m)
	if len(list) == 0 {
		return ""
	}
	return "\nassumed, not in the file " + strings.Join(list, "\n                        ")
}

// notesRow is what was found in the file beside the network, or left out of it.
func notesRow(m *model.Model) string {
	if len(m.Notes) == 0 {
		return ""
	}
	return "\nfound in the file       " + strings.Join(m.Notes, "\n                        ")
}

func writeSummaryJSON(cmd *cobra.Command, m *model.Model, f *networkFlags) error {
	s := m.Config.Summarize()
	weights := s.Bytes
	if f.quantized != nil {
		eight, others := f.quantized.Bytes()
		weights = eight + others
	}
	type layer struct {
		Name   string `json:"name"`
		Op     string `json:"op"`
		Kernel int    `json:"kernel,omitempty"`
		Stride int    `json:"stride,omitempty"`
		In     []int  `json:"in"`
		Out    []int  `json:"out"`
		Params int    `json:"params"`
		MACs   int    `json:"macs"`
	}
	var layers []layer
	for _, l := range s.Layers {
		layers = append(layers, layer(l))
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Config    model.Config        `json:"config"`
		Assumed   []string            `json:"assumed,omitempty"`
		Notes     []string            `json:"notes,omitempty"`
		Precision mobilenet.Precision `json:"precision"` // what it runs in
		Rounded   bool                `json:"dequantized,omitempty"`
		Unfit     string              `json:"unfit,omitempty"` // why it doesn't run in 8 bits
		Params    int                 `json:"params"`
		MACs      int                 `json:"macs"`
		Bytes     int                 `json:"weight_bytes"`
		PeakAct   int                 `json:"peak_activation_bytes"`
		Layers    []layer             `json:"layers"`
	}{m.Config, assumed(m), m.Notes, f.precision, m.Dequantized, m.Unfit, s.Params, s.MACs, weights, activations(s, f), layers})
}

// shape prints [C H W] as CxHxW.
func shape(dims []int) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = strconv.Itoa(d)
	}
	return strings.Join(parts, "x")
}

// grouped prints n with its thousands apart.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
