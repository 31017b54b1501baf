package checkpoint

import (
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// nested are the keys under which training scripts keep a state dict, in the
// order they are looked for.
var nested = []string{"state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema"}

// maxNested is how many dictionaries are looked at: a file may nest one in itself.
const maxNested = 32

// wrappers are prefixes that wrappers of a module put before its names:
// DataParallel, torch.compile, weight averaging.
var wrappers = []string{"module.", "_orig_mod.", "model."}

// stateDict returns the tensors of the state dict in an unpickled value of a
// file of size bytes. load returns the bytes of a storage.
func stateDict(value any, size int, load func(storage) ([]byte, error)) (model.StateDict, error) {
	views, err := findViews(value)
	if err != nil {
		return nil, err
	}
	out := model.StateDict{}
	total := uint64(0)
	for i, key := range views.keys {
		v := views.values[i].(view)
		total += v.elements()
		out[key.(string)] = model.Tensor{Shape: v.ints()}
	}
	if _, ok := namingOf(views.has); !ok {
		// Another network: its names say so, and its weights need not be read.
		return nil, model.Default().Network().Check(out)
	}
	// A value takes a byte at least, unless tensors overlap or are compressed.
	if total > inflation*uint64(size) {
		return nil, fault.TooLargef("%d values in a file of %d bytes", total, size)
	}
	for i, key := range views.keys {
		v := views.values[i].(view)
		raw, err := load(v.storage)
		if err != nil {
			return nil, err
		}
		out[key.(string)] = v.tensor(raw)
	}
	return out, nil
}

// findViews returns the tensors of the first dictionary with the names of a
// MobileNetV2: value, or what it holds under one of the usual keys. Without one
// it returns those of the first that has tensors at all, for an error to list.
func findViews(value any) (*dict, error) {
	if o, ok := value.(opaque); ok {
		return nil, fault.Unsupportedf("a pickled object of class %.80s.%.80s, not a state dict: save model.state_dict() instead", o.class.module, o.class.name)
	}
	top, ok := value.(*dict)
	if !ok {
		return nil, fault.Unsupportedf("no state dict")
	}
	var other *dict
	var object *opaque
	queue := []*dict{top}
	for looked := 0; looked < len(queue) && looked < maxNested; looked++ {
		d := queue[looked]
		views := d.views()
		if _, ok := namingOf(views.has); ok {
			return views, nil
		}
		if other == nil && len(views.keys) > 0 {
			other = views
		}
		for _, key := range nested {
			switch v := d.get(key).(type) {
			case *dict:
				queue = append(queue, v)
			case opaque:
				object = &v
			}
		}
	}
	switch {
	case other != nil:
		return other, nil
	case object != nil:
		return findViews(*object)
	}
	return nil, fault.Unsupportedf("a dictionary without tensors: no state dict at its top or under %s", strings.Join(nested, ", "))
}

// has reports whether d has the key.
func (d *dict) has(key string) bool { return d.get(key) != nil }

// views returns the items of d that are tensors with a name, without what
// wrappers put before all the names.
func (d *dict) views() *dict {
	out := &dict{}
	for i, k := range d.keys {
		name, isName := k.(string)
		if _, ok := d.values[i].(view); ok && isName {
			out.keys = append(out.keys, name)
			out.values = append(out.values, d.values[i])
		}
	}
	for range 4 { // wrappers around wrappers
		for _, w := range wrappers {
			out.trim(w)
		}
	}
	return out
}

// trim removes prefix from all names, if all of them have it but for the
// counter that weight averaging adds.
func (d *dict) trim(prefix string) {
	kept := &dict{}
	for i, k := range d.keys {
		name, ok := strings.CutPrefix(k.(string), prefix)
		switch {
		case ok:
			kept.keys = append(kept.keys, name)
			kept.values = append(kept.values, d.values[i])
		case k != "n_averaged":
			return
		}
	}
	if len(kept.keys) > 0 {
		*d = *kept
	}
}

func (v view) elements() uint64 {
	n := uint64(1)
	for _, d := range v.shape {
		n *= d
	}
	return n
}

func (v view) ints() []int {
	shape := make([]int, len(v.shape))
	for i, d := range v.shape {
		shape[i] = int(d)
	}
	return shape
}
