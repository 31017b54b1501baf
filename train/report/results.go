package report

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
)

// An Epoch is what a training reports of one pass over its images. What was not
// measured, such as the validation of a set without any, is NaN.
type Epoch struct {
	Epoch           int     // from 1; 0 is the classifier alone, in however many passes
	TrainLoss       float64 // mean over the epoch, as the optimizer saw it
	TrainAcc        float64 // share of training images classified right, 0 to 1
	ValLoss         float64 // mean cross-entropy
	ValAcc1         float64 // top-1 accuracy, 0 to 1
	ValAcc5         float64 // top-5 accuracy, 0 to 1
	LR              float64 // learning rate of the last step
	Seconds         float64 // for training and validation
	ImagesPerSecond float64 // of training
	Phase           string  // what learned: "classifier", "all layers", or "from features.4"; empty where it is not known
	Undone          int     // how often it was made again at half the learning rate, for it had spoilt the loss
}

// Best is the epoch with the best weights, the earlier of equals: by top-1 accuracy,
// then by loss; without validation the last one. Of no epochs it is the zero Epoch.
func Best(epochs []Epoch) Epoch {
	if len(epochs) == 0 {
		return Epoch{}
	}
	best := epochs[0]
	for _, e := range epochs[1:] {
		if e.better(best) {
			best = e
		}
	}
	return best
}

func (e Epoch) better(earlier Epoch) bool {
	if math.IsNaN(e.ValAcc1) {
		return true
	}
	return e.ValAcc1 > earlier.ValAcc1 || e.ValAcc1 == earlier.ValAcc1 && e.ValLoss < earlier.ValLoss
}

// WriteResultsCSV writes results.csv: a line per epoch, with a header. What was
// not measured is empty.
func WriteResultsCSV(path string, epochs []Epoch) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.Write([]string{
			"epoch", "train_loss", "train_accuracy", "val_loss", "val_top1", "val_top5", "lr", "seconds", "images_per_second", "phase", "undone",
		})
		for _, e := range epochs {
			row := []string{strconv.Itoa(e.Epoch)}
			for _, v := range []float64{e.TrainLoss, e.TrainAcc, e.ValLoss, e.ValAcc1, e.ValAcc5, e.LR, e.Seconds, e.ImagesPerSecond} {
				if math.IsNaN(v) {
					row = append(row, "")
				} else {
					row = append(row, decimal(v))
				}
			}
			out.Write(append(row, e.Phase, strconv.Itoa(e.Undone)))
		}
		out.Flush()
		return out.Error()
	})
}
