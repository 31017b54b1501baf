package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/model"
)

type benchFlags struct {
	model, format                    string
	width                            float64
	threads, batch, resolution, runs int
	layers, train                    bool
	precision                        precisionFlag
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags]",
		Short: "Measure how fast the network runs here",
		Long: `Measure how fast the network runs on this machine: the latency of a batch, images
a second, and the share of what the cores could do if they did nothing but
multiply and add.

Without --model it is a network with random weights, which is as fast.`,
		Example: `  mobilenet bench --threads 1
  mobilenet bench --batch 8 --format json
  mobilenet bench --width 0.35 --resolution 96 --layers
  mobilenet bench --train --batch 16 --runs 10
  MOBILENET_CPU=generic mobilenet bench`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "", "published weights or a file; empty for random weights")
	fs.Float64VarP(&f.width, "width", "w", 1, "width multiplier of the network with random weights")
	flags.Threads(fs, &f.threads, "cores to use; 0 means all")
	fs.IntVar(&f.batch, "batch", 1, "images at once")
	fs.IntVarP(&f.resolution, "resolution", "r", 0, "height and width of the input; 0 means the model's")
	fs.IntVar(&f.runs, "runs", 200, "how many runs to measure")
	fs.BoolVar(&f.layers, "layers", false, "measure each step of the plan, too, on one core")
	fs.BoolVar(&f.train, "train", false, "measure steps of training instead")
	fs.StringVarP(&f.format, "format", "f", "table", "table or json")
	f.precision.register(cmd)
	completeModel(cmd)
	complete(cmd, "format", "table", "json")
	return cmd
}

// timing is the result, as it is written in JSON.
type timing struct {
	CPU        string      `json:"cpu"` // instruction set of the kernels
	Threads    int         `json:"threads"`
	Batch      int         `json:"batch"`
	Resolution int         `json:"resolution"`
	Width      float64     `json:"width"`
	Runs       int         `json:"runs"`
	Min        float64     `json:"min_ms"`
	Median     float64     `json:"median_ms"`
	P99        float64     `json:"p99_ms"`
	Images     float64     `json:"images_per_s"` // by the median
	MACs       int         `json:"macs_per_image"`
	Peak       float64     `json:"peak_gflops"` // of one core
	Share      float64     `json:"share_of_peak"`
	Memory     int         `json:"activation_bytes"`      // of one image in flight
	InputWidth int         `json:"input_width,omitempty"` // where it is not the resolution
	Precision  string      `json:"precision"`             // float32 or int8
	Kernels    []kernelUse `json:"kernels"`               // which instruction set computes what
	Page       int         `json:"page_bytes,omitempty"`  // that the weights are in
	Layers     []layerTime `json:"layers,omitempty"`
}

type kernelUse struct {
	Layers string `json:"layers"`
	CPU    string `json:"cpu"`
	Why    string `json:"why"`
}

type layerTime struct {
	Name  string  `json:"name"`
	MACs  int     `json:"macs"`
	Tasks int     `json:"tasks"`
	Floor float64 `json:"floor_us"` // at the peak
	Time  float64 `json:"min_us"`
	Share float64 `json:"share_of_peak"`
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	if err := oneOf(cmd, "format", f.format, "table", "json"); err != nil {
		return err
	}
	if err := f.precision.check(cmd); err != nil {
		return err
	}
	if f.model == "" && f.precision == "int8" {
		return usagef(cmd, "--precision int8 is for a quantised model; random weights are float32")
	}
	if f.runs < 1 || f.batch < 1 || f.batch > 1024 {
		return usagef(cmd, "--runs %d, --batch %d: want at least 1, and at most 1024 images", f.runs, f.batch)
	}
	if f.model != "" && cmd.Flags().Changed("width") {
		return usagef(cmd, "--width is for the network with random weights; %s has its own", f.model)
	}
	if f.train && f.layers {
		return usagef(cmd, "--layers is for the network that classifies, not for --train")
	}
	// Nothing is open or half-written while it measures, so Ctrl-C ends it at once.
	defer context.AfterFunc(cmd.Context(), func() { os.Exit(exitInterrupted) })()
	m, q, err := f.load(cmd)
	if err != nil {
		return err
	}
	if f.train {
		if q != nil {
			m = q.Dequantize()
			sayDequantized(cmd.ErrOrStderr(), f.model, true)
		}
		return f.measureTraining(cmd.OutOrStdout(), m)
	}
	r, err := f.measure(cmd.Context(), m, q)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	}
	return r.write(cmd.OutOrStdout())
}

func (f *benchFlags) load(cmd *cobra.Command) (*model.Model, *model.Quantized, error) {
	if f.model != "" {
		m, q, err := f.precision.load(cmd.Context(), f.model)
		if err != nil {
			return nil, nil, err
		}
		sayNotes(cmd.ErrOrStderr(), f.model, m.Notes)
		f.precision.say(cmd.ErrOrStderr(), f.model, m.Dequantized, m.Unfit)
		return m, q, nil
	}
	c := model.Default()
	c.Width = f.width
	m, err := model.New(c, 1)
	if err != nil {
		return nil, nil, usagef(cmd, "%w", err)
	}
	return m, nil, nil
}

// compile prepares m, or q if it is not nil.
func (f *benchFlags) compile(m *model.Model, q *model.Quantized) (*engine.Engine, error) {
	o := engine.Options{Threads: f.threads}
	if q != nil {
		return engine.CompileQuantized(q, o)
	}
	return engine.Compile(m, o)
}

