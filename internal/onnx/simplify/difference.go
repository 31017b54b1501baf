package simplify

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// Difference runs both graphs, which have one input of the same kind, on the same
// random data and returns the largest absolute difference of an output, and the
// largest absolute output of a. Axes without a fixed size get 1 image of 64x64. Of a
// batch of fixed size one image is run, if the graph can run one.
func Difference(a, b *ir.Proto, seed uint64) (difference, largest float64, err error) {
	inputs := ir.FreeInputs(a)
	if len(inputs) != 1 {
		return 0, 0, fault.Unsupportedf("the graph has %d inputs, not one", len(inputs))
	}
	t := ops.Declared(inputs[0])
	var shape []int
	for i, d := range t.Shape {
		switch {
		case d.Known():
			shape = append(shape, int(d.N))
		case i == 0:
			shape = append(shape, 1)
		default:
			shape = append(shape, 64)
		}
	}
	if len(shape) == 4 && shape[0] > 1 {
		one := append([]int{1}, shape[1:]...)
		if difference, largest, err = compare(a, b, t.Elem, one, seed); err == nil {
			return difference, largest, nil
		}
	}
	return compare(a, b, t.Elem, shape, seed)
}

// compare is Difference for an input of a type and shape.
func compare(a, b *ir.Proto, elem ir.DataType, shape []int, seed uint64) (difference, largest float64, err error) {
	x, err := ops.NewValue(elem, shape...)
	if err != nil {
		return 0, 0, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	data := make([]float32, len(x.Data))
	for i := range data {
		if elem == pb.TensorProto_UINT8 {
			data[i] = float32(rng.IntN(256))
		} else {
			data[i] = float32(rng.NormFloat64())
		}
	}
	before, err := ops.Run(a, shape, data)
	if err != nil {
		return 0, 0, err
	}
	after, err := ops.Run(b, shape, data)
	if err != nil {
		return 0, 0, err
	}
	for i := range before {
		if i >= len(after) || len(after[i]) != len(before[i]) {
			return 0, 0, fmt.Errorf("the outputs differ in shape")
		}
		for j, v := range before[i] {
			d := math.Abs(float64(v) - float64(after[i][j]))
			if !(d <= difference) { // also for NaN
				difference = d
			}
			largest = max(largest, math.Abs(float64(v)))
		}
	}
	return difference, largest, nil
}
