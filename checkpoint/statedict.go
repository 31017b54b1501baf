package checkpoint

import (
	"fmt"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// nested are the keys under which training scripts keep a state dict, in the
// order they are looked for.
var nested = []string{"state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema"}

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
	if _, ok := namingOf(out); !ok {
		// Another network: its names say so, and its weights need not be read.
		return nil, model.Default().Network().Check(out)
	}
	// A value takes a byte at least, unless tensors overlap.
	if total > uint64(size) {
		return nil, &UnsupportedError{fmt.Sprintf("tensors that overlap: %d values in a file of %d bytes", total, size)}
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

// findViews returns the tensors of value, or of the state dict that it holds
// under one of the usual keys.
func findViews(value any) (*dict, error) {
	for range 4 { // levels of nesting
		d, ok := value.(*dict)
		if !ok {
			break
		}
		if views := d.views(); len(views.keys) > 0 {
			return views, nil
		}
		value = nil
		for _, key := range nested {
			if v := d.get(key); v != nil {
				value = v
				break
			}
		}
		if value == nil {
			return nil, &UnsupportedError{"a dictionary without tensors: no state dict at its top or under " + strings.Join(nested, ", ")}
		}
	}
	if o, ok := value.(opaque); ok {
		return nil, &UnsupportedError{fmt.Sprintf("a pickled object of class %.80s.%.80s, not a state dict: save model.state_dict() instead", o.class.module, o.class.name)}
	}
	return nil, &UnsupportedError{"no state dict"}
}

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
	for again := true; again; {
		again = false
		for _, w := range wrappers {
			again = out.trim(w) || again
		}
	}
	return out
}

// trim removes prefix from all names, if all of them have it but for the
// counter that weight averaging adds.
func (d *dict) trim(prefix string) bool {
	kept := &dict{}
	for i, k := range d.keys {
		name, ok := strings.CutPrefix(k.(string), prefix)
		switch {
		case ok:
			kept.keys = append(kept.keys, name)
			kept.values = append(kept.values, d.values[i])
		case k != "n_averaged":
			return false
		}
	}
	if len(kept.keys) == 0 {
		return false
	}
	*d = *kept
	return true
}

// eachView calls do for every tensor in value, however deep.
func eachView(value any, do func(view)) {
	seen := map[any]bool{}
	queue := []any{value}
	for len(queue) > 0 {
		v := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		switch c := v.(type) {
		case view:
			do(c)
		case tuple:
			queue = append(queue, c...)
		case *list:
			if !seen[c] {
				seen[c] = true
				queue = append(queue, c.items...)
			}
		case *dict:
			if !seen[c] {
				seen[c] = true
				queue = append(queue, c.values...)
			}
		}
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
