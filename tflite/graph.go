package tflite

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/half"
)

// Bounds on what a file may claim: a MobileNetV2 of 17 blocks, unfolded, has 300
// operators and 500 tensors.
const (
	maxTensors   = 1 << 16
	maxOperators = 1 << 14
	maxOperands  = 64
	maxDims      = 8
	maxEntries   = 1 << 10
)

// A graph is what a file holds: the operators of its first subgraph in the order that
// they run.
type graph struct {
	tensors         []tensor
	operators       []operator
	inputs, outputs []int // of tensors
	metadata        map[string][]byte
	left            int // how many values may still be made of constants: see take
	scales          int // and of scales and zero points, which take 4 and 8 bytes each in a file
}

// A tensor is an activation, or a constant where data is set.
type tensor struct {
	name         []byte // may be as long as the file: see fault.Shown
	shape        []int
	elem         elem
	data         []byte
	scale        []float32
	zero         []int64
	axis         int
	quantization string // what is wrong with it, "" for nothing
	unread       string // why data is not here though there is some
	broken       bool   // what is wrong can't be right: it is not only something that isn't read
}

// An operator has -1 for an operand that it does without.
type operator struct {
	at              int // in the graph
	code            builtin
	custom          string
	inputs, outputs []int
	options         table
}

func (o *operator) String() string {
	if o.code == opCustom {
		return "custom operator " + fault.Shown(o.custom)
	}
	return o.code.String()
}

// Match reports whether a file begins as a LiteRT model does.
func Match(head []byte) bool { return len(head) >= 8 && string(head[4:8]) == identifier }

// parse reads a file's graph. Data is kept.
func parse(data []byte) (*graph, error) {
	if !Match(data) {
		return nil, fault.At(0, "not a LiteRT model: %q is not at byte 4", identifier)
	}
	w := &wire{data: data}
	m := w.root()
	subgraphs := m.tables(modelSubgraphs, maxEntries, "subgraphs")
	buffers := m.tables(modelBuffers, 2*maxTensors, "buffers")
	codes := m.tables(modelCodes, maxOperators, "operator codes")
	switch version := m.i32(modelVersion, 0); {
	case w.err != nil:
		return nil, w.err
	case version != 3:
		return nil, fault.Unsupportedf("version %d of the schema: want 3", version)
	case len(subgraphs) == 0:
		return nil, fault.Brokenf("no subgraph")
	}
	g := &graph{metadata: map[string][]byte{}, left: 4*len(data) + 1<<20, scales: len(data) / 2}
	for _, e := range m.tables(modelMetadata, maxEntries, "metadata") {
		name := e.string(metadataName, "metadata")
		if _, ok := g.metadata[name]; !ok {
			g.metadata[name], _ = contents(buffers, e.i32(metadataBuffer, 0))
		}
	}
	s := subgraphs[0]
	for _, t := range s.tables(graphTensors, maxTensors, "tensors") {
		g.tensors = append(g.tensors, g.tensor(t, buffers))
	}
	for i, t := range s.tables(graphOperators, maxOperators, "operators") {
		o := operator{at: i, options: t.table(operatorOptions, "options")}
		o.inputs, o.outputs = t.ints(operatorInputs, maxOperands, "inputs of an operator"), t.ints(operatorOutputs, maxOperands, "outputs of an operator")
		at := uint32(t.i32(operatorCode, 0))
		if w.err == nil && uint64(at) >= uint64(len(codes)) {
			return nil, wrong(i, "", "operator code %d of %d", at, len(codes))
		}
		if w.err == nil {
			c := codes[at]
			o.code = max(builtin(int8(c.u8(codeDeprecated))), builtin(c.i32(codeBuiltin, 0)))
			o.custom = c.string(codeCustom, "custom operator")
		}
		g.operators = append(g.operators, o)
	}
	g.inputs, g.outputs = s.ints(graphInputs, maxOperands, "inputs"), s.ints(graphOutputs, maxOperands, "outputs")
	if w.err != nil {
		return nil, w.err
	}
	return g, g.check()
}

