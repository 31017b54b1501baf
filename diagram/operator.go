package diagram

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

var (
	activation    = group{"activation", "#9a3412", "#fbe6dc"}
	normalisation = group{"normalisation", "#4d5b00", "#eef0d5"}
	shaping       = group{"shaping", "#7a5200", "#f6ebd3"}
	arithmetic    = group{"arithmetic", "#37474f", "#e3e8eb"}
	quantisation  = group{"quantisation", "#4b3f9b", "#e7e4f6"}
	other         = group{"other", "#555555", "#eeeeee"}
)

// groupOfOp is the family of an operator. Those of the quantised form belong
// with their float counterparts.
func groupOfOp(op string) group {
	switch strings.TrimPrefix(op, "QLinear") {
	case "Conv", "ConvTranspose", "ConvInteger", "FusedConv":
		return convolution
	case "Gemm", "QGemm", "MatMul", "MatMulInteger":
		return linear
	case "Clip", "Relu", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softmax", "LogSoftmax", "Erf", "Gelu":
		return activation
	case "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "Dropout":
		return normalisation
	case "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", "ReduceMax":
		return pooling
	case "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Shape", "Pad", "Expand", "Resize", "Identity", "Cast":
		return shaping
	case "Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Sqrt", "Neg", "Sum":
		return arithmetic
	case "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear":
		return quantisation
	}
	return other
}

// maxLines bounds what is written into a box.
const maxLines = 24

// describe lists a node's attributes and the constants it takes, each as a name
// and a value.
func (b *builder) describe(n *ir.Node) []string {
	var lines []string
	if !ir.Standard(n.Domain) {
		lines = append(lines, "domain "+n.Domain)
	}
	for _, a := range n.Attribute {
		if v := attribute(a); !isDefault(n.OpType, a.Name, v) {
			lines = append(lines, a.Name+" "+v)
		}
	}
	for i, in := range n.Input {
		if t := b.Constants[in]; t != nil {
			lines = append(lines, inputName(n.OpType, i)+" "+constant(t))
		} else if q := b.whole[in]; q != nil {
			name := inputName(n.OpType, i)
			t := b.Constants[q.Input[0]]
			lines = append(lines, name+" "+constant(t)+" "+typeName(ir.DataType(t.DataType)), name+"_scale "+constant(b.Constants[q.Input[1]]))
		}
	}
	if len(lines) > maxLines {
		lines = append(lines[:maxLines-1], fmt.Sprintf("… %d more", len(lines)-maxLines+1))
	}
	return lines
}

// attribute writes the value of a: sizes as 3×3, other lists with spaces.
func attribute(a *ir.Attribute) string {
	switch {
	case a.F != nil:
		return short(a.GetF())
	case a.I != nil:
		return fmt.Sprint(a.GetI())
	case a.S != nil:
		return string(a.GetS())
	case a.T != nil:
		return constant(a.T)
	case a.G != nil:
		return fmt.Sprintf("‹graph of %d nodes›", len(a.G.Node))
	case len(a.Ints) > 0:
		switch a.Name {
		case "kernel_shape", "strides", "dilations", "output_shape":
			return list(a.Ints, "×")
		}
		return list(a.Ints, " ")
	case len(a.Floats) > 0:
		return list(a.Floats, " ")
	case len(a.Strings) > 0:
		return fmt.Sprintf("‹%d strings›", len(a.Strings))
	}
	return "‹›"
}

// defaults are the values that operators have where an attribute is absent
// (onnx/docs/Operators.md), by the attribute's name if it means the same
// everywhere.
var defaults = map[string]string{
	"group": "1", "auto_pad": "NOTSET", "ceil_mode": "0", "storage_order": "0", "count_include_pad": "0",
	"BatchNormalization.epsilon": "1e-05", "BatchNormalization.momentum": "0.9", "training_mode": "0",
	"Flatten.axis": "1", "Gemm.alpha": "1", "Gemm.beta": "1", "Gemm.transA": "0", "Gemm.transB": "0", "allowzero": "0",
}

func isDefault(op, name, value string) bool {
	switch name {
	case "strides", "dilations":
		return strings.Trim(value, "1×") == ""
	case "pads":
		return strings.Trim(value, "0 ") == ""
	}
	return defaults[name] == value || defaults[op+"."+name] == value
}

// inputNames are the operators' inputs as onnx/docs/Operators.md calls them.
var inputNames = map[string]string{
	"Conv": "X W B", "ConvTranspose": "X W B", "Gemm": "A B C", "MatMul": "A B",
	"BatchNormalization": "X scale B mean var", "PRelu": "X slope",
	"Clip": "input min max", "Dropout": "data ratio training_mode",
	"Add": "A B", "Sub": "A B", "Mul": "A B", "Div": "A B", "Pow": "X Y",
	"Reshape": "data shape", "Unsqueeze": "data axes", "Squeeze": "data axes", "ReduceMean": "data axes",
	"Transpose": "data", "Flatten": "input", "Gather": "data indices", "Slice": "data starts ends axes steps", "Pad": "data pads value axes", "Expand": "input shape",
	"QuantizeLinear": "x y_scale y_zero_point", "DequantizeLinear": "x x_scale x_zero_point",
	"QLinearConv":              "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B",
	"QGemm":                    "A a_scale a_zero_point B b_scale b_zero_point C y_scale y_zero_point",
	"QLinearMatMul":            "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point",
	"QLinearAdd":               "A A_scale A_zero_point B B_scale B_zero_point C_scale C_zero_point",
	"QLinearGlobalAveragePool": "X x_scale x_zero_point y_scale y_zero_point",
}

func inputName(op string, i int) string {
	names := strings.Fields(inputNames[op])
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("input%d", i)
}

// Of a constant, up to shown values are written out; of a list, up to longList.
const (
	shown    = 4
	longList = 8
)

// constant writes a tensor: a few numbers as they are, more as their shape.
func constant(t *ir.Tensor) string {
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || d > shown || n > shown {
			n = shown + 1
			break
		}
		n *= d
	}
	if n >= 1 && n <= shown && len(t.Dims) <= 1 {
		if v, err := ir.Ints(t); err == nil {
			return list(v, " ")
		}
		if v, err := ir.Floats(t); err == nil {
			return list(v, " ")
		}
	}
	return "‹" + list(t.Dims, "×") + "›" + between(t)
}

// between writes what the scales of channels lie between: positive numbers in one
// dimension, of which a box has no room for all.
func between(t *ir.Tensor) string {
	if len(t.Dims) != 1 || !strings.HasSuffix(t.Name, "scale") {
		return ""
	}
	v, err := ir.Floats(t)
	if err != nil || len(v) == 0 {
		return ""
	}
	return " " + short(slices.Min(v)) + " to " + short(slices.Max(v))
}

// list writes the first values, up to longList.
func list[T int64 | float32](v []T, separator string) string {
	if len(v) > longList {
		return join(v[:longList], separator) + separator + "…"
	}
	return join(v, separator)
}

func join[T int64 | float32](v []T, separator string) string {
	words := make([]string, len(v))
	for i, x := range v {
		words[i] = short(x)
	}
	return strings.Join(words, separator)
}

// short writes integers in full and other numbers to four digits.
func short[T int64 | float32](v T) string {
	if f, ok := any(v).(float32); ok {
		return fmt.Sprintf("%.4g", f)
	}
	return fmt.Sprint(v)
}
