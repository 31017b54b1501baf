// Package simplify makes graphs smaller.
package simplify

import (
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// Simplify returns a smaller graph that computes the same: constants become
// initialisers, what depends on them alone is computed, nodes that pass their input
// on or that nothing uses go, padding moves into the convolution behind it, and so
// does batch normalisation into the convolution before it, unless the graph trains.
// The types and shapes of all values are written into it. float16 and
// 8-bit weights stay so, behind the nodes that widen them.
//
// p is left as it is; tensors are shared with it. It should pass [Check]; nodes of
// unknown operators are kept. [Difference] compares the two.
func Graph(p *ir.Proto) (*ir.Proto, error) {
	s := simplifier{Proto: shallow(p), folder: ops.NewFolder(p), outputs: map[string]bool{}, names: map[string]int{}}
	for _, o := range s.Graph.Output {
		s.outputs[o.Name] = true
	}
	s.collectNames()
	s.constantsToInitialisers()
	for pass, changed := 0, true; changed && pass < maxPasses; pass++ {
		in, err := ops.InferShapes(s.Proto)
		if err != nil {
			return nil, err
		}
		s.types = in.Types
		changed = false
		for _, pass := range []func() bool{s.fold(in), s.dropIdentities, s.mergePads, s.foldNorms} {
			s.Graph.Node = slices.Clone(s.Graph.Node)
			changed = pass() || changed
			s.dropDead()
		}
	}
	in, err := ops.InferShapes(s.Proto)
	if err != nil {
		return nil, err
	}
	for _, n := range s.Graph.Node {
		for _, name := range n.Output {
			if t := in.Types[name]; t.Ranked && t.Elem != 0 && !s.outputs[name] {
				s.Graph.ValueInfo = append(s.Graph.ValueInfo, t.Info(name))
			}
		}
	}
	return s.Proto, nil
}

// maxPasses is many more than any exporter's graph takes, which is two or three.
const maxPasses = 32

// shallow copies p down to its nodes; tensors and attributes are shared. Initialisers
// are no inputs any more, as files of IR version 3 have them.
func shallow(p *ir.Proto) *ir.Proto {
	g := &pb.GraphProto{Name: p.Graph.Name, DocString: p.Graph.DocString, Input: ir.FreeInputs(p), Output: p.Graph.Output}
	g.Initializer = slices.Clone(p.Graph.Initializer)
	for _, n := range p.Graph.Node {
		g.Node = append(g.Node, copyNode(n))
	}
	return &ir.Proto{
		IrVersion: max(4, p.IrVersion), ProducerName: p.ProducerName, ProducerVersion: p.ProducerVersion,
		Domain: p.Domain, ModelVersion: p.ModelVersion, DocString: p.DocString,
		Graph: g, OpsetImport: p.OpsetImport, MetadataProps: p.MetadataProps,
	}
}

func copyNode(n *ir.Node) *ir.Node {
	return &ir.Node{
		Name: n.Name, OpType: n.OpType, Domain: n.Domain, DocString: n.DocString,
		Input: slices.Clone(n.Input), Output: slices.Clone(n.Output), Attribute: slices.Clone(n.Attribute),
	}
}

// A simplifier holds the graph while it shrinks.
type simplifier struct {
	*ir.Proto
	types   map[string]ops.Type
	folder  *ops.Folder     // also for what is folded elsewhere
	outputs map[string]bool // of the graph
	names   map[string]int  // of values: how often one was made anew from each
}

// remove takes out the nodes for which f is true.
func (s *simplifier) remove(f func(*ir.Node) bool) bool {
	before := len(s.Graph.Node)
	s.Graph.Node = slices.DeleteFunc(s.Graph.Node, f)
	return len(s.Graph.Node) < before
}

// addInitialiser makes t the value called name.
func (s *simplifier) addInitialiser(name string, t *ir.Tensor) {
	s.Graph.Initializer = append(s.Graph.Initializer, &ir.Tensor{
		Name: name, Dims: t.Dims, DataType: t.DataType, RawData: t.RawData,
		FloatData: t.FloatData, Int32Data: t.Int32Data, Int64Data: t.Int64Data,
		DoubleData: t.DoubleData, Uint64Data: t.Uint64Data, StringData: t.StringData,
	})
}

// constantsToInitialisers makes initialisers of Constant nodes, one of those that
// are equal: every ReLU6 of a torch graph has its own 0 and 6.
func (s *simplifier) constantsToInitialisers() {
	first := map[string]string{}   // by contents: the name of the first
	renamed := map[string]string{} // the others
	s.remove(func(n *ir.Node) bool {
		for i, name := range n.Input {
			if to, ok := renamed[name]; ok {
				n.Input[i] = to
			}
		}
		t := ir.ConstantOf(n)
		if t == nil || s.outputs[n.Output[0]] {
			return false
		}
		if t.RawData != nil {
			key := fmt.Sprint(t.DataType, t.Dims, string(t.RawData))
			if to, ok := first[key]; ok {
				renamed[n.Output[0]] = to
				return true
			}
			first[key] = n.Output[0]
		}
		s.addInitialiser(n.Output[0], t)
		return true
	})
}

// fold computes nodes whose inputs are all constants, and shapes that are known.
func (s *simplifier) fold(in *ops.Inference) func() bool {
	return func() bool {
		constants := map[string]*ir.Tensor{}
		for _, t := range s.Graph.Initializer {
			constants[t.Name] = t
		}
		return s.remove(func(n *ir.Node) bool {
			if len(n.Output) != 1 || s.outputs[n.Output[0]] {
				return false
			}
			t := s.computed(n, in, constants)
			if t == nil {
				return false
			}
			constants[n.Output[0]] = t
			s.addInitialiser(n.Output[0], t)
			return true
		})
	}
}

// computed is the output of n as a constant, nil if it isn't one.
func (s *simplifier) computed(n *ir.Node, in *ops.Inference, constants map[string]*ir.Tensor) *ir.Tensor {
	out := n.Output[0]
	if v := in.Values[out]; v != nil && v.Elem == pb.TensorProto_INT64 {
		return v.Tensor()
	}
	if len(n.Input) == 0 || n.OpType == "DequantizeLinear" { // 8-bit weights stay so
		return nil
	}
	if n.OpType == "Identity" {
		return constants[n.Input[0]] // nil if it is none
	}
	if _, ok := in.Types[out].Fixed(); !ok {
		return nil
	}
	var inputs []*ops.Value
	for _, name := range n.Input {
		t := constants[name]
		if name == "" {
			inputs = append(inputs, nil)
			continue
		}
		if t == nil || ir.DataType(t.DataType) == pb.TensorProto_FLOAT16 {
			return nil
		}
		size, err := ir.Elements(t)
		if err != nil || !s.folder.Take(size) {
			return nil
		}
		v, err := ops.ValueOf(t)
		if err != nil {
			return nil
		}
		inputs = append(inputs, v)
	}
	v, err := s.folder.Fold(n, inputs)
	if err != nil {
		return nil
	}
	return v.Tensor()
}

// dropIdentities takes out nodes that pass their input on. The input takes over
// the output's name if that is the graph's.
func (s *simplifier) dropIdentities() bool {
	trains := trains(s.Proto)
	g := ir.NewIndex(s.Proto)
	renamed := map[string]string{}
	resolve := func(name string) string {
		for renamed[name] != "" {
			name = renamed[name]
		}
		return name
	}
	changed := s.remove(func(n *ir.Node) bool {
		for i, name := range n.Input {
			n.Input[i] = resolve(name)
		}
		if !s.passes(n, g, trains) {
			return false
		}
		in, out := n.Input[0], n.Output[0]
		if !s.outputs[out] {
			renamed[out] = in
			return true
		}
		// The producer takes the output's name, if nobody else sees its own.
		maker := g.Producer[in]
		if maker == nil || s.outputs[in] || len(g.Consumers[in]) != 1 {
			return false
		}
		maker.Output[slices.Index(maker.Output, in)] = out
		return true
	})
	return changed
}

// passes reports whether n's first output is its first input and it has no other.
func (s *simplifier) passes(n *ir.Node, g *ir.Index, trains bool) bool {
	if !ir.Standard(n.Domain) || len(n.Output) == 0 || len(n.Input) == 0 {
		return false
	}
	for _, out := range n.Output[1:] {
		if out != "" && (len(g.Consumers[out]) > 0 || s.outputs[out]) {
			return false
		}
	}
	in, out := s.types[n.Input[0]], s.types[n.Output[0]]
	switch n.OpType {
	case "Identity":
		return true
	case "Dropout":
		return !trains
	case "Cast":
		return in.Elem != 0 && in.Elem == out.Elem
	case "Transpose":
		return slices.IsSorted(ir.IntsAttr(n, "perm")) && ir.Attr(n, "perm") != nil
	case "Pad":
		return in.Ranked && slices.Equal(in.Shape, out.Shape) && !slices.Contains(in.Shape, ops.Unknown)
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		known := in.Ranked && slices.Equal(in.Shape, out.Shape)
		return known && !slices.Contains(in.Shape, ops.Unknown)
	}
	return false
}

// trains reports whether the graph is in training form.
func trains(p *ir.Proto) bool {
	return slices.ContainsFunc(p.Graph.Node, func(n *ir.Node) bool { return normTrains(n, ir.Opset(p)) })
}

func normTrains(n *ir.Node, opset int64) bool {
	if n.OpType != "BatchNormalization" {
		return false
	}
	if opset < 14 {
		return len(n.Output) > 1
	}
	return ir.IntAttr(n, "training_mode", 0) != 0
}

// collectNames notes the names of all values.
func (s *simplifier) collectNames() {
	for _, v := range s.Graph.Input {
		s.names[v.Name] = 1
	}
	for _, t := range s.Graph.Initializer {
		s.names[t.Name] = 1
	}
	for _, n := range s.Graph.Node {
		for _, out := range n.Output {
			s.names[out] = 1
		}
	}
}

// freshName is name, or name with a number behind it, such that no value has it.
func (s *simplifier) freshName(name string) string {
	fresh := name
	for s.names[fresh] > 0 {
		s.names[name]++
		fresh = fmt.Sprintf("%s.%d", name, s.names[name])
	}
	s.names[fresh] = 1
	return fresh
}

// dropDead takes out nodes and initialisers that no output depends on.
func (s *simplifier) dropDead() {
	needed := map[string]bool{}
	for _, o := range s.Graph.Output {
		needed[o.Name] = true
	}
	for _, n := range slices.Backward(s.Graph.Node) {
		if slices.ContainsFunc(n.Output, func(name string) bool { return needed[name] }) {
			for _, name := range n.Input {
				needed[name] = true
			}
		}
	}
	s.remove(func(n *ir.Node) bool {
		return !slices.ContainsFunc(n.Output, func(name string) bool { return needed[name] })
	})
	s.Graph.Initializer = slices.DeleteFunc(s.Graph.Initializer, func(t *ir.Tensor) bool { return !needed[t.Name] })
}