// wrong is an error about a broken operator.
func wrong(at int, name, format string, args ...any) error {
	e := fault.Brokenf(format, args...)
	e.Place = fmt.Sprintf("operator %d", at)
	if name != "" {
		e.Place += fmt.Sprintf(" (%s)", name)
	}
	return e
}

// check wants operands that are there.
func (g *graph) check() error {
	there := func(list []int, optional bool) (int, bool) {
		for _, t := range list {
			if t >= len(g.tensors) || t < 0 && !(optional && t == -1) {
				return t, false
			}
		}
		return 0, true
	}
	for _, list := range [][]int{g.inputs, g.outputs} {
		if t, ok := there(list, false); !ok {
			return fault.Brokenf("the graph's tensor %d of %d", t, len(g.tensors))
		}
	}
	for _, o := range g.operators {
		if t, ok := there(o.inputs, true); !ok {
			return wrong(o.at, o.String(), "its input is tensor %d of %d", t, len(g.tensors))
		}
		if t, ok := there(o.outputs, false); !ok {
			return wrong(o.at, o.String(), "its output is tensor %d of %d", t, len(g.tensors))
		}
	}
	return nil
}

// contents is what a buffer holds, nil for nothing.
func contents(buffers []table, at int32) (data []byte, unread string) {
	if at < 0 || int(at) >= len(buffers) {
		return nil, fmt.Sprintf("its values are in buffer %d of %d", at, len(buffers))
	}
	b := buffers[at]
	if b.u64(bufferOffset) > 1 {
		return nil, "its values lie behind the flatbuffer, as those of models above 2 GB do"
	}
	return b.bytes(bufferData, "buffer"), ""
}

func (g *graph) tensor(t table, buffers []table) tensor {
	x := tensor{
		name: t.bytes(tensorName, "tensor's name"), shape: t.ints(tensorShape, maxDims, "tensor's dimensions"),
		elem: elem(t.u8(tensorElem)),
	}
	x.data, x.unread = contents(buffers, t.i32(tensorBuffer, 0))
	switch {
	case t.i32(tensorExternal, 0) != 0:
		x.unread = "its values lie in another file"
	case t.has(tensorSparsity):
		x.unread = "its values are sparse"
	}
	q := t.table(tensorQuantization, "quantisation")
	scales, _ := q.vector(quantScale, 4, "scales")
	zeros, _ := q.vector(quantZero, 8, "zero points")
	x.axis = int(q.i32(quantAxis, 0))
	switch n := len(scales) / 4; {
	case q.u8(quantDetails) != 0:
		x.quantization = "its quantisation is of a kind of its own"
	case n == 0 && x.elem.bytes():
		x.quantization = "bytes without a scale"
	case n > 1 && (x.axis < 0 || x.axis >= len(x.shape) || x.shape[x.axis] != n):
		x.quantization = fmt.Sprintf("%d scales on axis %d of %v", n, x.axis, x.shape)
	case len(zeros) != 8 && len(zeros)/8 != n && n > 0:
		x.quantization = fmt.Sprintf("%d zero points for %d scales", len(zeros)/8, n)
	case n+len(zeros)/8 > g.scales:
		x.quantization = "more scales than are in the file"
	default:
		g.scales -= n + len(zeros)/8
	}
	x.broken = x.quantization != "" && len(scales) > 0 && q.u8(quantDetails) == 0
	if x.quantization == "" {
		x.scale, x.zero = float32s(scales), make([]int64, len(zeros)/8)
		for i := range x.zero {
			x.zero[i] = int64(binary.LittleEndian.Uint64(zeros[8*i:]))
		}
		x.quantization = x.wrongQuantization()
		x.broken = x.quantization != ""
	}
	return x
}

