package checkpoint

import (
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxKey bounds the name of a storage, which is a number or an address.
const maxKey = 100

// A storage is the memory that tensors of a torch file are views of.
type storage struct {
	key   string
	dtype dtype
	numel uint64
}

// A view is a tensor of a torch file: strides and offset count elements.
type view struct {
	storage        storage
	offset         uint64
	shape, strides []uint64
}

// An unread tensor is of a kind that is not read here. That matters only if the network
// needs it.
type unread struct {
	shape  []uint64
	reason error
}

// storageTypes are torch's typed storages by the element type in safetensors'
// terms.
var storageTypes = map[string]string{
	"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
	"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
	"ByteStorage": "U8", "BoolStorage": "BOOL",
	"QInt8Storage": "I8", "QUInt8Storage": "U8",
}

// build is what a call of class with args makes: tensors, dicts and tuples
// where torch writes them, and an object for all else.
func build(callee, args any) (any, error) {
	class, _ := callee.(global)
	a, _ := args.(tuple)
	if class.name == "_reconstructor" && len(a) > 0 { // copyreg's, of an object without arguments
		class, _ = a[0].(global)
	}
	switch class {
	case global{"collections", "OrderedDict"}:
		if len(a) == 1 { // as Python 2 writes it: a list of pairs
			return buildDict(a[0])
		}
		return &dict{}, nil
	case global{"collections", "defaultdict"}, global{"builtins", "dict"}, global{"__builtin__", "dict"}:
		return &dict{}, nil
	case global{"torch", "Size"}:
		if len(a) == 1 {
			return a[0], nil
		}
	case global{"torch._utils", "_rebuild_tensor_v2"}, global{"torch._utils", "_rebuild_tensor"}:
		return buildView(a)
	case global{"torch._utils", "_rebuild_qtensor"}:
		return buildQuantised(a)
	case global{"torch._utils", "_rebuild_parameter"}, global{"torch._utils", "_rebuild_parameter_with_state"}:
		if len(a) > 0 {
			return a[0], nil
		}
	case global{"torch._tensor", "_rebuild_from_type_v2"}: // a tensor with attributes: (function, type, args, state)
		if len(a) == 4 && (a[0] == global{"torch._utils", "_rebuild_tensor_v2"}) {
			inner, _ := a[2].(tuple)
			return buildView(inner)
		}
	}
	if class == (global{"numpy", "dtype"}) || class == (global{"_codecs", "encode"}) || class.name == "_frombuffer" {
		return &object{class: class, args: a}, nil
	}
	return &object{class: class}, nil
}

func buildDict(pairs any) (any, error) {
	d := &dict{}
	l, ok := pairs.(*list)
	if !ok {
		return d, nil
	}
	for _, item := range l.items {
		var kv []any
		switch c := item.(type) {
		case *list:
			kv = c.items
		case tuple:
			kv = c
		}
		if len(kv) != 2 {
			return nil, errors.New("an OrderedDict of something other than pairs")
		}
		d.keys = append(d.keys, kv[0])
		d.values = append(d.values, kv[1])
	}
	return d, nil
}

func buildView(a tuple) (any, error) {
	if len(a) < 4 {
		return nil, fmt.Errorf("a tensor of %d parts", len(a))
	}
	s, err := buildStorage(a[0])
	offset, ok := a[1].(int64)
	shape, ok1 := sizes(a[2])
	strides, ok2 := sizes(a[3])
	if errors.Is(err, errors.ErrUnsupported) {
		return unread{shape, err}, nil
	}
	if err != nil {
		return nil, err
	}
	if !ok || !ok1 || !ok2 || offset < 0 || len(shape) != len(strides) || len(shape) > 8 {
		return nil, fmt.Errorf("tensor in storage %.40q: bad offset, size or stride", s.key)
	}
	v := view{s, uint64(offset), shape, strides}
	return v, v.check()
}

// buildStorage reads ('storage', class, key, device, numel, ...).
func buildStorage(v any) (storage, error) {
	p, _ := v.(persistent)
	id, _ := p.id.(tuple)
	if len(id) < 5 {
		return storage{}, fmt.Errorf("a tensor without storage")
	}
	class, _ := id[1].(global)
	key, isKey := id[2].(string)
	numel, isCount := id[4].(int64)
	t, ok := storageTypes[class.name]
	if !ok {
		return storage{}, fault.Unsupportedf("values of type %s are not read", fault.Shown(class.String()))
	}
	if !isKey || len(key) > maxKey || !isCount || numel < 0 || numel > maxElements {
		return storage{}, fmt.Errorf("bad storage %.40q of %d elements", key, numel)
	}
	if len(id) > 5 && id[5] != nil {
		return storage{}, fault.Unsupportedf("storage %.40q is a part of another, as only torch before 0.4 wrote", key)
	}
	return storage{key, dtypes[t], uint64(numel)}, nil
}

// sizes reads a tuple of counts.
func sizes(v any) ([]uint64, bool) {
	t, ok := v.(tuple)
	out := make([]uint64, len(t))
	for i, x := range t {
		n, isInt := x.(int64)
		if !isInt || n < 0 || n > maxElements {
			return nil, false
		}
		out[i] = uint64(n)
	}
	return out, ok
}

// check holds v against its storage: the last element that it reaches must be
// inside. No product overflows: shape and strides are at most 2^28.
func (v view) check() error {
	n, last := uint64(1), v.offset
	for i, d := range v.shape {
		if n *= d; n > maxElements {
			return fmt.Errorf("tensor of shape %v is too large", v.shape)
		}
		if d > 0 {
			last += (d - 1) * v.strides[i]
		}
	}
	if n > 0 && last >= v.storage.numel {
		return fmt.Errorf("tensor of shape %v ends at element %d of a storage of %d", v.shape, last, v.storage.numel)
	}
	return nil
}

// tensor copies the elements of v out of its storage, or shares them where they
// are contiguous float32.
func (v view) tensor(raw []byte) model.Tensor {
	t := model.Tensor{Shape: ints(v.shape)}
	n, contiguous := uint64(1), true
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.strides[i] != n {
			contiguous = false
		}
		n *= v.shape[i]
	}
	size := uint64(v.storage.dtype.size)
	if contiguous || n == 0 {
		if n > 0 {
			raw = raw[v.offset*size:][:n*size]
		}
		t.Data = floats(raw[:n*size], v.storage.dtype)
		return t
	}
	t.Data = make([]float32, n)
	index := make([]uint64, len(v.shape))
	at := v.offset
	for i := range t.Data {
		t.Data[i] = v.storage.dtype.decode(raw[at*size:])
		for d := len(index) - 1; d >= 0; d-- { // the next index, last dimension first
			at += v.strides[d]
			if index[d]++; index[d] < v.shape[d] {
				break
			}
			at -= index[d] * v.strides[d]
			index[d] = 0
		}
	}
	return t
}
