package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/model"
)

const (
	// maxSafetensorsHeader is the format's own limit.
	maxSafetensorsHeader = 100 << 20
	// maxTensors bounds the time that a header takes. A MobileNetV2 has 314, with its
	// optimiser's state some 1000; the largest language models have 50,000.
	maxTensors = 1 << 16
)

// IsSafetensors reports whether a file with these first bytes is of the format: 8
// bytes of header length and a JSON object.
func IsSafetensors(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxSafetensorsHeader
}

// A safetensors is a file of the format of github.com/huggingface/safetensors.
type safetensors struct {
	entries  map[string]safetensorsEntry // checked against body
	metadata map[string]string
	body     []byte
}

func readSafetensors(data []byte) (f safetensors, err error) {
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) {
		return f, fault.At(0, "header of %d bytes in a file of %d: unexpected end", n, len(data))
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &entries); err != nil {
		return f, fault.At(8, "header: %.200v", err)
	}
	if len(entries) > maxTensors {
		return f, fault.TooLargef("%d tensors, more than the limit of %d", len(entries), maxTensors)
	}
	f.entries, f.body = map[string]safetensorsEntry{}, data[8+n:]
	var spans [][2]uint64
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if name == "__metadata__" {
			if err := json.Unmarshal(entries[name], &f.metadata); err != nil {
				return f, fault.At(8, "metadata: %.200v", err)
			}
			continue
		}
		var e safetensorsEntry
		err := json.Unmarshal(entries[name], &e)
		if err == nil {
			err = e.check(f.body)
		}
		if err != nil {
			return f, fault.At(8, "tensor %s: %.200v", fault.Shown(name), err)
		}
		f.entries[name] = e
		spans = append(spans, e.Offsets)
	}
	return f, checkSpans(spans, uint64(len(f.body)), int64(8+n))
}

// parseSafetensors returns what may be a network in the file.
func parseSafetensors(data []byte) (*contents, error) {
	f, err := readSafetensors(data)
	if err != nil {
		return nil, err
	}
	q, ok, err := f.quantised()
	if ok || err != nil {
		return &contents{quantised: q}, err
	}
	return f.contents(), nil
}

// contents are what the tensors are as float32.
func (f safetensors) contents() *contents {
	c := &contents{what: "a file", metadata: f.metadata}
	for _, name := range slices.Sorted(maps.Keys(f.entries)) {
		e := f.entries[name]
		l := leaf{name: name, shape: ints(e.Shape), same: fmt.Sprint(e)}
		if t, ok := dtypes[e.DType]; ok {
			l.values = func() (model.Tensor, error) { return e.tensor(f.body, t), nil }
		} else {
			l.err = fault.Unsupportedf("values of type %s are not read", fault.Shown(e.DType))
		}
		c.leaves = append(c.leaves, l)
	}
	return c
}

