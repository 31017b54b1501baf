package train

import (
	"slices"
)

// A Balance names what is done about classes of which there are many images and few:
// left alone, a network learns that what is rare is improbable.
type Balance string

// The balances: none; each class weighs as much as any other in the loss; or each is
// seen as often in an epoch, so that images of a rare class come several times and
// of a common one not all.
const (
	NoBalance       Balance = "none"
	BalanceLoss     Balance = "loss"
	BalanceSampling Balance = "sampling"
)

var balances = []Balance{NoBalance, BalanceLoss, BalanceSampling}

// Balances lists the balances.
func Balances() []Balance { return slices.Clone(balances) }

// classWeights are the factors of the classes in the loss: images/(classes*images of
// the class), so that they are 1 where all have as many (scikit-learn's "balanced"),
// of the classes that have images. nil is 1 for all.
func (o *Options) classWeights() []float32 {
	if o.Balance != BalanceLoss {
		return nil
	}
	counts := o.Train.Counts()
	present := 0
	for _, n := range counts {
		present += min(n, 1)
	}
	weights := make([]float32, len(counts))
	for c, n := range counts {
		if n > 0 {
			weights[c] = float32(float64(len(o.Train.Items)) / float64(present*n))
		}
	}
	return weights
}

// target writes what the network is to say of an image: its label, smoothed, and all of
// it multiplied by the weight of the image's class, as scikit-learn and Keras weigh. In
// PyTorch's CrossEntropyLoss each class of a smoothed label has a weight of its own: of
// an image of the most frequent of 1:5:50, the rarest class gets nearly twice what its own gets.
func (o *Options) target(dst []float32, item int) {
	label := o.Train.Items[item].Label
	oneHot(dst, label, o.LabelSmoothing)
	if o.weights == nil {
		return
	}
	for c := range dst {
		dst[c] *= o.weights[label]
	}
}

// sample is the images of an epoch, in order: all of them, or as many with every
// class as often as any other, give or take one. Images of a class take turns, so
// that none comes twice before the others came once.
func (o *Options) sample(epoch int) []int {
	rng := o.rng(forOrder, epoch, 0)
	n := len(o.Train.Items)
	if o.Balance != BalanceSampling {
		return rng.Perm(n)
	}
	of := make([][]int, len(o.Train.Classes))
	for i, item := range o.Train.Items {
		of[item.Label] = append(of[item.Label], i)
	}
	of = slices.DeleteFunc(of, func(items []int) bool { return len(items) == 0 })
	var all []int
	for c, k := range rng.Perm(len(of)) { // which classes get one more
		quota := (n + c) / len(of)
		for quota > 0 {
			items := slices.Clone(of[k])
			rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
			items = items[:min(quota, len(items))]
			all = append(all, items...)
			quota -= len(items)
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
