package train

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// What randomness is for. Every number comes from a generator of its own, made
// of the seed, what it is for and where in the training it is: nothing has to be
// remembered to resume.
const (
	forOrder = iota
	forImage
	forMix
	forDropout
)

func (o *Options) rng(what, epoch, i int) *rand.Rand {
	return rand.New(rand.NewPCG(o.Seed, uint64(what)<<60|uint64(epoch)<<36|uint64(i)))
}

// A batch is images ready for a step.
type batch struct {
	number int
	items  []int     // of the training set
	input  []float32 // [n][H][W][3], normalised
	target []float32 // [n][classes]
	shown  []float32 // to the teacher: [n][H][W][3] of its own size, normalised as it wants; nil if it knows the images, or there is none
	soft   []float32 // the teacher's logits, [n][classes]
	others float64   // share of each image that is of the one before it; 0 if they aren't mixed
}

// order is the epoch's batches of indices. What is left over is a batch of its
// own, or joins the last one when it is a single image.
func (o *Options) order(epoch int) [][]int {
	return o.cut(o.sample(epoch))
}

func (o *Options) cut(items []int) [][]int {
	var batches [][]int
	for len(items) > 0 {
		n := min(o.Batch, len(items))
		if len(items)-n == 1 {
			n++
		}
		batches = append(batches, items[:n])
		items = items[n:]
	}
	return batches
}

// ahead is how many batches are prepared while one is computed with.
const ahead = 3

// loader returns an epoch's batches in order, prepared while others are computed
// with.
func (o *Options) loader(ctx context.Context, epoch int, order [][]int) iter.Seq2[*batch, error] {
	levels := o.Model.Config.Preprocess.Levels()
	return prefetch.Map(ctx, prefetch.Options{Workers: ahead, Ahead: ahead}, upTo(len(order)), func(ctx context.Context, i int) (*batch, error) {
		return o.prepare(ctx, epoch, i, order[i], levels)
	})
}

// prepare decodes, augments and normalises the images of a batch. Those that can't be
// read are left out.
func (o *Options) prepare(ctx context.Context, epoch, number int, items []int, levels *model.Levels) (*batch, error) {
	c := &o.Model.Config
	side := c.Resolution * c.Resolution * 3
	b := &batch{
		number: number, input: make([]float32, len(items)*side),
		target: make([]float32, len(items)*c.Classes),
	}
	for _, item := range items {
		img, err := o.image(ctx, o.Train, item)
		if err != nil {
			return nil, err
		}
		if img == nil {
			continue
		}
		i := len(b.items)
		photo := img
		img = o.Augment.Apply(photo, c.Preprocess, c.Resolution, o.rng(forImage, epoch, item))
		levels.Apply(b.input[i*side:][:side], img.Pix)
		if t := o.teacher; t != nil && !o.unchanged() {
			seen := make([]float32, t.side())
			t.levels.Apply(seen, t.view(o, photo, img, epoch, item).Pix)
			b.shown = append(b.shown, seen...)
		}
		o.target(b.target[i*c.Classes:][:c.Classes], item)
		b.items = append(b.items, item)
	}
	b.input, b.target = b.input[:len(b.items)*side], b.target[:len(b.items)*c.Classes]
	if len(b.items) > 1 {
		o.mix(b, o.rng(forMix, epoch, number))
	}
	return b, nil
}

// mix blends every image with the one before it in the batch, by mixup (arXiv
// 1710.09412) or CutMix (arXiv 1905.04899), one of them at random where both are
// asked for, as in torchvision's references.
func (o *Options) mix(b *batch, rng *rand.Rand) {
	alpha, cut := o.Mixup, false
	if o.CutMix > 0 && (o.Mixup == 0 || rng.IntN(2) == 1) {
		alpha, cut = o.CutMix, true
	}
	if alpha == 0 {
		return
	}
	m := mixing{share: beta(rng, alpha), cut: cut}
	if cut {
		m.x, m.y = rng.Float64(), rng.Float64()
	}
	n := len(b.items)
	share := m.apply(b.input, n, o.Model.Config.Resolution)
	b.others = 1 - share
	if b.shown != nil {
		m.apply(b.shown, n, o.teacher.model.Config.Resolution)
	}
	classes := o.Model.Config.Classes
	last := append([]float32(nil), b.target[(n-1)*classes:]...)
	for i := range n {
		t := b.target[i*classes:][:classes]
		own := append([]float32(nil), t...)
		for c := range t {
			t[c] = float32(share)*t[c] + float32(1-share)*last[c]
		}
		last = own
	}
}

// seen is the class that most of image i of a batch is of, which is what counts as right, as in
// torchvision's references.
func (o *Options) seen(b *batch, i int) int {
	item := b.items[i]
	if n := len(b.items); b.others > 0.5 {
		item = b.items[(i+n-1)%n]
	}
	return o.Train.Items[item].Label
}

