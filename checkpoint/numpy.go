package checkpoint

import (
	"strings"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// parseArrays reads a pickle of numpy's arrays, as Paddle's .pdparams is: the arrays'
// bytes are strings in the pickle.
func parseArrays(data []byte) (*contents, error) {
	p, err := unpickle(data, 0)
	if err != nil {
		return nil, err
	}
	found, _, err := leaves(p.value, func(s storage) ([]byte, error) {
		return nil, fault.Unsupportedf("a tensor of torch, in a pickle that torch.save did not write")
	})
	if err == nil && len(found) == 0 {
		err = fault.Unsupportedf("a pickle that torch.save did not write, without arrays in it: %s", describe(p.value))
	}
	return &contents{leaves: found, what: describe(p.value)}, err
}

// An array is one of numpy's in a pickle.
type array struct {
	view view // of raw alone
	raw  any  // a string, or a call that makes one: see arrayBytes
	err  error
}

// numpyTypes are numpy's types in safetensors' terms.
var numpyTypes = map[string]string{
	"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "u1": "U8", "b1": "BOOL", "i2": "I16", "i4": "I32", "i8": "I64",
}

// arrayOf reads what numpy makes an array of: numpy.core.multiarray._reconstruct, with a
// state of version, shape, type, order and bytes, or _frombuffer of bytes, type, shape
// and order.
func arrayOf(o *object) (array, bool) {
	if !strings.HasPrefix(o.class.module, "numpy.") {
		return array{}, false
	}
	state, _ := o.state.(tuple)
	switch {
	case o.class.name == "_reconstruct" && len(state) == 5:
		return newArray(state[4], state[2], state[1], state[3] == true), true
	case o.class.name == "_frombuffer" && len(o.args) == 4:
		return newArray(o.args[0], o.args[1], o.args[2], o.args[3] == "F"), true
	}
	return array{}, false
}

func newArray(raw, dtype, shape any, columns bool) array {
	a := array{raw: raw}
	dims, ok := sizes(shape)
	name, little := typeOf(dtype)
	t, known := dtypes[numpyTypes[name]]
	switch {
	case !ok || len(dims) > 8:
		a.err = fault.Brokenf("an array without a shape")
		return a
	case !known || !little:
		a.err = fault.Unsupportedf("an array of numpy's type %.20q", name)
	}
	strides := make([]uint64, len(dims))
	n := uint64(1)
	for i := range dims {
		at := len(dims) - 1 - i
		if columns {
			at = i
		}
		strides[at] = n
		if n *= dims[at]; n > maxElements {
			a.err = fault.TooLargef("an array of shape %v", dims)
			n = 0
		}
	}
	a.view = view{storage: storage{dtype: t, numel: n}, shape: dims, strides: strides}
	return a
}

// typeOf reads numpy.dtype('f4'), whose state begins with a version and the byte order.
func typeOf(v any) (name string, little bool) {
	o, _ := v.(*object)
	if o == nil || o.class != (global{"numpy", "dtype"}) || len(o.args) == 0 {
		return "", false
	}
	name, _ = o.args[0].(string)
	state, _ := o.state.(tuple)
	if len(state) > 1 && state[1] == ">" {
		return name, false
	}
	return strings.TrimLeft(name, "<|="), !strings.HasPrefix(name, ">")
}

func (a array) leaf(at step) leaf {
	l := leaf{name: at.name, scope: at.scope, shape: ints(a.view.shape), err: a.err}
	l.values = func() (model.Tensor, error) {
		want := int(a.view.storage.numel) * a.view.storage.dtype.size
		raw := arrayBytes(a.raw, want)
		if len(raw) != want {
			return model.Tensor{}, fault.Brokenf("an array of shape %v in other than %d bytes", a.view.shape, want)
		}
		return a.view.tensor(raw), nil
	}
	return l
}

// arrayBytes returns bytes of a pickle: a string, or what Python 3 writes for the oldest
// protocols, a text whose characters are the bytes, and a call that encodes it. It stops
// behind the number of bytes that is wanted.
func arrayBytes(v any, want int) []byte {
	switch v := v.(type) {
	case string: // a tensor may be a view of the file
		return unsafe.Slice(unsafe.StringData(v), len(v))
	case *object:
		if v.class != (global{"_codecs", "encode"}) || len(v.args) == 0 {
			return nil
		}
		text, _ := v.args[0].(string)
		out := make([]byte, 0, min(want, len(text)))
		for _, r := range text {
			if len(out) > want || r > 255 {
				return nil
			}
			out = append(out, byte(r))
		}
		return out
	}
	return nil
}
