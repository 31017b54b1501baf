package ops

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// A Type is what is known of a value before it is computed.
type Type struct {
	Elem   ir.DataType // UNDEFINED if not known
	Shape  []Dim
	Ranked bool // Shape says the number of dimensions
}

// A Dim is the size of an axis: a number, or, if that is negative, what the file
// calls it ("" if nobody knows).
type Dim struct {
	N    int64
	Name string
}

// Unknown is the size of an axis that nobody knows.
var Unknown = Dim{N: -1}

// Known reports whether the size is a number.
func (d Dim) Known() bool { return d.N >= 0 }

func (d Dim) String() string {
	switch {
	case d.Known():
		return fmt.Sprint(d.N)
	case d.Name != "":
		return d.Name
	}
	return "?"
}

func (t Type) String() string {
	if !t.Ranked {
		return fmt.Sprintf("%v[...]", t.Elem)
	}
	text := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		text[i] = d.String()
	}
	return fmt.Sprintf("%v[%s]", t.Elem, strings.Join(text, ","))
}

// Fixed returns the shape as numbers, if all of them are known.
func (t Type) Fixed() ([]int, bool) {
	shape := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		if !d.Known() {
			return nil, false
		}
		shape[i] = int(d.N)
	}
	return shape, t.Ranked
}

// shaped is a type of which the number of dimensions is known.
func shaped(elem ir.DataType, shape ...Dim) Type { return Type{elem, shape, true} }

// maxRank is more dimensions than any tensor has whose shape means something.
const maxRank = 64

func tensorType(t *ir.Tensor) Type {
	v := shaped(ir.DataType(t.DataType))
	if len(t.Dims) > maxRank {
		return Type{Elem: v.Elem}
	}
	for _, n := range t.Dims {
		v.Shape = append(v.Shape, Dim{N: n})
	}
	return v
}

// Declared reads a value_info.
func Declared(v *ir.ValueInfo) Type {
	tensor := v.GetType().GetTensorType()
	if tensor == nil {
		return Type{}
	}
	t := Type{Elem: ir.DataType(tensor.ElemType), Ranked: tensor.Shape != nil}
	if len(tensor.Shape.GetDim()) > maxRank {
		return Type{Elem: t.Elem}
	}
	for _, d := range tensor.Shape.GetDim() {
		switch value := d.Value.(type) {
		case *pb.TensorShapeProto_Dimension_DimValue:
			t.Shape = append(t.Shape, Dim{N: value.DimValue})
		case *pb.TensorShapeProto_Dimension_DimParam:
			t.Shape = append(t.Shape, Dim{N: -1, Name: value.DimParam})
		default:
			t.Shape = append(t.Shape, Unknown)
		}
	}
	return t
}

// Info writes t as a value_info.
func (t Type) Info(name string) *ir.ValueInfo {
	var shape []*pb.TensorShapeProto_Dimension
	for _, d := range t.Shape {
		switch {
		case d.Known():
			shape = append(shape, ir.Fixed(int(d.N)))
		case d.Name != "":
			shape = append(shape, ir.Free(d.Name))
		default:
			shape = append(shape, &pb.TensorShapeProto_Dimension{})
		}
	}
	return ir.NewValueInfo(name, t.Elem, shape...)
}

// Agrees reports whether one value can be both t and u.
func (t Type) Agrees(u Type) bool {
	if t.Elem != 0 && u.Elem != 0 && t.Elem != u.Elem {
		return false
	}
	if !t.Ranked || !u.Ranked {
		return true
	}
	return slices.EqualFunc(t.Shape, u.Shape, func(a, b Dim) bool { return !a.Known() || !b.Known() || a.N == b.N })
}

// At is dimension i of t, unknown if its rank is.
func (t Type) At(i int) Dim {
	if i < 0 || i >= len(t.Shape) {
		return Unknown
	}
	return t.Shape[i]
}