func (f *benchFlags) measure(ctx context.Context, m *model.Model, q *model.Quantized) (timing, error) {
	c := m.Config
	if f.resolution != 0 {
		c.SetInput(f.resolution, f.resolution)
	}
	if err := c.Validate(); err != nil {
		return timing{}, err
	}
	e, err := f.compile(m, q)
	if err != nil {
		return timing{}, err
	}
	defer e.Close()
	peak := e.Peak()
	h, w := c.InputSize()
	in := engine.Input{Pixels: noise(f.batch * h * w * 3), N: f.batch, H: h, W: w}
	l, err := e.Measure(ctx, in, f.runs)
	if err != nil {
		return timing{}, err
	}
	r := timing{
		CPU: e.CPU(), Threads: e.Threads(), Batch: f.batch, Resolution: h, InputWidth: c.InputWidth, Width: c.Width, Runs: f.runs,
		Min: ms(l.Min), Median: ms(l.Median), P99: ms(l.P99),
		Images: float64(f.batch) / l.Median.Seconds(), MACs: c.Summarize().MACs, Peak: peak / 1e9,
		Precision: e.Precision(), Page: e.PageBytes(),
	}
	for _, k := range e.Kernels() {
		r.Kernels = append(r.Kernels, kernelUse(k))
	}
	r.Share = 2 * float64(r.MACs) * float64(f.batch) / l.Min.Seconds() / (peak * float64(r.Threads))
	in.N, in.Pixels = 1, in.Pixels[:h*w*3]
	profiled := 1
	if f.layers {
		profiled = min(f.runs, 50)
	}
	steps, memory, err := e.Profile(ctx, in, profiled)
	if err != nil {
		return timing{}, err
	}
	r.Memory = memory.Activations + r.Threads*memory.Scratch
	if f.layers {
		r.Layers = layerTimes(steps, peak)
	}
	return r, nil
}

func layerTimes(steps []engine.Step, peak float64) []layerTime {
	var out []layerTime
	for _, s := range steps {
		floor := 2 * float64(s.MACs) / peak
		out = append(out, layerTime{
			Name: s.Name, MACs: s.MACs, Tasks: s.Tasks,
			Floor: 1e6 * floor, Time: 1e6 * s.Time.Seconds(), Share: floor / s.Time.Seconds(),
		})
	}
	return out
}

// noise is an image that no kernel can take a short cut with.
func noise(n int) []byte {
	b := make([]byte, n)
	v := uint32(1)
	for i := range b {
		v = v*1664525 + 1013904223
		b[i] = byte(v >> 24)
	}
	return b
}

func ms(d time.Duration) float64 { return 1000 * d.Seconds() }

func (r timing) write(w io.Writer) error {
	fmt.Fprintf(w, "MobileNetV2 width %v at %dx%d, %s, batch %d, %d threads, %s kernels\n\n", r.Width, r.Resolution, cmp.Or(r.InputWidth, r.Resolution), r.Precision, r.Batch, r.Threads, r.CPU)
	t := newTable()
	t.AppendRows([]table.Row{
		{"latency of a batch", fmt.Sprintf("min %.2f ms, median %.2f ms, 99 %% %.2f ms (%d runs)", r.Min, r.Median, r.P99, r.Runs)},
		{"images a second", fmt.Sprintf("%.1f", r.Images)},
		{"share of peak", fmt.Sprintf("%.1f %% of %.1f GFLOP/s a core", 100*r.Share, r.Peak)},
		{"activation memory", fmt.Sprintf("%.2f MB an image", float64(r.Memory)/1e6)},
	})
	if r.Page > 0 {
		t.AppendRow(table.Row{"memory pages", fmt.Sprintf("%d KB", r.Page>>10)})
	}
	for _, k := range r.Kernels {
		t.AppendRow(table.Row{k.CPU, k.Layers + ": " + k.Why})
	}
	if _, err := fmt.Fprintln(w, t.Render()); err != nil || r.Layers == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", renderLayerTimes(r.Layers))
	return err
}

func renderLayerTimes(layers []layerTime) string {
	t := newTable()
	t.AppendHeader(table.Row{"step, on one core", "MACs", "tasks", "floor", "measured", "of peak"})
	var columns []table.ColumnConfig
	for n := 2; n <= 6; n++ {
		columns = append(columns, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	for _, l := range layers {
		t.AppendRow(table.Row{
			l.Name, grouped(l.MACs), l.Tasks, fmt.Sprintf("%.0f µs", l.Floor), fmt.Sprintf("%.0f µs", l.Time),
			fmt.Sprintf("%.1f %%", 100*l.Share),
		})
	}
	return t.Render()
}

// writePlan lists the steps of a network with random weights, which take as long
// as trained ones, with the time that the peak allows and the measured one.
func writePlan(out io.Writer, c model.Config) error {
	m, err := model.New(c, 1)
	if err != nil {
		return err
	}
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	const runs = 20
	h, w := c.InputSize()
	steps, memory, err := e.Profile(context.Background(), engine.Input{Pixels: noise(h * w * 3), N: 1, H: h, W: w}, runs)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `%s

kernels                 %s, %d threads
activations             %.2f MB, and %.2f MB a thread to work in
`, renderLayerTimes(layerTimes(steps, e.Peak())), e.CPU(), e.Threads(),
		float64(memory.Activations)/1e6, float64(memory.Scratch)/1e6)
	return err
}
