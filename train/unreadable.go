package train

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// unreadable are the images of a run that can't be decoded. They are left out
// wherever they would come, and looked at again in the next epoch. A run that goes on
// looks at those again that the state has (see lost): it may not come by them.
type unreadable struct {
	max  int
	tell func(error) // may be nil

	mu   sync.Mutex
	seen map[string]error // by name
	new  []error
}

// image decodes an image of a set. It returns nil for one that is left out.
func (o *Options) image(ctx context.Context, set *dataset.Set, i int) (*vision.Image, error) {
	img, err := set.Image(ctx, i)
	img, err = o.readable(ctx, set, i, img, err)
	if img != nil {
		o.look(set.Items[i].Name, img, o.crops(set))
	}
	return img, err
}

// crop is image, as a network of config c sees it.
func (o *Options) crop(ctx context.Context, c model.Config, set *dataset.Set, i int) (*vision.Image, error) {
	img, err := set.Crop(ctx, i, c.Preprocess, c.Resolution, c.Resolution)
	img, err = o.readable(ctx, set, i, img, err)
	if img != nil {
		o.look(set.Items[i].Name, img, false)
	}
	return img, err
}

// readable returns image i of a set, or nil if its decoding failed and it is left out.
func (o *Options) readable(ctx context.Context, set *dataset.Set, i int, img *vision.Image, err error) (*vision.Image, error) {
	if cut := ctx.Err(); cut != nil { // a photo whose decoding was cut short is sound
		return nil, cut
	}
	if err == nil {
		return img, nil
	}
	return nil, o.unreadable.add(set.Items[i].Name, err)
}

// add notes an image that can't be read. The error is that there are too many.
func (u *unreadable) add(name string, err error) error {
	if u == nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[name] != nil {
		return nil
	}
	if u.seen == nil {
		u.seen = map[string]error{}
	}
	u.seen[name] = err
	switch n := len(u.seen); {
	case u.max == 0:
		return err
	case n > u.max:
		return fmt.Errorf("%d images can't be read, more than the %d allowed (max-errors); the last: %w", n, u.max, err)
	}
	u.new = append(u.new, err)
	return nil
}

// lost are the images of a run that could not be read so far, by their places in the sets,
// which may have been moved.
type lost struct {
	Train []int `json:"train,omitempty"`
	Val   []int `json:"val,omitempty"`
}

func (l lost) none() bool { return len(l.Train)+len(l.Val) == 0 }

// within reports whether the sets have images in these places.
func (l lost) within(train, val *dataset.Set) bool {
	in := func(items []int, n int) bool {
		return !slices.ContainsFunc(items, func(i int) bool { return i < 0 || i >= n })
	}
	return in(l.Train, images(train)) && in(l.Val, images(val))
}

// lostOnes are those known by now.
func (o *Options) lostOnes() lost { return lost{o.lostOf(o.Train), o.lostOf(o.Val)} }

// lostOf are those of a set.
func (o *Options) lostOf(set *dataset.Set) (items []int) {
	o.unreadable.mu.Lock()
	defer o.unreadable.mu.Unlock()
	if len(o.unreadable.seen) == 0 || set == nil {
		return nil
	}
	for i, item := range set.Items {
		if o.unreadable.seen[item.Name] != nil {
			items = append(items, i)
		}
	}
	return items
}

// lookAgain notes those that still can't be read.
func (o *Options) lookAgain(ctx context.Context, l lost) error {
	for _, of := range []struct {
		set   *dataset.Set
		items []int
	}{{o.Train, l.Train}, {o.Val, l.Val}} {
		for _, i := range of.items {
			if _, err := o.image(ctx, of.set, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// seeClasses reports a class of which no training image can be read: nothing would be
// known of it, and nothing measured. It decodes each class' images up to the first that
// can be.
func (o *Options) seeClasses(ctx context.Context) error {
	of := make([][]int, len(o.Train.Classes))
	for i, item := range o.Train.Items {
		of[item.Label] = append(of[item.Label], i)
	}
	class := 0
	for _, err := range prefetch.Map(ctx, prefetch.Options{Workers: o.Threads}, slices.Values(of), func(ctx context.Context, items []int) (seen bool, first error) {
		for _, i := range items {
			_, err := o.Train.Image(ctx, i)
			if err == nil {
				return true, nil
			}
			first = cmp.Or(first, err)
		}
		return false, first
	}) {
		switch n := len(of[class]); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("class %q: none of its training images, %d, can be read; the first: %v", o.Train.Classes[class], n, err)
		}
		class++
	}
	return nil
}

// write lists them in the run's folder, where there are any: a line for each, with a header.
// Paths are absolute, in errors too.
func (u *unreadable) write(dir string) error {
	file := filepath.Join(dir, UnreadableFile)
	if len(u.seen) == 0 { // a run before this one may have had some
		err := os.Remove(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return atomicfile.Write(file, func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.Write([]string{"image", "error"})
		for _, name := range slices.Sorted(maps.Keys(u.seen)) {
			path, err := filepath.Abs(name)
			if err != nil {
				return err
			}
			out.Write([]string{path, inFile(path, u.seen[name]).Error()})
		}
		out.Flush()
		return out.Error()
	})
}

// inFile is err about a file by another name of it.
func inFile(path string, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		named := *e
		named.File = path
		return &named
	}
	return fault.In(path, err)
}

// report tells of the images found since the last time.
func (u *unreadable) report() {
	u.mu.Lock()
	found := u.new
	u.new = nil
	u.mu.Unlock()
	for _, err := range found {
		if u.tell != nil {
			u.tell(err)
		}
	}
}