// checkSpans requires that tensors follow one another without gap or overlap,
// as the format does.
func checkSpans(spans [][2]uint64, size uint64, base int64) error {
	slices.SortFunc(spans, func(a, b [2]uint64) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	at := uint64(0)
	for _, s := range spans {
		if s[0] != at {
			return fault.At(base+int64(at), "one tensor ends here, the next begins at byte %d", base+int64(s[0]))
		}
		at = s[1]
	}
	if at != size {
		return fault.At(base+int64(at), "the tensors end here, the file %d bytes later", size-at)
	}
	return nil
}

// A safetensorsEntry is what the header says of a tensor.
type safetensorsEntry struct {
	DType   string    `json:"dtype"`
	Shape   dims      `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"` // in the body
}

// dims are those of a tensor in a header, which are counted before they are kept.
type dims []uint64

// maxDims is as many as torch knows of.
const maxDims = 64

func (d *dims) UnmarshalJSON(text []byte) error {
	if n := bytes.Count(text, []byte{','}); n >= maxDims {
		return fmt.Errorf("%d dimensions", n+1)
	}
	return json.Unmarshal(text, (*[]uint64)(d))
}

// check holds e against the body of its file.
func (e safetensorsEntry) check(body []byte) error {
	n := uint64(1)
	for _, d := range e.Shape {
		if d > maxElements || n*d > maxElements {
			return fmt.Errorf("shape %v is too large", e.Shape)
		}
		n *= d
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin > end || end > uint64(len(body)) {
		return fmt.Errorf("bytes %d to %d of %d", begin, end, len(body))
	}
	if t, ok := dtypes[e.DType]; ok && end-begin != n*uint64(t.size) {
		return fmt.Errorf("%d bytes for shape %v of %s", end-begin, e.Shape, e.DType)
	}
	return nil
}

// tensor reads the values of e, which has been checked.
func (e safetensorsEntry) tensor(body []byte, t dtype) model.Tensor {
	return model.Tensor{Shape: ints(e.Shape), Data: floats(body[e.Offsets[0]:e.Offsets[1]], t)}
}

func writeSafetensors(path string, m *model.Model, tensors []namedTensor, more map[string]string) error {
	metadata, err := m.Metadata()
	if err != nil {
		return err
	}
	maps.Copy(metadata, more)
	metadata["format"] = "pt" // as transformers requires
	return writeTensors(path, tensors, metadata)
}

// ReadMetadata returns the metadata of a .safetensors file, of which it reads no tensors.
// Other files have none.
func ReadMetadata(path string) (map[string]string, error) {
	head, err := boundedfile.Head(path, 9)
	if err != nil || !IsSafetensors(head) {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head) // bounded by IsSafetensors
	if head, err = boundedfile.Head(path, int(8+n)); err != nil {
		return nil, err
	}
	if uint64(len(head)) < 8+n {
		return nil, fault.In(path, fault.At(0, "header of %d bytes in a file of %d: unexpected end", n, len(head)))
	}
	var header struct {
		Metadata map[string]string `json:"__metadata__"`
	}
	if err := json.Unmarshal(head[8:], &header); err != nil {
		return nil, fault.In(path, fault.At(8, "header: %.200v", err))
	}
	return header.Metadata, nil
}

// ReadTensors reads a .safetensors file of any tensors, as float32, and its
// metadata.
func ReadTensors(path string) (model.StateDict, map[string]string, error) {
	data, err := boundedfile.Read(path, maxFile)
	if err != nil {
		return nil, nil, err
	}
	if !IsSafetensors(data) {
		return nil, nil, fault.In(path, fault.At(0, "not a .safetensors file"))
	}
	f, err := readSafetensors(data)
	if err != nil {
		return nil, nil, fault.In(path, err)
	}
	dict := model.StateDict{}
	for _, l := range f.contents().leaves {
		if dict[l.name], err = l.read(); err != nil {
			return nil, nil, fault.In(path, about(l.name, err))
		}
	}
	return dict, f.metadata, nil
}

// WriteTensors writes any tensors and metadata as a .safetensors file.
func WriteTensors(path string, dict model.StateDict, metadata map[string]string) error {
	var tensors []namedTensor
	for _, name := range slices.Sorted(maps.Keys(dict)) {
		tensors = append(tensors, namedTensor{name: name, tensor: dict[name]})
	}
	return writeTensors(path, tensors, metadata)
}

func writeTensors(path string, tensors []namedTensor, metadata map[string]string) error {
	var entries []entry
	for _, t := range tensors {
		e := entry{t.name, "F32", t.tensor.Shape, t.bytes()}
		switch {
		case t.counter:
			e.dtype = "I64"
		case t.half:
			e.dtype = "F16"
		}
		entries = append(entries, e)
	}
	return writeEntries(path, entries, metadata)
}

// An entry is a tensor as it is written.
type entry struct {
	name, dtype string
	shape       []int
	data        []byte
}

func writeEntries(path string, entries []entry, metadata map[string]string) error {
	// The reference implementation writes wide types first, so that each tensor
	// is aligned to its own size.
	slices.SortStableFunc(entries, func(a, b entry) int { return dtypes[b.dtype].size - dtypes[a.dtype].size })
	header := map[string]any{"__metadata__": metadata}
	at := uint64(0)
	for _, t := range entries {
		e := safetensorsEntry{t.dtype, []uint64{}, [2]uint64{at, at + uint64(len(t.data))}}
		for _, d := range t.shape {
			e.Shape = append(e.Shape, uint64(d))
		}
		header[t.name] = e
		at = e.Offsets[1]
	}
	text, err := json.Marshal(header) // keys in order, so the bytes are always the same
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		for _, t := range entries {
			if _, err := w.Write(t.data); err != nil {
				return err
			}
		}
		return nil
	})
}

// bytes returns the elements in little-endian order, float32 perhaps in place.
func (t namedTensor) bytes() []byte {
	if !t.counter && !t.half {
		return floatBytes(t.tensor.Data)
	}
	b := make([]byte, 0, 8*len(t.tensor.Data))
	for _, v := range t.tensor.Data {
		if t.counter {
			b = binary.LittleEndian.AppendUint64(b, uint64(int64(v)))
		} else {
			b = binary.LittleEndian.AppendUint16(b, half.FromFloat32(v))
		}
	}
	return b
}

// floatBytes returns the bytes of values as files have them, perhaps in place.
func floatBytes(values []float32) []byte {
	if littleEndian && len(values) > 0 {
		return bytesOf(values)
	}
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
