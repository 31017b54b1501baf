package tflite

import (
	"encoding/binary"
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// A writer makes the tables of one graph. A flatbuffer is built from the end: what a
// table refers to is written before it.
type writer struct {
	b         *flatbuffers.Builder
	tensors   []flatbuffers.UOffsetT
	buffers   []flatbuffers.UOffsetT // the first one is empty, for activations
	operators []flatbuffers.UOffsetT
	codes     []operatorVersion
	metadata  []flatbuffers.UOffsetT
}

// An operatorVersion is what a runtime has to know to run an operator.
type operatorVersion struct {
	code    builtin
	version int32 // as op_version.cc of TensorFlow gives it for the types of the operands
}

// newWriter makes room for so many bytes.
func newWriter(bytes int) *writer {
	w := &writer{b: flatbuffers.NewBuilder(bytes)}
	w.b.StartObject(1)
	w.buffers = append(w.buffers, w.b.EndObject())
	return w
}

// buffer writes bytes for a tensor or an entry of the metadata. The schema wants them
// at a multiple of 16.
func (w *writer) buffer(data []byte) int {
	w.b.Prep(16, len(data))
	v := w.b.CreateByteVector(data)
	w.b.StartObject(1)
	w.b.PrependUOffsetTSlot(bufferData, v, 0)
	w.buffers = append(w.buffers, w.b.EndObject())
	return len(w.buffers) - 1
}

// A quantization is that of a tensor: one scale, or one for each index of axis.
type quantization struct {
	scale []float32
	zero  []int64
	axis  int32
}

// tensor writes what is known of a tensor and returns its index; buffer 0 is for
// activations.
func (w *writer) tensor(name string, e elem, shape []int, buffer int, q *quantization) int {
	text := w.b.CreateString(name)
	dims := w.ints(shape)
	var parameters flatbuffers.UOffsetT
	if q != nil {
		scale := w.floats(q.scale)
		w.b.StartVector(8, len(q.zero), 8)
		for _, z := range slices.Backward(q.zero) {
			w.b.PrependInt64(z)
		}
		zero := w.b.EndVector(len(q.zero))
		w.b.StartObject(7)
		w.b.PrependUOffsetTSlot(quantScale, scale, 0)
		w.b.PrependUOffsetTSlot(quantZero, zero, 0)
		w.b.PrependInt32Slot(quantAxis, q.axis, 0)
		parameters = w.b.EndObject()
	}
	w.b.StartObject(8)
	w.b.PrependUOffsetTSlot(tensorShape, dims, 0)
	w.b.PrependByteSlot(tensorElem, byte(e), 0)
	w.b.PrependUint32Slot(tensorBuffer, uint32(buffer), 0)
	w.b.PrependUOffsetTSlot(tensorName, text, 0)
	w.b.PrependUOffsetTSlot(tensorQuantization, parameters, 0)
	w.tensors = append(w.tensors, w.b.EndObject())
	return len(w.tensors) - 1
}

func (w *writer) constant(name string, e elem, shape []int, data []byte, q *quantization) int {
	return w.tensor(name, e, shape, w.buffer(data), q)
}

// A choice is a field of an operator's options.
type choice struct {
	slot  int
	value any
}

// operator writes an operator. Its options are number union of their union; 0 is for
// none.
func (w *writer) operator(o operatorVersion, in, out []int, union byte, options ...choice) {
	at := slices.Index(w.codes, o)
	if at < 0 {
		at = len(w.codes)
		w.codes = append(w.codes, o)
	}
	var table flatbuffers.UOffsetT
	if union != 0 {
		w.b.StartObject(8)
		for _, c := range options {
			switch v := c.value.(type) {
			case byte:
				w.b.PrependByteSlot(c.slot, v, 0)
			case int:
				w.b.PrependInt32Slot(c.slot, int32(v), 0)
			case float32:
				w.b.PrependFloat32Slot(c.slot, v, 0)
			}
		}
		table = w.b.EndObject()
	}
	inputs, outputs := w.ints(in), w.ints(out)
	w.b.StartObject(5)
	w.b.PrependUint32Slot(operatorCode, uint32(at), 0)
	w.b.PrependUOffsetTSlot(operatorInputs, inputs, 0)
	w.b.PrependUOffsetTSlot(operatorOutputs, outputs, 0)
	w.b.PrependByteSlot(operatorOptType, union, 0)
	w.b.PrependUOffsetTSlot(operatorOptions, table, 0)
	w.operators = append(w.operators, w.b.EndObject())
}

// entry adds to the model's metadata.
func (w *writer) entry(name string, data []byte) {
	buffer := w.buffer(data)
	text := w.b.CreateString(name)
	w.b.StartObject(2)
	w.b.PrependUOffsetTSlot(metadataName, text, 0)
	w.b.PrependUint32Slot(metadataBuffer, uint32(buffer), 0)
	w.metadata = append(w.metadata, w.b.EndObject())
}

// finish returns the model whose subgraph has these two tensors for input and output.
func (w *writer) finish(description string, input, output named) []byte {
	b := w.b
	tensors, operators, buffers, metadata := w.tables(w.tensors), w.tables(w.operators), w.tables(w.buffers), w.tables(w.metadata)
	inputs, outputs, name := w.ints([]int{input.tensor}), w.ints([]int{output.tensor}), b.CreateString("main")
	b.StartObject(5)
	b.PrependUOffsetTSlot(graphTensors, tensors, 0)
	b.PrependUOffsetTSlot(graphInputs, inputs, 0)
	b.PrependUOffsetTSlot(graphOutputs, outputs, 0)
	b.PrependUOffsetTSlot(graphOperators, operators, 0)
	b.PrependUOffsetTSlot(graphName, name, 0)
	subgraphs := w.tables([]flatbuffers.UOffsetT{b.EndObject()})

	var list []flatbuffers.UOffsetT
	for _, c := range w.codes {
		b.StartObject(4)
		b.PrependByteSlot(codeDeprecated, byte(min(c.code, opPlaceholder)), 0)
		b.PrependInt32Slot(codeVersion, c.version, 1)
		b.PrependInt32Slot(codeBuiltin, int32(c.code), 0)
		list = append(list, b.EndObject())
	}
	codes := w.tables(list)

	ins, outs := w.tables([]flatbuffers.UOffsetT{w.mapped(input)}), w.tables([]flatbuffers.UOffsetT{w.mapped(output)})
	key := b.CreateString("serving_default")
	b.StartObject(5)
	b.PrependUOffsetTSlot(signatureInputs, ins, 0)
	b.PrependUOffsetTSlot(signatureOutputs, outs, 0)
	b.PrependUOffsetTSlot(signatureKey, key, 0)
	signatures := w.tables([]flatbuffers.UOffsetT{b.EndObject()})

	text := b.CreateString(description)
	b.StartObject(8)
	b.PrependUint32Slot(modelVersion, 3, 0)
	b.PrependUOffsetTSlot(modelCodes, codes, 0)
	b.PrependUOffsetTSlot(modelSubgraphs, subgraphs, 0)
	b.PrependUOffsetTSlot(modelDescription, text, 0)
	b.PrependUOffsetTSlot(modelBuffers, buffers, 0)
	b.PrependUOffsetTSlot(modelMetadata, metadata, 0)
	b.PrependUOffsetTSlot(modelSignatures, signatures, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte(identifier))
	return b.FinishedBytes()
}

// A named tensor is one that a signature names.
type named struct {
	name   string
	tensor int
}

// mapped is an entry of a signature.
func (w *writer) mapped(n named) flatbuffers.UOffsetT {
	text := w.b.CreateString(n.name)
	w.b.StartObject(2)
	w.b.PrependUOffsetTSlot(mapName, text, 0)
	w.b.PrependUint32Slot(mapTensor, uint32(n.tensor), 0)
	return w.b.EndObject()
}

func (w *writer) tables(list []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	w.b.StartVector(4, len(list), 4)
	for _, t := range slices.Backward(list) {
		w.b.PrependUOffsetT(t)
	}
	return w.b.EndVector(len(list))
}

func (w *writer) ints(list []int) flatbuffers.UOffsetT {
	w.b.StartVector(4, len(list), 4)
	for _, v := range slices.Backward(list) {
		w.b.PrependInt32(int32(v))
	}
	return w.b.EndVector(len(list))
}

func (w *writer) floats(list []float32) flatbuffers.UOffsetT {
	w.b.StartVector(4, len(list), 4)
	for _, v := range slices.Backward(list) {
		w.b.PrependFloat32(v)
	}
	return w.b.EndVector(len(list))
}

// Bytes of constants.

func floatBytes(list []float32) []byte {
	b := make([]byte, 0, 4*len(list))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func intBytes[T int | int32](list []T) []byte {
	b := make([]byte, 0, 4*len(list))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}