// wrongQuantization says which scale or zero point can't be.
func (t *tensor) wrongQuantization() string {
	for _, s := range t.scale {
		if !(s > 0) || math.IsInf(float64(s), 0) || math.IsInf(float64(1/s), 0) {
			return fmt.Sprintf("a scale of %v", s)
		}
	}
	low, high := int64(math.MinInt32), int64(math.MaxInt32)
	switch t.elem {
	case elemInt8:
		low, high = -128, 127
	case elemUint8:
		low, high = 0, 255
	}
	for _, z := range t.zero {
		if z < low || z > high {
			return fmt.Sprintf("a zero point of %d", z)
		}
	}
	return ""
}

// elements is how many values a shape has; ok is false where that is more than any
// file holds.
func elements(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// whole says why t is no constant with the values that its shape has, "" if it is.
func (t *tensor) whole() string {
	n, ok := elements(t.shape)
	size, known := sizes[t.elem]
	switch {
	case t.unread != "":
		return t.unread
	case t.data == nil:
		return "it is no constant"
	case !known:
		return fmt.Sprintf("its values are of %v", t.elem)
	case !ok || n*size != len(t.data):
		t.broken = true
		return fmt.Sprintf("%d bytes for %v of %v", len(t.data), t.elem, t.shape)
	}
	return ""
}

// take reports whether n more values may be made of constants. Operators can share
// one, and each wants its own copy, in its own order: all networks want theirs once.
func (g *graph) take(n int) bool {
	if n > g.left {
		return false
	}
	g.left -= n
	return true
}

// floats returns the numbers of a constant, or the reason why there are none.
func (g *graph) floats(at int) (values []float32, reason string) {
	t := &g.tensors[at]
	if reason := t.whole(); reason != "" {
		return nil, reason
	}
	n, _ := elements(t.shape)
	if !g.take(n) {
		return nil, manyCopies
	}
	switch {
	case t.elem == elemFloat32:
		return float32s(t.data), ""
	case t.elem == elemFloat16:
		values = make([]float32, n)
		for i := range values {
			values[i] = half.ToFloat32(binary.LittleEndian.Uint16(t.data[2*i:]))
		}
		return values, ""
	case t.quantization != "":
		return nil, t.quantization
	case len(t.scale) == 0:
		return nil, fmt.Sprintf("its values are of %v", t.elem)
	}
	integers, reason := t.integers()
	if reason != "" {
		return nil, reason
	}
	values = make([]float32, n)
	for i, v := range integers {
		c := t.channel(i)
		values[i] = float32(float64(v) * float64(t.scale[c])) // of int32, once rounded
	}
	return values, ""
}

// channel is which of t's scales is that of its value i.
func (t *tensor) channel(i int) int {
	if len(t.scale) == 1 {
		return 0
	}
	inner, _ := elements(t.shape[t.axis+1:])
	return i / inner % t.shape[t.axis]
}

// integers returns the values of a quantised constant, each minus its zero point. The
// caller has taken them.
func (t *tensor) integers() (values []int64, reason string) {
	values = make([]int64, len(t.data)/max(1, sizes[t.elem]))
	for i := range values {
		switch t.elem {
		case elemInt8:
			values[i] = int64(int8(t.data[i]))
		case elemUint8:
			values[i] = int64(t.data[i])
		case elemInt32:
			values[i] = int64(int32(binary.LittleEndian.Uint32(t.data[4*i:])))
		default:
			return nil, fmt.Sprintf("its values are of %v", t.elem)
		}
		switch len(t.zero) {
		case 0:
		case 1:
			values[i] -= t.zero[0]
		default:
			values[i] -= t.zero[t.channel(i)]
		}
	}
	return values, ""
}

// list returns a constant of a few integers, such as axes; ok is false where it is none.
func (g *graph) list(at int) (values []int, ok bool) {
	if at < 0 || g.tensors[at].whole() != "" || len(g.tensors[at].data) > 8*maxDims*2 {
		return nil, false
	}
	switch t := &g.tensors[at]; t.elem {
	case elemInt32:
		return int32s(t.data), true
	case elemInt64:
		for i := range len(t.data) / 8 {
			v := int64(binary.LittleEndian.Uint64(t.data[8*i:]))
			if v != int64(int32(v)) {
				return nil, false
			}
			values = append(values, int(v))
		}
		return values, true
	}
	return nil, false
}
