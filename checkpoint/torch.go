package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxElements bounds a tensor: the largest MobileNetV2 that a config allows has
// far fewer.
const maxElements = 1 << 28

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

// storageTypes are torch's typed storages by the element type in safetensors'
// terms.
var storageTypes = map[string]string{
	"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
	"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
	"ByteStorage": "U8", "BoolStorage": "BOOL",
}

// build is what a call of class with args makes: tensors, dicts and tuples
// where torch writes them, and an opaque value for all else.
func build(callee, args any) (any, error) {
	class, _ := callee.(global)
	a, _ := args.(tuple)
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
	return opaque{class}, nil
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
	if err != nil {
		return nil, err
	}
	offset, ok := a[1].(int64)
	shape, ok1 := sizes(a[2])
	strides, ok2 := sizes(a[3])
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
		return storage{}, fmt.Errorf("storage of type %.60s.%.60s", class.module, class.name)
	}
	if !isKey || !isCount || numel < 0 || numel > maxElements {
		return storage{}, fmt.Errorf("bad storage %.40q of %d elements", key, numel)
	}
	if len(id) > 5 && id[5] != nil {
		return storage{}, fmt.Errorf("storage %.40q is a part of another, as only torch before 0.4 wrote", key)
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
	t := model.Tensor{Shape: v.ints()}
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

// IsTorch reports whether a file with these first bytes may be of torch.save: it is a
// zip archive or a pickle.
func IsTorch(head []byte) bool {
	return bytes.HasPrefix(head, []byte(zipMagic)) || len(head) > 1 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5
}

const zipMagic = "PK\x03\x04"

// parseTorch reads a state dict that torch.save wrote, in either format.
func parseTorch(data []byte) (*contents, error) {
	if bytes.HasPrefix(data, []byte(zipMagic)) {
		return parseZip(data)
	}
	return parseLegacy(data)
}

// parseZip reads torch's format since 1.6: a zip archive with data.pkl and a
// file per storage.
func parseZip(data []byte) (*contents, error) {
	a, err := openArchive(data)
	if err != nil {
		return nil, err
	}
	if a.files["byteorder"] != nil {
		order, err := a.read("byteorder")
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fault.Unsupportedf("byte order %.16q: only little-endian files are read", order)
		}
	}
	pkl, err := a.read("data.pkl")
	if err != nil {
		return nil, err
	}
	state, err := unpickle(pkl, 0)
	if err != nil {
		return nil, err
	}
	f := &contents{metadata: map[string]string{}}
	for _, key := range []string{model.ConfigKey, model.LabelsKey} {
		if a.files[key] == nil {
			continue
		}
		text, err := a.read(key)
		if err != nil {
			return nil, err
		}
		f.metadata[key] = string(text)
	}
	loaded := map[string][]byte{} // by key: many tensors may share a storage
	f.dict, err = stateDict(state.value, len(data), func(s storage) ([]byte, error) {
		raw, ok := loaded[s.key]
		if !ok {
			var err error
			if raw, err = a.read("data/" + s.key); err != nil {
				return nil, err
			}
			loaded[s.key] = raw
		}
		want := s.numel * uint64(s.dtype.size)
		if uint64(len(raw)) < want {
			return nil, fault.Brokenf("storage %.40q has %d bytes, want %d", s.key, len(raw), want)
		}
		return raw[:want], nil
	})
	return f, err
}

// An archive is a zip file that torch wrote.
type archive struct {
	data  []byte
	files map[string]*zip.File // by name in the folder of data.pkl
	room  uint64               // bytes that compressed files may still inflate to
}

// inflation bounds compressed files: torch writes none, and weights barely
// shrink, so that one that inflates to more than this many times the archive is
// a bomb.
const inflation = 8

