package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// The tensors of a network of 8-bit integers, for a layer at some module path: its
// weights, in torch's order, I8 or, where a byte is too small, I16; what one of them
// is for each output channel, F32; and biases, I32. A layer that was kept in float32
// has weights and biases that are F32, and no scales. The metadata says the rest, see
// [model.QuantizedKey].
const (
	weightsOf = ".weight"
	scalesOf  = ".weight_scale"
	biasesOf  = ".bias"
)

// SaveQuantized writes q to path as safetensors, with its labels and what else the
// metadata is to say, or nil, complete or not at all. [ParseQuantized] reads it back to the bit; [Open] and [Parse] read it as
// float32. The name ends in .safetensors.
func SaveQuantized(path string, q *model.Quantized, more map[string]string) error {
	if !strings.EqualFold(filepath.Ext(path), ".safetensors") {
		return fmt.Errorf("%s: a network of 8-bit integers is kept in a file whose name ends in .safetensors", path)
	}
	if err := q.Validate(); err != nil {
		return fault.In(path, err)
	}
	metadata, err := q.Metadata()
	if err != nil {
		return err
	}
	maps.Copy(metadata, more)
	var entries []entry
	for _, p := range q.Parts() {
		out := p.Shape[:1]
		if f := p.Layer.Float; f != nil {
			entries = append(entries, entry{p.Name + weightsOf, "F32", p.Shape, floatBytes(f.Weight)}, entry{p.Name + biasesOf, "F32", out, floatBytes(f.Bias)})
			continue
		}
		entries = append(entries,
			weightEntry(p.Name+weightsOf, p.Shape, p.Layer.Weight),
			entry{p.Name + scalesOf, "F32", out, floatBytes(p.Layer.Scale)},
			entry{p.Name + biasesOf, "I32", out, int32Bytes(p.Layer.Bias)},
		)
	}
	return writeEntries(path, entries, metadata)
}

func weightEntry(name string, shape []int, weights []int16) entry {
	if slices.ContainsFunc(weights, func(w int16) bool { return w != int16(int8(w)) }) {
		b := make([]byte, 0, 2*len(weights))
		for _, w := range weights {
			b = binary.LittleEndian.AppendUint16(b, uint16(w))
		}
		return entry{name, "I16", shape, b}
	}
	b := make([]byte, len(weights))
	for i, w := range weights {
		b[i] = byte(int8(w))
	}
	return entry{name, "I8", shape, b}
}

func int32Bytes(values []int32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// ParseQuantized reads the network of 8-bit integers that [SaveQuantized] has written, or
// the state dict of torchvision's quantised mobilenet_v2; ok is false where data is
// something else, a checkpoint of float32 or no checkpoint. The network may share memory
// with data.
func ParseQuantized(data []byte) (q *model.Quantized, ok bool, err error) {
	switch {
	case IsSafetensors(data):
		f, err := readSafetensors(data)
		if err != nil {
			return nil, false, err
		}
		return f.quantised()
	case IsTorch(data) && bytes.Contains(data, []byte("_rebuild_qtensor")): // torch packs nothing
		f, err := parseTorch(data, true)
		if err != nil {
			return nil, false, err
		}
		return f.quantised, f.quantised != nil, nil
	}
	return nil, false, nil
}

// quantised returns the network of 8-bit integers in f, if it holds one.
func (f safetensors) quantised() (q *model.Quantized, ok bool, err error) {
	q, ok, err = model.MetadataQuantized(f.metadata)
	if !ok || err != nil {
		return nil, ok, err
	}
	t := taker{file: f, left: maps.Clone(f.entries)}
	for _, p := range q.Parts() {
		out := p.Shape[:1]
		if f.entries[p.Name+weightsOf].DType == "F32" {
			p.Layer.Float = &model.FloatLayer{
				Weight: floatsIn(t.take(p.Name+weightsOf, p.Shape, "F32")),
				Bias:   floatsIn(t.take(p.Name+biasesOf, out, "F32")),
			}
			continue
		}
		p.Layer.Weight = weightsIn(t.take(p.Name+weightsOf, p.Shape, "I8", "I16"))
		p.Layer.Scale = floatsIn(t.take(p.Name+scalesOf, out, "F32"))
		p.Layer.Bias = int32sIn(t.take(p.Name+biasesOf, out, "I32"))
	}
	if err := t.finish(); err != nil {
		return nil, true, err
	}
	if err := q.Validate(); err != nil {
		return nil, true, err
	}
	return q, true, nil
}

// A taker takes tensors out of a file and keeps what is wrong with them.
type taker struct {
	file  safetensors
	left  map[string]safetensorsEntry
	wrong model.MismatchError
}

// take returns the bytes of the tensor of that name, and the type of its elements, one
// of types; nil if there is none of that shape.
func (t *taker) take(name string, shape []int, types ...string) (raw []byte, dtype string) {
	e, ok := t.left[name]
	delete(t.left, name)
	switch {
	case !ok:
		t.wrong.Missing = append(t.wrong.Missing, name)
	case !slices.Equal(ints(e.Shape), shape) || !slices.Contains(types, e.DType):
		t.wrong.Misshapen = append(t.wrong.Misshapen, fmt.Sprintf("%s: %s of shape %v, want %s of shape %v", name, fault.Shown(e.DType), e.Shape, strings.Join(types, " or "), shape))
	default:
		return t.file.body[e.Offsets[0]:e.Offsets[1]], e.DType
	}
	return nil, ""
}

// finish returns everything that was wrong.
func (t *taker) finish() error {
	t.wrong.Unexpected = slices.Sorted(maps.Keys(t.left))
	if e := &t.wrong; e.Missing != nil || e.Misshapen != nil || e.Unexpected != nil {
		return fault.Brokenf("%v", e)
	}
	return nil
}

func weightsIn(raw []byte, dtype string) []int16 {
	if dtype == "I8" {
		out := make([]int16, len(raw))
		for i, b := range raw {
			out[i] = int16(int8(b))
		}
		return out
	}
	out := make([]int16, len(raw)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return out
}

func floatsIn(raw []byte, _ string) []float32 { return floats(raw, float32Type) }

func int32sIn(raw []byte, _ string) []int32 {
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
