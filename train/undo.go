package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

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
	t.before = t.copied(t.before)
	steps := t.optimizer.steps
	for undone := 0; ; undone++ {
		halved := t.undone() + undone
		t.slower = math.Pow(0.5, float64(halved))
		e, err := t.attempt(ctx, epoch)
		e.Undone = undone
		if halved == halvings || err != nil && !errors.Is(err, report.ErrDiverged) {
			return e, err
		}
		why := err
		if err == nil {
			if why, err = t.spoilt(ctx, e, steps); why == nil || err != nil {
				return e, err
			}
		}
		t.put(t.before, steps)
		if t.Undone != nil {
			t.Undone(e, why)
		}
	}
}

// copied returns copies of the tensors, in the memory of earlier ones: they are as much
// as the weights three times, and with an average four times.
func (t *trainer) copied(to model.StateDict) model.StateDict {
	if to == nil {
		to = model.StateDict{}
	}
	for name, v := range t.tensors() {
		to[name] = model.Tensor{Shape: v.Shape, Data: append(to[name].Data[:0], v.Data...)}
	}
	return to
}

// put makes the tensors what they were when they were copied, after so many steps.
func (t *trainer) put(from model.StateDict, steps int) {
	for name, v := range t.tensors() {
		copy(v.Data, from[name].Data)
	}
	t.optimizer.steps = steps
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

// A batchLoss is what a step found before it.
type batchLoss struct {
	number, images int
	loss           float64
}

// spoilt says why the epoch that has just been made, from the steps before, spoilt the
// loss: that of validation, or that of training at its end. It is nil if it didn't.
//
// The photos at the end of an epoch may be harder than others, or changed more, so what is
// suspected is looked at again: it counts only if the same batches, with the same crops,
// colours, mixtures, dropout and teacher, had a lower loss before the epoch.
func (t *trainer) spoilt(ctx context.Context, e report.Epoch, steps int) (why, err error) {
	chance := t.chance()
	if best := t.bestLoss(); e.ValLoss > 1.5*best.ValLoss+chance {
		return fmt.Errorf("the loss in validation is %.4f, and was %.4f after epoch %d", e.ValLoss, best.ValLoss, best.Epoch), nil
	}
	if !t.suspect() {
		return nil, nil
	}
	end := t.end()
	after, made, madeSteps := meanLoss(end), t.copied(nil), t.optimizer.steps
	t.put(t.before, steps)
	was, err := t.again(ctx, e.Epoch, end)
	t.put(made, madeSteps)
	if errors.Is(err, report.ErrDiverged) { // before: what was made of it can't be worse
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if before := meanLoss(was); after > before+0.1*chance {
		return fmt.Errorf("its last %d photos have a loss of %.4f, and had one of %.4f before it, cropped and coloured alike", imagesOf(end), after, before), nil
	}
	return nil, nil
}

// chance is the loss of a network that has forgotten everything.
func (t *trainer) chance() float64 { return math.Log(float64(t.Model.Config.Classes)) }

// bestLoss is the epoch with the least loss in validation, infinite where there is none.
func (t *trainer) bestLoss() report.Epoch {
	best := report.Epoch{ValLoss: math.Inf(1)}
	for _, h := range t.history {
		if h.ValLoss < best.ValLoss { // NaN, where nothing is measured, isn't
			best = h
		}
	}
	return best
}

// suspect reports whether the loss of training over the last quarter of the epoch is far
// above that of the first, or of an earlier epoch.
func (t *trainer) suspect() bool {
	quarter := min(max(len(t.losses)/4, (spoilImages+t.Batch-1)/max(1, t.Batch), 1), len(t.losses))
	was := mean(t.losses[:quarter])
	for _, h := range t.history {
		if h.Epoch > 0 { // epoch 0 sees the photos as they are
			was = min(was, h.TrainLoss)
		}
	}
	return mean(t.losses[len(t.losses)-quarter:]) > 1.5*was+0.1*t.chance()
}

// end are the batches of the last quarter of an epoch, of spoilImages images at least.
func (t *trainer) end() []batchLoss {
	n := len(t.losses)
	from := n - max(n/4, 1)
	for from > 0 && imagesOf(t.losses[from:]) < spoilImages {
		from--
	}
	return slices.Clone(t.losses[from:])
}

// again are the losses of some batches of an epoch with the weights as they are, which
// a step of no rate leaves. What it changes besides, such as the optimizer's memory, is
// the caller's to put back.
func (t *trainer) again(ctx context.Context, epoch int, some []batchLoss) ([]batchLoss, error) {
	whole := t.order(epoch)
	order := make([][]int, len(whole)) // what isn't wanted is empty, so that all have their numbers
	for _, b := range some {
		order[b.number] = whole[b.number]
	}
	var losses []batchLoss
	err := t.batches(ctx, epoch, order, func(b *batch) error {
		loss, _, err := t.step(epoch, b, 0)
		losses = append(losses, batchLoss{b.number, len(b.items), loss})
		return err
	})
	return losses, err
}

// mean is that of batches, each as much as another.
func mean(batches []batchLoss) float64 {
	var sum float64
	for _, b := range batches {
		sum += b.loss
	}
	return sum / float64(len(batches))
}

// meanLoss is that of the images of batches.
func meanLoss(batches []batchLoss) float64 {
	var sum float64
	for _, b := range batches {
		sum += b.loss * float64(b.images)
	}
	return sum / float64(imagesOf(batches))
}

func imagesOf(batches []batchLoss) (n int) {
	for _, b := range batches {
		n += b.images
	}
	return n
}
