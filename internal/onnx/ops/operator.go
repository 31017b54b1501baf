package ops

import (
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// An operator is what this package knows of one of ONNX's operators: those that
// MobileNetV2 graphs consist of, from any exporter (onnx/docs/Operators.md and
// Changelog.md; for com.microsoft, ONNX Runtime's ContribOperators.md).
type operator struct {
	versions []Version // ascending
	shapes   func(*call) ([]Type, error)
	run      func(*call) ([]*Value, error)
}

// A Version is an operator as it is from an opset on. Attributes are listed as
// "name:type", with ! behind those that are required; the types are i, f, s, t and
// g for int, float, string, tensor and graph, with s behind for lists of them.
type Version struct {
	since                int64
	MinInputs, MaxInputs int
	MaxOutputs           int
	attributes           string
}

// Many is the MaxInputs of operators that take any number.
const Many = 1 << 30

const (
	convAttributes  = "auto_pad:s dilations:is group:i kernel_shape:is pads:is strides:is"
	poolAttributes  = "auto_pad:s kernel_shape:is! pads:is strides:is"
	constAttributes = "sparse_value:x value:t value_float:f value_floats:fs value_int:i value_ints:is value_string:s value_strings:ss"
)

// operators by domain and type; the standard domain is "".
var operators map[string]operator

func init() { // not a literal: the functions in it look operators up
	arithmetic := []Version{{7, 2, 2, 1, ""}}
	extremum := []Version{{8, 1, Many, 1, ""}}
	operators = map[string]operator{
		"Add":   {arithmetic, shapeBroadcast, elementwise(func(a, b float64) float64 { return a + b })},
		"Sub":   {arithmetic, shapeBroadcast, elementwise(func(a, b float64) float64 { return a - b })},
		"Mul":   {arithmetic, shapeBroadcast, elementwise(func(a, b float64) float64 { return a * b })},
		"Div":   {arithmetic, shapeBroadcast, elementwise(func(a, b float64) float64 { return a / b })},
		"Min":   {extremum, shapeBroadcast, elementwise(lesser)},
		"Max":   {extremum, shapeBroadcast, elementwise(greater)},
		"Sum":   {extremum, shapeBroadcast, elementwise(func(a, b float64) float64 { return a + b })},
		"Clip":  {[]Version{{6, 1, 1, 1, "max:f min:f"}, {11, 1, 3, 1, ""}}, shapeSame, runClip},
		"Relu":  {[]Version{{6, 1, 1, 1, ""}}, shapeSame, runRelu},
		"Conv":  {[]Version{{1, 2, 3, 1, convAttributes}}, shapeConv, runConv},
		"Gemm":  {[]Version{{7, 3, 3, 1, "alpha:f beta:f transA:i transB:i"}, {11, 2, 3, 1, "alpha:f beta:f transA:i transB:i"}}, shapeGemm, runGemm},
		"Cast":  {[]Version{{6, 1, 1, 1, "to:i!"}, {19, 1, 1, 1, "saturate:i to:i!"}, {24, 1, 1, 1, "round_mode:s saturate:i to:i!"}}, shapeCast, runCast},
		"Shape": {[]Version{{1, 1, 1, 1, ""}, {15, 1, 1, 1, "end:i start:i"}}, shapeShape, runShape},

		"BatchNormalization": {[]Version{{7, 5, 5, 5, "epsilon:f momentum:f spatial:i"}, {9, 5, 5, 5, "epsilon:f momentum:f"}, {14, 5, 5, 3, "epsilon:f momentum:f training_mode:i"}}, shapeNorm, runNorm},
		"Dropout":            {[]Version{{7, 1, 1, 2, "ratio:f"}, {12, 1, 3, 2, "seed:i"}}, shapeDropout, runDropout},
		"Sigmoid":            {[]Version{{6, 1, 1, 1, ""}}, shapeSame, runSigmoid},
		"LogSoftmax":         {[]Version{{1, 1, 1, 1, "axis:i"}}, shapeSame, runLogSoftmax},
		"Softmax":            {[]Version{{1, 1, 1, 1, "axis:i"}}, shapeSame, runSoftmax},
		"Identity":           {[]Version{{1, 1, 1, 1, ""}}, shapeSame, runIdentity},
		"Constant":           {[]Version{{1, 0, 0, 1, "value:t!"}, {11, 0, 0, 1, "sparse_value:x value:t"}, {12, 0, 0, 1, constAttributes}}, shapeConstant, runConstant},

		"GlobalAveragePool": {[]Version{{1, 1, 1, 1, ""}}, shapePool, runPool},
		"AveragePool": {[]Version{
			{1, 1, 1, 1, poolAttributes}, {7, 1, 1, 1, poolAttributes + " count_include_pad:i"},
			{10, 1, 1, 1, poolAttributes + " ceil_mode:i count_include_pad:i"},
			{19, 1, 1, 1, poolAttributes + " ceil_mode:i count_include_pad:i dilations:is"},
		}, shapeAverage, runAverage},
		"ArgMax":     {[]Version{{1, 1, 1, 1, "axis:i keepdims:i"}, {12, 1, 1, 1, "axis:i keepdims:i select_last_index:i"}}, shapeArgMax, runArgMax},
		"TopK":       {[]Version{{10, 2, 2, 2, "axis:i"}, {11, 2, 2, 2, "axis:i largest:i sorted:i"}}, shapeTopK, runTopK},
		"ReduceMean": {[]Version{{1, 1, 1, 1, "axes:is keepdims:i"}, {18, 1, 2, 1, "keepdims:i noop_with_empty_axes:i"}}, shapeReduce, runReduce},

		"Flatten":   {[]Version{{1, 1, 1, 1, "axis:i"}}, shapeFlatten, runReshaped},
		"Reshape":   {[]Version{{5, 2, 2, 1, ""}, {14, 2, 2, 1, "allowzero:i"}}, shapeReshape, runReshaped},
		"Squeeze":   {[]Version{{1, 1, 1, 1, "axes:is"}, {13, 1, 2, 1, ""}}, shapeSqueeze, runReshaped},
		"Unsqueeze": {[]Version{{1, 1, 1, 1, "axes:is!"}, {13, 2, 2, 1, ""}}, shapeUnsqueeze, runReshaped},
		"Transpose": {[]Version{{1, 1, 1, 1, "perm:is"}}, shapeTranspose, runTranspose},
		"Concat":    {[]Version{{4, 1, Many, 1, "axis:i!"}}, shapeConcat, runConcat},
		"Gather":    {[]Version{{1, 2, 2, 1, "axis:i"}}, shapeGather, runGather},
		"Slice":     {[]Version{{1, 1, 1, 1, "axes:is ends:is! starts:is!"}, {10, 3, 5, 1, ""}}, shapeSlices, runSlices},
		"Pad":       {[]Version{{2, 1, 1, 1, "mode:s pads:is! value:f"}, {11, 2, 3, 1, "mode:s"}, {18, 2, 4, 1, "mode:s"}}, shapePad, runPad},
		"MatMul":    {[]Version{{1, 2, 2, 1, ""}}, shapeMatMul, runMatMul},

		"QuantizeLinear":   {[]Version{{10, 2, 3, 1, ""}, {13, 2, 3, 1, "axis:i"}, {19, 2, 3, 1, "axis:i saturate:i"}, {21, 2, 3, 1, "axis:i block_size:i output_dtype:i saturate:i"}, {23, 2, 3, 1, "axis:i block_size:i output_dtype:i precision:i saturate:i"}}, shapeQuantize, runQuantize},
		"DequantizeLinear": {[]Version{{10, 2, 3, 1, ""}, {13, 2, 3, 1, "axis:i"}, {21, 2, 3, 1, "axis:i block_size:i"}, {23, 2, 3, 1, "axis:i block_size:i output_dtype:i"}}, shapeDequantize, runDequantize},
		"QLinearConv":      {[]Version{{10, 8, 9, 1, convAttributes}}, shapeQConv, runQConv},
		"QLinearMatMul":    {[]Version{{10, 8, 8, 1, ""}}, shapeQMatMul, runQMatMul},

		"DynamicQuantizeLinear": {[]Version{{11, 1, 1, 3, ""}}, shapeDynamicQuantize, runDynamicQuantize},
		"ConvInteger":           {[]Version{{10, 2, 4, 1, convAttributes}}, shapeConvInteger, runConvInteger},
		"MatMulInteger":         {[]Version{{10, 2, 4, 1, ""}}, shapeMatMulInteger, runMatMulInteger},

		"com.microsoft.FusedConv":                {[]Version{{1, 2, 4, 1, convAttributes + " activation:s activation_params:fs"}}, shapeFusedConv, runFusedConv},
		"com.microsoft.QGemm":                    {[]Version{{1, 6, 9, 1, "alpha:f transA:i transB:i"}}, shapeQGemm, runQGemm},
		"com.microsoft.QLinearAdd":               {[]Version{{1, 7, 8, 1, ""}}, shapeQAdd, runQAdd},
		"com.microsoft.QLinearGlobalAveragePool": {[]Version{{1, 5, 5, 1, "channels_last:i"}}, shapeQPool, runQPool},
	}
}

// NewestOpset is the last version of the standard operators that the table was
// compared with (onnx 1.23). A later one may have changed any of them.
const NewestOpset = 28

// find returns the operator of n, if it is known.
func find(n *ir.Node) (operator, bool) {
	name := n.OpType
	if !ir.Standard(n.Domain) {
		name = n.Domain + "." + n.OpType
	}
	op, ok := operators[name]
	return op, ok
}

// VersionOf returns what n's operator takes in an opset; false if it is not known,
// or came later.
func VersionOf(n *ir.Node, opset int64) (Version, bool) {
	op, _ := find(n)
	return op.at(n.Domain, opset)
}

// at returns the Version of op that an opset has. Operators of other domains have
// one version.
func (op operator) at(domain string, opset int64) (v Version, ok bool) {
	for _, candidate := range op.versions {
		if candidate.since <= opset || !ir.Standard(domain) {
			v, ok = candidate, true
		}
	}
	return v, ok
}

// attributeTypes are the letters of Version.attributes.
var attributeTypes = map[string]pb.AttributeProto_AttributeType{
	"i": pb.AttributeProto_INT, "f": pb.AttributeProto_FLOAT, "s": pb.AttributeProto_STRING,
	"t": pb.AttributeProto_TENSOR, "x": pb.AttributeProto_SPARSE_TENSOR,
	"is": pb.AttributeProto_INTS, "fs": pb.AttributeProto_FLOATS, "ss": pb.AttributeProto_STRINGS,
}

// An AttributeSpec is one entry of Version.attributes.
type AttributeSpec struct {
	Name     string
	Type     pb.AttributeProto_AttributeType
	Required bool
}

// Specs lists the attributes of v.
func (v Version) Specs() []AttributeSpec {
	var Specs []AttributeSpec
	for _, field := range strings.Fields(v.attributes) {
		name, typ, _ := strings.Cut(field, ":")
		short, required := strings.CutSuffix(typ, "!")
		Specs = append(Specs, AttributeSpec{name, attributeTypes[short], required})
	}
	return Specs
}