// A mixing is how the images of a batch are blended: all of an image, or a rectangle
// around x and y, shares of its sides.
type mixing struct {
	share float64 // that stays of an image
	cut   bool
	x, y  float64
}

// apply blends n square images and returns what share of each stayed.
func (m mixing) apply(images []float32, n, side int) float64 {
	share := m.share
	size := side * side * 3
	before := append([]float32(nil), images[(n-1)*size:]...)
	x0, y0, x1, y1 := 0, 0, side, side
	if m.cut {
		r := math.Sqrt(1-share) / 2
		at := func(v float64) int { return int(min(1, max(0, v)) * float64(side)) }
		x0, x1, y0, y1 = at(m.x-r), at(m.x+r), at(m.y-r), at(m.y+r)
		share = 1 - float64((x1-x0)*(y1-y0))/float64(side*side)
	}
	for i := range n {
		img := images[i*size:][:size]
		own := append([]float32(nil), img...)
		for y := y0; y < y1; y++ {
			for k := (y*side + x0) * 3; k < (y*side+x1)*3; k++ {
				if m.cut {
					img[k] = before[k]
				} else {
					img[k] = float32(share)*img[k] + float32(1-share)*before[k]
				}
			}
		}
		before = own
	}
	return share
}

// beta draws from the beta distribution with both parameters alpha, by Johnk's
// method (1964).
func beta(rng *rand.Rand, alpha float64) float64 {
	if alpha == 1 {
		return rng.Float64()
	}
	for range 10_000 {
		x, y := math.Pow(rng.Float64(), 1/alpha), math.Pow(rng.Float64(), 1/alpha)
		if s := x + y; s > 0 && s <= 1 {
			return x / s
		}
	}
	return 0.5 // alpha so large that the distribution is a peak there
}

// tiles are the first images of a batch as the network gets them.
func (o *Options) tiles(b *batch) []report.Tile {
	c := &o.Model.Config
	var tiles []report.Tile
	for i := range b.items[:min(16, len(b.items))] {
		img := vision.NewImage(c.Resolution, c.Resolution)
		for p, v := range b.input[i*len(img.Pix):][:len(img.Pix)] {
			img.Pix[p] = uint8(255*(v*c.Preprocess.Std[p%3]+c.Preprocess.Mean[p%3]) + 0.5)
		}
		tiles = append(tiles, report.Tile{Image: picture(img), Caption: report.ClassName(o.Train.Classes, o.seen(b, i))})
	}
	return tiles
}

func picture(img *vision.Image) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, img.W, img.H))
	for i := range img.W * img.H {
		copy(m.Pix[4*i:], img.Pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}

// maxWeights is more than ten times what the largest published MobileNetV2 has
// (width 1.4: 6 million). Training takes five times the memory of the weights and
// more, and a config is a line of text.
const maxWeights = 1 << 26

// New returns a network of config c for the classes of a set, with random weights
// from the seed. Its head is one linear layer with a softmax, whatever c's is.
func New(c model.Config, set *dataset.Set, seed uint64) (*model.Model, error) {
	if set == nil {
		return nil, errors.New("the set of images is nil")
	}
	c.Classes, c.Head = len(set.Classes), model.Head{}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if weights := weightsOf(c); weights > maxWeights {
		return nil, fault.TooLargef("a network of %d weights: at most %d are trained", weights, maxWeights)
	}
	m, err := model.New(c, seed)
	if err != nil {
		return nil, err
	}
	m.Labels = set.Classes
	return m, nil
}

// weightsOf is how many numbers a network has that training changes.
func weightsOf(c model.Config) (weights int) {
	for _, spec := range c.Network().Specs() {
		if !spec.Trained() {
			continue
		}
		n := 1
		for _, d := range spec.Shape {
			n *= d
		}
		weights += n
	}
	return weights
}

// Prepare returns a copy of m for the classes of a set. It has a classifier of its
// own, with random weights from the seed, unless m has exactly these labels.
func Prepare(m *model.Model, set *dataset.Set, seed uint64) (*model.Model, error) {
	if m == nil {
		return nil, errors.New("the model is nil")
	}
	fresh, err := New(m.Config, set, seed)
	if err != nil {
		return nil, err
	}
	same := slices.Equal(m.Labels, set.Classes) && m.Config.Head.Plain()
	for name, t := range m.Dict {
		if !same && strings.HasPrefix(name, "classifier.") {
			continue
		}
		if have, want := len(t.Data), len(fresh.Dict[name].Data); have != want {
			return nil, fmt.Errorf("%s has %d values, the network's %d", name, have, want)
		}
		copy(fresh.Dict[name].Data, t.Data)
	}
	return fresh, nil
}
