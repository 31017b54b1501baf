package train

import (
	"slices"
	"sync"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A remark is what is told of images of a run that are trained with all the same: those of
// one colour, of which nothing can be learned but that, and those whose levels are clipped.
type remark struct {
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

// look notes what is told of an image. elsewhere is of one whose colours
// are judged by the crop.
func (o *Options) look(name string, img *vision.Image, elsewhere bool) {
	if img.Clipped {
		o.clipped.note(name)
	}
	if !elsewhere && o.uniform.wanted() && img.Uniform() {
		o.uniform.note(name)
	}
}

func (u *remark) wanted() bool { return u != nil && u.tell != nil }

// note notes an image, once.
func (u *remark) note(name string) {
	if !u.wanted() {
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

// remark tells of the images that there is something to say about.
func (o *Options) remark() {
	o.uniform.report()
	o.clipped.report()
}

// report tells of the images found since the last time, in the order of their names:
// they are found by several goroutines.
func (u *remark) report() {
	u.mu.Lock()
	found := u.new
	u.new = nil
	u.mu.Unlock()
	if len(found) > 0 {
		slices.Sort(found)
		u.tell(found)
	}
}
