package train

import (
	"slices"
	"sync"

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
