package onnx

import (
	"strings"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// An operator is what this package knows of one of ONNX's operators: those that
// MobileNetV2 graphs consist of, from any exporter (onnx/docs/Operators.md and
// Changelog.md; for com.microsoft, ONNX Runtime's ContribOperators.md).
type operator struct {
	versions []version // ascending
	infer    func(*call) ([]valueType, error)
	run      func(*call) ([]*value, error)
}

// A version is an operator as it is from an opset on. Attributes are listed as
// "name:type", with ! behind those that are required; the types are i, f, s, t and
// g for int, float, string, tensor and graph, with s behind for lists of them.
type version struct {
	since               int64
	minInputs, maxInput int
	maxOutputs          int
	attributes          string
}

const many = 1 << 30

const (
	convAttributes  = "auto_pad:s dilations:is group:i kernel_shape:is pads:is strides:is"
	constAttributes = "sparse_value:x value:t value_float:f value_floats:fs value_int:i value_ints:is value_string:s value_strings:ss"
)

// operators by domain and type; the standard domain is "".
var operators map[string]operator

func init() { // not a literal: the functions in it look operators up
	arithmetic := []version{{7, 2, 2, 1, ""}}
	extremum := []version{{8, 1, many, 1, ""}}
	operators = map[string]operator{
		"Add":   {arithmetic, inferBroadcast, elementwise(func(a, b float64) float64 { return a + b })},
		"Sub":   {arithmetic, inferBroadcast, elementwise(func(a, b float64) float64 { return a - b })},
		"Mul":   {arithmetic, inferBroadcast, elementwise(func(a, b float64) float64 { return a * b })},
		"Div":   {arithmetic, inferBroadcast, elementwise(func(a, b float64) float64 { return a / b })},
		"Min":   {extremum, inferBroadcast, elementwise(lesser)},
		"Max":   {extremum, inferBroadcast, elementwise(greater)},
		"Clip":  {[]version{{6, 1, 1, 1, "max:f min:f"}, {11, 1, 3, 1, ""}}, inferSame, runClip},
		"Relu":  {[]version{{6, 1, 1, 1, ""}}, inferSame, runRelu},
		"Conv":  {[]version{{1, 2, 3, 1, convAttributes}}, inferConv, runConv},
		"Gemm":  {[]version{{7, 3, 3, 1, "alpha:f beta:f transA:i transB:i"}, {11, 2, 3, 1, "alpha:f beta:f transA:i transB:i"}}, inferGemm, runGemm},
		"Cast":  {[]version{{6, 1, 1, 1, "to:i!"}, {19, 1, 1, 1, "saturate:i to:i!"}, {24, 1, 1, 1, "round_mode:s saturate:i to:i!"}}, inferCast, runCast},
		"Shape": {[]version{{1, 1, 1, 1, ""}, {15, 1, 1, 1, "end:i start:i"}}, inferShape, runShape},

		"BatchNormalization": {[]version{{7, 5, 5, 5, "epsilon:f momentum:f spatial:i"}, {9, 5, 5, 5, "epsilon:f momentum:f"}, {14, 5, 5, 3, "epsilon:f momentum:f training_mode:i"}}, inferNorm, runNorm},
		"Dropout":            {[]version{{7, 1, 1, 2, "ratio:f"}, {12, 1, 3, 2, "seed:i"}}, inferDropout, runDropout},
		"Softmax":            {[]version{{1, 1, 1, 1, "axis:i"}}, inferSame, runSoftmax},
		"Identity":           {[]version{{1, 1, 1, 1, ""}}, inferSame, runIdentity},
		"Constant":           {[]version{{1, 0, 0, 1, "value:t!"}, {11, 0, 0, 1, "sparse_value:x value:t"}, {12, 0, 0, 1, constAttributes}}, inferConstant, runConstant},

		"GlobalAveragePool": {[]version{{1, 1, 1, 1, ""}}, inferPool, runPool},
		"ReduceMean":        {[]version{{1, 1, 1, 1, "axes:is keepdims:i"}, {18, 1, 2, 1, "keepdims:i noop_with_empty_axes:i"}}, inferReduce, runReduce},

		"Flatten":   {[]version{{1, 1, 1, 1, "axis:i"}}, inferFlatten, runReshaped},
		"Reshape":   {[]version{{5, 2, 2, 1, ""}, {14, 2, 2, 1, "allowzero:i"}}, inferReshape, runReshaped},
		"Squeeze":   {[]version{{1, 1, 1, 1, "axes:is"}, {13, 1, 2, 1, ""}}, inferSqueeze, runReshaped},
		"Unsqueeze": {[]version{{1, 1, 1, 1, "axes:is!"}, {13, 2, 2, 1, ""}}, inferUnsqueeze, runReshaped},
		"Transpose": {[]version{{1, 1, 1, 1, "perm:is"}}, inferTranspose, runTranspose},
		"Concat":    {[]version{{4, 1, many, 1, "axis:i!"}}, inferConcat, runConcat},
		"Gather":    {[]version{{1, 2, 2, 1, "axis:i"}}, inferGather, runGather},
		"Pad":       {[]version{{2, 1, 1, 1, "mode:s pads:is! value:f"}, {11, 2, 3, 1, "mode:s"}, {18, 2, 4, 1, "mode:s"}}, inferPad, runPad},
		"MatMul":    {[]version{{1, 2, 2, 1, ""}}, inferMatMul, runMatMul},

		"QuantizeLinear":   {[]version{{10, 2, 3, 1, ""}, {13, 2, 3, 1, "axis:i"}, {19, 2, 3, 1, "axis:i saturate:i"}, {21, 2, 3, 1, "axis:i block_size:i output_dtype:i saturate:i"}, {23, 2, 3, 1, "axis:i block_size:i output_dtype:i precision:i saturate:i"}}, inferQuantize, runQuantize},
		"DequantizeLinear": {[]version{{10, 2, 3, 1, ""}, {13, 2, 3, 1, "axis:i"}, {21, 2, 3, 1, "axis:i block_size:i"}, {23, 2, 3, 1, "axis:i block_size:i output_dtype:i"}}, inferDequantize, runDequantize},
		"QLinearConv":      {[]version{{10, 8, 9, 1, convAttributes}}, inferQConv, runQConv},
		"QLinearMatMul":    {[]version{{10, 8, 8, 1, ""}}, inferQMatMul, runQMatMul},

		"com.microsoft.QGemm":                    {[]version{{1, 6, 9, 1, "alpha:f transA:i transB:i"}}, inferQGemm, runQGemm},
		"com.microsoft.QLinearAdd":               {[]version{{1, 7, 8, 1, ""}}, inferQAdd, runQAdd},
		"com.microsoft.QLinearGlobalAveragePool": {[]version{{1, 5, 5, 1, "channels_last:i"}}, inferQPool, runQPool},
	}
}

// find returns the operator of n, if it is known.
func find(n *Node) (operator, bool) {
	name := n.OpType
	if !standard(n.Domain) {
		name = n.Domain + "." + n.OpType
	}
	op, ok := operators[name]
	return op, ok
}

// at returns the version of op that an opset has; false if it came later.
func (op operator) at(opset int64) (v version, ok bool) {
	for _, candidate := range op.versions {
		if candidate.since <= opset {
			v, ok = candidate, true
		}
	}
	return v, ok
}

// attributeTypes are the letters of version.attributes.
var attributeTypes = map[string]pb.AttributeProto_AttributeType{
	"i": pb.AttributeProto_INT, "f": pb.AttributeProto_FLOAT, "s": pb.AttributeProto_STRING,
	"t": pb.AttributeProto_TENSOR, "x": pb.AttributeProto_SPARSE_TENSOR,
	"is": pb.AttributeProto_INTS, "fs": pb.AttributeProto_FLOATS, "ss": pb.AttributeProto_STRINGS,
}

// An attributeSpec is one entry of version.attributes.
type attributeSpec struct {
	name     string
	typ      pb.AttributeProto_AttributeType
	required bool
}

func (v version) specs() []attributeSpec {
	var specs []attributeSpec
	for _, field := range strings.Fields(v.attributes) {
		name, typ, _ := strings.Cut(field, ":")
		short, required := strings.CutSuffix(typ, "!")
		specs = append(specs, attributeSpec{name, attributeTypes[short], required})
	}
	return specs
}
