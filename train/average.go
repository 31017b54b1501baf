package train

import (
	"maps"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// An average is the exponential moving average of weights and running
// statistics over the steps (torchvision's ExponentialMovingAverage).
type average struct {
	model  *model.Model
	decay  float64
	names  []string // of the tensors
	pieces []piece  // of them
}

func newAverage(m *model.Model, decay float64) *average {
	copied := &model.Model{Config: m.Config, Labels: m.Labels, Dict: model.StateDict{}}
	for name, t := range m.Dict {
		copied.Dict[name] = model.Tensor{Shape: t.Shape, Data: slices.Clone(t.Data)}
	}
	names := slices.Sorted(maps.Keys(m.Dict))
	return &average{copied, decay, names, pieces(len(names), func(i int) int { return len(m.Dict[names[i]].Data) })}
}

// update moves the average towards m after so many steps; early ones count for
// more, so that the first weights are soon forgotten.
func (a *average) update(threads int, m *model.Model, steps int) {
	decay := float32(min(a.decay, float64(1+steps)/float64(10+steps)))
	each(threads, len(a.pieces), func(i int) {
		at := a.pieces[i]
		name := a.names[at.array]
		from, to := m.Dict[name].Data[at.begin:at.end], a.model.Dict[name].Data[at.begin:at.end]
		if len(m.Dict[name].Shape) == 0 { // a counter
			copy(to, from)
			return
		}
		for i, v := range from {
			to[i] = decay*to[i] + (1-decay)*v
		}
	})
}
