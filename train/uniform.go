package train

import (
	"slices"
	"sync"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/vision"
)

// uniform are the images of a run that are of one colour: nothing can be learned
// from them but that colour. They are trained with, and told of.
type uniform struct {
	tell func(names []string) // may be nil

	mu   sync.Mutex
	seen map[string]bool
	new  []string
}

// crops reports whether all images of a set are looked at as the network sees them, and so
// are told of by that. Otherwise it is by the whole of them.
func (o *Options) crops(set *dataset.Set) bool {
	return set != o.Train || o.HeadEpochs > 0 || o.Freeze == FreezeBackbone
}

// OfOneColour reports whether Uniform tells of an image of one of the sets. whole is all of it.
func (o *Options) OfOneColour(set *dataset.Set, whole *vision.Image) bool {
	if o.crops(set) {
		return vision.Crop(whole, o.Model.Config.Preprocess, o.Model.Config.Resolution).Uniform()
	}
	return whole.Uniform()
}

// look notes an image that is of one colour.
func (u *uniform) look(name string, img *vision.Image) {
	if u == nil || u.tell == nil || !img.Uniform() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[name] {
		return
	}
	if u.seen == nil {
		u.seen = map[string]bool{}
	}
	u.seen[name] = true
	u.new = append(u.new, name)
}

// report tells of the images found since the last time, in the order of their names:
// they are found by several goroutines.
func (u *uniform) report() {
	u.mu.Lock()
	found := u.new
	u.new = nil
	u.mu.Unlock()
	if len(found) > 0 {
		slices.Sort(found)
		u.tell(found)
	}
}
