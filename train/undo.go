package train

import (
	"context"
	"errors"
	"math"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// halvings is how often the learning rate of a run may be halved: what a thousandth
// of it spoils is not spoiled by the rate.
const halvings = 10

// careful is attempt, but an epoch that spoils the loss is undone, and made again at
// half the learning rate, which stays so. The state has nothing of it but the number
// of times, in the history: a run that was interrupted spoils the epoch again.
func (t *trainer) careful(ctx context.Context, epoch int) (report.Epoch, error) {
	t.remember()
	steps := t.optimizer.steps
	for undone := 0; ; undone++ {
		halved := t.undone() + undone
		t.slower = math.Pow(0.5, float64(halved))
		e, err := t.attempt(ctx, epoch)
		e.Undone = undone
		spoilt := errors.Is(err, report.ErrDiverged) || err == nil && t.spoilt(e)
		if !spoilt || halved == halvings {
			return e, err
		}
		for name, v := range t.tensors() {
			copy(v.Data, t.before[name].Data)
		}
		t.optimizer.steps = steps
		if t.Undone != nil {
			t.Undone(e, err)
		}
	}
}

// remember copies the tensors to before, always to the same memory: they are as much as
// the weights three times, and with an average four times.
func (t *trainer) remember() {
	if t.before == nil {
		t.before = model.StateDict{}
	}
	for name, v := range t.tensors() {
		t.before[name] = model.Tensor{Shape: v.Shape, Data: append(t.before[name].Data[:0], v.Data...)}
	}
}

// undone is how often epochs of the run were.
func (t *trainer) undone() (n int) {
	for _, e := range t.history {
		n += e.Undone
	}
	return n
}

// spoilImages is from how many images on a mean of losses is compared: that of two
// batches of 2 is noise, for which 22 photos were once trained at a thousandth of the rate.
const spoilImages = 16

// spoilt reports whether the loss is far above what it was: that of training over the
// last quarter of the epoch, or that of validation.
func (t *trainer) spoilt(e report.Epoch) bool {
	quarter := max(len(t.losses)/4, (spoilImages+t.Batch-1)/max(1, t.Batch), 1)
	quarter = min(quarter, len(t.losses))
	was, wasVal := mean(t.losses[:quarter]), math.Inf(1)
	for _, h := range t.history {
		if h.Epoch > 0 { // epoch 0 sees the photos as they are
			was = min(was, h.TrainLoss)
		}
		wasVal = min(wasVal, h.ValLoss) // NaN, where nothing is measured, is above nothing
	}
	// A network that has forgotten everything is at chance, whose loss is the logarithm.
	// Validation's goes up, too, where a network is sure of itself: it has to be worse
	// than that.
	chance := math.Log(float64(t.Model.Config.Classes))
	return mean(t.losses[len(t.losses)-quarter:]) > 1.5*was+0.1*chance || e.ValLoss > 1.5*wasVal+chance
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
