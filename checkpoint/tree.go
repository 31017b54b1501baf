package checkpoint

import (
	"fmt"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A leaf is a tensor of a file. Its values are not read yet.
type leaf struct {
	// name is the keys and attributes that lead to the tensor, with dots between:
	// "state_dict.module.features.0.0.weight". scope is the part of it that leads to
	// the state dict or the module that the tensor belongs to: "state_dict.", or ""
	// at the top.
	name, scope string

	shape  []int
	values func() (model.Tensor, error) // see read
	same   string                       // equal for tensors that are the same memory; "" if that is not known
	err    error                        // why values can't be read, if that is known before

	integers func() (integers, error) // of a quantised tensor, nil of others

	in        *module // that has the tensor, nil if none does
	parameter bool    // known to be one of in's parameters, not a buffer
}

// read returns the tensor.
func (l leaf) read() (model.Tensor, error) {
	if l.err != nil {
		return model.Tensor{}, l.err
	}
	return l.values()
}

// Bounds on the tree of values in a pickle. torchvision's whole module is 14 deep and
// has some 8000 values. A pickle can hold a value in itself, or 2^64 times over.
const (
	maxTreeDepth = 64
	maxTreeSteps = 1 << 20
	maxTreeNames = 64 << 20 // bytes
)

// leaves lists the tensors in an unpickled value, whatever holds them: dictionaries,
// lists, modules (their parameters and buffers by the names that state_dict() gives
// them), and other objects with attributes. load returns the bytes of a storage.
// The modules that they belong to are listed in the order of registration.
func leaves(value any, load func(storage) ([]byte, error)) ([]leaf, []*module, error) {
	w := walker{load: load, seen: map[any]bool{}}
	w.walk(value, step{})
	if w.steps > maxTreeSteps || w.names > maxTreeNames {
		return nil, nil, fault.TooLargef("the values in the pickle are more than %d, or their names more than %d MB", maxTreeSteps, maxTreeNames>>20)
	}
	return w.found, w.modules, nil
}

// describe says what an unpickled value is.
func describe(value any) string {
	switch v := value.(type) {
	case *dict:
		return "a dictionary"
	case *list, tuple:
		return "a list"
	case *object:
		return "an object of class " + fault.Shown(v.class.String())
	case global:
		return "the class " + fault.Shown(v.String())
	}
	return "a value"
}

// A walker collects the tensors in a value. It visits each container once.
type walker struct {
	load         func(storage) ([]byte, error)
	seen         map[any]bool
	found        []leaf
	modules      []*module
	steps, names int
}

// A step is a place on the way through a value.
type step struct {
	name, scope string
	module      bool // in a module, all of whose tensors are in one scope
	depth       int
	in          *module // the innermost one
	parameter   bool    // among its parameters
}

// into returns the place of what lies under a key.
func (s step) into(key string) step {
	if s.name != "" {
		key = s.name + "." + key
	}
	s.name, s.depth = key, s.depth+1
	return s
}

// opened returns s within a container, which is a scope of its own unless it is a part
// of a module.
func (s step) opened(module bool) step {
	if !s.module {
		s.scope = ""
		if s.name != "" {
			s.scope = s.name + "."
		}
	}
	s.module = s.module || module
	return s
}

func (w *walker) walk(v any, at step) {
	w.steps++
	w.names += len(at.name)
	if at.depth > maxTreeDepth || w.steps > maxTreeSteps || w.names > maxTreeNames {
		return
	}
	switch v := v.(type) {
	case view:
		if at.in != nil {
			at.in.tensors = true
		}
		w.found = append(w.found, leaf{name: at.name, scope: at.scope, shape: ints(v.shape), values: v.reader(w.load), same: v.String(), in: at.in, parameter: at.parameter})
	case qtensor:
		w.found = append(w.found, v.leaf(at, w.load))
	case unread:
		w.found = append(w.found, leaf{name: at.name, scope: at.scope, shape: ints(v.shape), err: v.reason})
	case *dict:
		if w.first(v) {
			w.items(v, at.opened(false))
		}
	case *list:
		if w.first(v) {
			w.list(v.items, at)
		}
	case tuple:
		if len(v) > 0 && w.first(&v[0]) {
			w.list(v, at)
		}
	case *object:
		if a, ok := arrayOf(v); ok {
			w.found = append(w.found, a.leaf(at))
		} else if w.first(v) {
			w.object(v, at)
		}
	}
}

// first reports whether a container has not been visited yet.
func (w *walker) first(container any) bool {
	if w.seen[container] {
		return false
	}
	w.seen[container] = true
	return true
}

func (w *walker) list(items []any, at step) {
	for i, v := range items {
		w.walk(v, at.into(strconv.Itoa(i)))
	}
}

func (w *walker) items(d *dict, at step) {
	for i, key := range d.keys {
		switch key := key.(type) {
		case string:
			w.walk(d.values[i], at.into(key))
		case int64:
			w.walk(d.values[i], at.into(strconv.FormatInt(key, 10)))
		}
	}
}

// object walks the attributes of an object. Those of a torch.nn.Module are in three
// dictionaries, whose names are not part of its tensors' names; those of TorchScript's
// modules are attributes like any other.
func (w *walker) object(o *object, at step) {
	if o.items != nil {
		w.items(o.items, at.opened(false))
	}
	attributes, _ := o.state.(*dict)
	if attributes == nil {
		return
	}
	if _, ok := attributes.get("_modules").(*dict); !ok {
		script := isScript(o.class)
		at = at.opened(script)
		if script {
			at = w.enter(o.class, attributes, at)
		}
		w.items(attributes, at)
		return
	}
	at = w.enter(o.class, attributes, at.opened(true))
	for _, kind := range []string{"_parameters", "_buffers", "_modules"} {
		if d, ok := attributes.get(kind).(*dict); ok {
			at.parameter = kind == "_parameters"
			w.items(d, at)
		}
	}
}

// String names the memory of v.
func (v view) String() string {
	return fmt.Sprint(v.storage.key, " ", v.offset, v.shape, v.strides)
}

// reader returns a function that reads the values of v.
func (v view) reader(load func(storage) ([]byte, error)) func() (model.Tensor, error) {
	return func() (model.Tensor, error) {
		raw, err := load(v.storage)
		if err != nil {
			return model.Tensor{}, err
		}
		return v.tensor(raw), nil
	}
}

// ints is a shape from a file as a model has it.
func ints(shape []uint64) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}
