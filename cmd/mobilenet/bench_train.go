package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
)

// stepTiming is what a step of training takes, as it is written in JSON.
type stepTiming struct {
	CPU        string  `json:"cpu"`
	Threads    int     `json:"threads"`
	Batch      int     `json:"batch"`
	Resolution int     `json:"resolution"`
	Width      float64 `json:"width"`
	Runs       int     `json:"runs"`
	Min        float64 `json:"min_ms"` // a step
	Median     float64 `json:"median_ms"`
	P99        float64 `json:"p99_ms"`
	Images     float64 `json:"images_per_s"` // by the median
	Bytes      int64   `json:"activation_bytes"`
	RSS        int64   `json:"peak_rss_bytes,omitempty"` // of the process, where the system says
}

// measureTraining measures forward, backward and the update by SGD.
func (f *benchFlags) measureTraining(w io.Writer, m *model.Model) error {
	if f.resolution != 0 {
		m.Config.Resolution = f.resolution
	}
	recipe, err := train.RecipeNamed("torchvision", false)
	if err != nil {
		return err
	}
	o := train.Options{Data: train.Data{Model: m}, Hyperparameters: recipe.Hyperparameters}
	o.Batch, o.Threads = f.batch, cmp.Or(f.threads, runtime.GOMAXPROCS(0))
	cost, err := train.Measure(o, f.runs)
	if err != nil {
		return err
	}
	at := func(share float64) float64 { return ms(cost.Steps[int(share*float64(len(cost.Steps)-1))]) }
	r := stepTiming{
		CPU: cost.CPU, Threads: o.Threads, Batch: f.batch, Resolution: m.Config.Resolution, Width: m.Config.Width, Runs: f.runs,
		Min: at(0), Median: at(0.5), P99: at(0.99), Bytes: cost.Bytes, RSS: peakRSS(),
	}
	r.Images = 1000 * float64(f.batch) / r.Median
	if f.format == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "training MobileNetV2 width %v at %dx%d, batch %d, %d threads, %s kernels\n\n", r.Width, r.Resolution, r.Resolution, r.Batch, r.Threads, r.CPU)
	t := newTable()
	t.AppendRows([]table.Row{
		{"a step", fmt.Sprintf("min %.1f ms, median %.1f ms, 99 %% %.1f ms (%d runs)", r.Min, r.Median, r.P99, r.Runs)},
		{"an image", fmt.Sprintf("min %.1f ms, %.1f images a second", r.Min/float64(r.Batch), r.Images)},
		{"memory", fmt.Sprintf("%d MB for activations and gradients, %d MB for the process", r.Bytes>>20, r.RSS>>20)},
	})
	_, err = fmt.Fprintln(w, t.Render())
	return err
}
