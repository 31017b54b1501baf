package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/quant"
)

// sensitivityPhotos are enough to tell layers apart; each takes as long as the network
// does some thirty times.
const sensitivityPhotos = 24

// A quantizeReport is what is told of a network.
type quantizeReport struct {
	Calibrated int `json:"calibration_photos"`
	quant.Comparison
	Bytes  int64         `json:"bytes"`
	Layers []quant.Layer `json:"layers"`
}

// tell prints, and keeps, what was measured.
func (f *quantizeFlags) tell(w io.Writer, r quantizeReport) error {
	info, err := os.Stat(f.out)
	if err != nil {
		return err
	}
	r.Bytes = info.Size()
	if f.report != "" {
		write := func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(r)
		}
		if err := atomicfile.Write(f.report, write); err != nil {
			return err
		}
	}
	if f.sensitivity {
		if _, err := io.WriteString(w, layerTable(r.Layers)); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s: %.2f MB, calibrated with %s; on %s %.1f %% have the same best class, logits %v, KL %.4f\n",
		f.out, float64(r.Bytes)/1e6, plural(r.Calibrated, "photo"), plural(r.Photos, "photo"), 100*r.Agreement, r.SQNR, r.KL)
	if a := r.Accuracy; a != nil {
		text += fmt.Sprintf("top-1 accuracy on %d photos with labels: %.2f %%, in float32 %.2f %%\n", a.Photos, 100*a.Int8, 100*a.Float32)
	}
	_, err = io.WriteString(w, text)
	return err
}

// layerTable has a row a layer. What was not measured, or is nothing, stays empty.
func layerTable(layers []quant.Layer) string {
	t := newTable()
	t.AppendHeader(table.Row{"layer", "from", "to", "scale", "bytes", "weights"})
	t.SetColumnConfigs(rightFrom(2, 6))
	ratio := func(d *quant.Decibels) string {
		if d == nil {
			return ""
		}
		return d.String()
	}
	for _, l := range layers {
		row := table.Row{l.Name, "", "", "", ratio(l.Activations), ratio(l.Weights)}
		if o := l.Output; o != nil {
			row[1], row[2], row[3] = fmt.Sprintf("%.3f", o.Low), fmt.Sprintf("%.3f", o.High), fmt.Sprintf("%.6f", o.Scale)
		}
		t.AppendRow(row)
	}
	return t.Render() + "\n\n"
}

// plural is a number of things, of which one is no plural.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

// isAre is the verb of so many things.
func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
