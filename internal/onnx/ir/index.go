package ir

import "github.com/mobilenet-go/mobilenet/internal/onnx/pb"

// An Index is an index over the nodes of a model: who makes a value and who takes
// it. It does not follow later changes to the model.
type Index struct {
	*pb.GraphProto
	Producer  map[string]*Node   // by the name of an output
	Consumers map[string][]*Node // by the name of an input, in graph order; a node that takes it twice is listed once
	Constants map[string]*Tensor // initialisers and outputs of Constant nodes
}

// NewIndex indexes p. The graph need not be well-formed: of values made twice, the
// first producer counts. Constants that cannot be read are left out.
func NewIndex(p *Proto) *Index {
	g := &Index{
		GraphProto: p.Graph,
		Producer:   map[string]*Node{},
		Consumers:  map[string][]*Node{},
		Constants:  map[string]*Tensor{},
	}
	for _, t := range g.Initializer {
		g.Constants[t.Name] = t
	}
	for _, n := range g.Node {
		for _, out := range n.Output {
			if out != "" && g.Producer[out] == nil {
				g.Producer[out] = n
			}
		}
		for _, in := range n.Input {
			takers := g.Consumers[in]
			if in != "" && (len(takers) == 0 || takers[len(takers)-1] != n) {
				g.Consumers[in] = append(takers, n)
			}
		}
		if t := ConstantOf(n); t != nil {
			g.Constants[n.Output[0]] = t
		}
	}
	return g
}

// FreeInputs are the graph's inputs without those that are initialisers, as files
// of IR version 3 list them.
func FreeInputs(p *Proto) []*ValueInfo {
	given := map[string]bool{}
	for _, t := range p.Graph.Initializer {
		given[t.Name] = true
	}
	var free []*ValueInfo
	for _, v := range p.Graph.Input {
		if !given[v.Name] {
			free = append(free, v)
		}
	}
	return free
}

// eachTensor calls f with the tensors of g: initialisers, and attributes of its
// nodes, also in their subgraphs.
func eachTensor(g *pb.GraphProto, f func(*Tensor)) {
	for _, t := range g.GetInitializer() {
		f(t)
	}
	for _, n := range g.GetNode() {
		for _, a := range n.Attribute {
			if a.T != nil {
				f(a.T)
			}
			for _, t := range a.Tensors {
				f(t)
			}
			eachTensor(a.G, f)
			for _, sub := range a.Graphs {
				eachTensor(sub, f)
			}
		}
	}
}