func openArchive(data []byte) (*archive, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fault.Brokenf("%v; is the file complete?", err)
	}
	a := &archive{data, map[string]*zip.File{}, inflation * uint64(len(data))}
	for _, f := range z.File {
		root, ok := strings.CutSuffix(f.Name, "data.pkl")
		if !ok || root != "" && !strings.HasSuffix(root, "/") {
			continue
		}
		for _, f := range z.File {
			if name, ok := strings.CutPrefix(f.Name, root); ok {
				a.files[name] = f
			}
		}
		return a, nil
	}
	return nil, fault.Unsupportedf("a zip archive that torch.save did not write: it has no data.pkl")
}

// read returns the content of a file. One that is not compressed is not copied.
func (a *archive) read(name string) ([]byte, error) {
	f := a.files[name]
	if f == nil {
		return nil, fault.Brokenf("entry %.80q is missing", name)
	}
	begin, err := f.DataOffset()
	fail := func(reason any) error {
		return fault.At(begin, "entry %.80q: %v", f.Name, reason)
	}
	if err != nil {
		return nil, fail(err)
	}
	if offset := uint64(begin); f.Method == zip.Store {
		if offset > uint64(len(a.data)) || f.UncompressedSize64 > uint64(len(a.data))-offset {
			return nil, fail("unexpected end")
		}
		b := a.data[offset:][:f.UncompressedSize64]
		// Newer torch can leave the checksum out.
		if f.CRC32 != 0 && crc32.ChecksumIEEE(b) != f.CRC32 {
			return nil, fail("checksum error")
		}
		return b, nil
	}
	if f.UncompressedSize64 > a.room {
		return nil, fault.TooLargef("entry %.80q: inflates to more than %d times the file", f.Name, inflation)
	}
	a.room -= f.UncompressedSize64
	r, err := f.Open()
	if err != nil {
		return nil, fail(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r) // which ends with an error where there is more than UncompressedSize64
	if err != nil {
		return nil, fail(err)
	}
	return b, nil
}

// legacyMagic is the number that the format of torch before 1.6 begins with, as
// a pickle: 0x1950a86a20f9469cfc6c.
const legacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

// parseLegacy reads the older format: pickles of the magic number, the protocol,
// the machine, the object and the storage keys, then the storages, each a count
// and its elements.
func parseLegacy(data []byte) (*contents, error) {
	magic, err := unpickle(data[:min(len(data), 64)], 0)
	if err != nil || magic.value != legacyMagic {
		return nil, fault.Unsupportedf("a pickle that torch.save did not write")
	}
	at := magic.size
	var parts [4]pickled // protocol, machine, object, keys
	for i := range parts {
		p, err := unpickle(data[at:], int64(at))
		if err != nil {
			return nil, err
		}
		parts[i] = p
		at += p.size
	}
	if machine, ok := parts[1].value.(*dict); ok && machine.get("little_endian") == false {
		return nil, fault.Unsupportedf("written by a big-endian machine: only little-endian files are read")
	}
	state := parts[2]
	keys, _ := parts[3].value.(*list)
	if keys == nil {
		return nil, fault.At(int64(at), "no list of storages")
	}
	begins := map[string]int{}
	for _, k := range keys.items {
		key, _ := k.(string)
		if len(data)-at < 8 {
			return nil, fault.At(int64(at), "unexpected end before a storage")
		}
		numel := binary.LittleEndian.Uint64(data[at:])
		t, ok := state.storages[key]
		if !ok {
			return nil, fault.Unsupportedf("storage %.40q is of an unknown type", key)
		}
		at += 8
		if numel > maxElements || numel*uint64(t.size) > uint64(len(data)-at) {
			return nil, fault.At(int64(at), "storage of %d elements: unexpected end", numel)
		}
		begins[key] = at
		at += int(numel) * t.size
	}
	dict, err := stateDict(state.value, len(data), func(s storage) ([]byte, error) {
		begin, ok := begins[s.key]
		if n := s.numel * uint64(s.dtype.size); ok && n <= uint64(len(data)-begin) {
			return data[begin:][:n], nil
		}
		return nil, fault.Brokenf("storage %.40q is missing or short", s.key)
	})
	return &contents{dict: dict}, err
}
