package hub

import (
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// Weights are pretrained weights with a name. The facts are those of
// MobileNet_V2_Weights in torchvision/models/mobilenetv2.py.
type Weights struct {
	Name       string  // what users call them
	File       string  // below the mirror's URL, and in the cache
	SHA256     string  // hex digits that begin the file's SHA-256
	Bytes      int64   // size of the file, rounded; see maxBytes
	Acc1, Acc5 float64 // top-1 and top-5 accuracy on ImageNet-1K's validation set, percent
	Preprocess model.Preprocess
}

var published = []Weights{
	{
		Name:       "imagenet1k_v1",
		File:       "mobilenet_v2-b0353104.pth",
		SHA256:     "b0353104",
		Bytes:      14_213_000,
		Acc1:       71.878,
		Acc5:       90.286,
		Preprocess: model.ImageNetPreprocess(256),
	},
	{
		Name:       "imagenet1k_v2",
		File:       "mobilenet_v2-7ebf99e0.pth",
		SHA256:     "7ebf99e0",
		Bytes:      14_259_000,
		Acc1:       72.154,
		Acc5:       90.822,
		Preprocess: model.ImageNetPreprocess(232),
	},
}

// List returns the published weights, oldest first.
func List() []Weights { return slices.Clone(published) }

// Lookup returns the weights called name.
func Lookup(name string) (Weights, bool) {
	for _, w := range published {
		if w.Name == name {
			return w, true
		}
	}
	return Weights{}, false
}

// maxBytes is the largest file that is accepted as w. Bytes is rounded, so an
// exact size cannot be asked for; but a server that sends twice as much sends
// something else, and would fill the disk before the hash told.
func (w Weights) maxBytes() int64 { return 2 * w.Bytes }
