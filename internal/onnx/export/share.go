package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// shareEqual makes one initialiser of those that are equal; the others become
// Identity nodes before all others, the last one first.
func shareEqual(g *pb.GraphProto) {
	kept := map[string][]*ir.Tensor{} // by shape and the first bytes
	var unique []*ir.Tensor
	var identities []*ir.Node
	for _, t := range g.Initializer {
		key := fmt.Sprint(t.Dims, t.RawData[:min(8, len(t.RawData))])
		same := slices.IndexFunc(kept[key], func(k *ir.Tensor) bool { return bytes.Equal(k.RawData, t.RawData) })
		if same < 0 {
			kept[key] = append(kept[key], t)
			unique = append(unique, t)
			continue
		}
		identities = append(identities, &ir.Node{OpType: "Identity", Input: []string{kept[key][same].Name}, Output: []string{t.Name}})
	}
	slices.Reverse(identities)
	for i, n := range identities {
		n.Name = fmt.Sprintf("Identity_%d", i)
	}
	g.Initializer, g.Node = unique, append(identities, g.Node...)
}

// storeHalf stores initialisers of two and more dimensions as float16, each behind
// a Cast that gives the float32 tensor its name back. Biases and norms, a hundredth
// of the bytes, stay as they are.
func storeHalf(g *pb.GraphProto) {
	var casts []*ir.Node
	for i, t := range g.Initializer {
		if len(t.Dims) < 2 || t.Name == "preprocess.mean" || t.Name == "preprocess.std" {
			continue
		}
		values := make([]float32, len(t.RawData)/4)
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*j:]))
		}
		h := ir.HalfTensor(t.Name+".half", values)
		h.Dims = t.Dims
		g.Initializer[i] = h
		casts = append(casts, &ir.Node{
			OpType: "Cast", Name: t.Name + "/Cast", Input: []string{h.Name}, Output: []string{t.Name},
			Attribute: []*ir.Attribute{ir.IntOf("to", int64(pb.TensorProto_FLOAT))},
		})
	}
	g.Node = append(casts, g.Node...)
}
