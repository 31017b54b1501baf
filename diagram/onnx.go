package diagram

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// ONNX draws every operator of g, as Netron does: its attributes, the constants
// it takes, and the shapes of the tensors between operators where they are
// known. Constants, and attributes that have their default, are not drawn as
// such. name is the title. It returns an error if an operator takes what nothing
// makes, and later, from SVG and PNG, for cycles and for graphs beyond what can
// be laid out (4,000 boxes).
func ONNX(name string, g *onnx.Graph) (*Drawing, error) {
	p := ir.Unwrap(g)
	b := builder{
		Index:  ir.NewIndex(p),
		made:   map[string]output{},
		whole:  map[string]*ir.Node{},
		shapes: ops.Shapes(p),
		graph:  &graph{title: name},
	}
	if err := b.build(); err != nil {
		return nil, err
	}
	note := "Constants stand in the boxes that take them; attributes at their default are left out."
	return &Drawing{
		graph:  *b.graph,
		canvas: func() (*canvas, error) { return drawGraph(b.graph, b.subtitle(p), note) },
	}, nil
}

// A builder turns an ONNX graph into boxes and arrows.
type builder struct {
	*ir.Index
	graph  *graph
	made   map[string]output   // where a value comes from
	whole  map[string]*ir.Node // the DequantizeLinear of constants that makes a value
	shapes map[string]*ir.ValueInfo
}

// An output is one of a box's outputs.
type output struct{ node, index int }

func (b *builder) build() error {
	for _, in := range b.Input {
		if b.Constants[in.Name] == nil {
			b.made[in.Name] = output{node: b.add(terminal(in))}
		}
	}
	var drawn []*ir.Node
	for _, n := range b.Node {
		if b.constant(n) {
			continue
		}
		at := b.add(node{name: n.OpType, lines: b.describe(n), group: groupOfOp(n.OpType)})
		drawn = append(drawn, n)
		for i, out := range n.Output {
			if _, ok := b.made[out]; !ok && out != "" {
				b.made[out] = output{at, i}
			}
		}
	}
	first := len(b.graph.nodes) - len(drawn)
	for i, n := range drawn {
		for _, in := range n.Input {
			if err := b.connect(in, first+i); err != nil {
				return ir.At(n, err)
			}
		}
	}
	for _, out := range b.Output {
		if err := b.connect(out.Name, b.add(terminal(out))); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) add(n node) int {
	b.graph.nodes = append(b.graph.nodes, n)
	return len(b.graph.nodes) - 1
}

// connect draws an arrow from what makes the value to box at. Constants stand in
// the box itself.
func (b *builder) connect(value string, at int) error {
	if value == "" || b.Constants[value] != nil || b.whole[value] != nil {
		return nil
	}
	from, ok := b.made[value]
	if !ok {
		return fault.Brokenf("nothing makes the value %s", ir.Quote(value))
	}
	e := edge{from: from.node, output: from.index, to: at, label: shapeOf(b.shapes[value])}
	if b.graph.nodes[from.node].group == tensors {
		e.label = "" // the input's box has it
	}
	b.graph.edges = append(b.graph.edges, e)
	return nil
}

// constant reports whether n only makes a constant; that of an Identity is put
// with the others, and integers that become numbers stand where these are taken.
func (b *builder) constant(n *ir.Node) bool {
	if len(n.Output) != 1 {
		return false
	}
	if n.OpType == "DequantizeLinear" && len(n.Input) > 1 && b.Constants[n.Input[0]] != nil && b.Constants[n.Input[1]] != nil {
		b.whole[n.Output[0]] = n
		return true
	}
	if n.OpType == "Identity" && len(n.Input) == 1 && b.Constants[n.Input[0]] != nil {
		b.Constants[n.Output[0]] = b.Constants[n.Input[0]]
		return true
	}
	return n.OpType == "Constant" && b.Constants[n.Output[0]] != nil
}

// terminal is the box of an input or output of the graph.
func terminal(v *ir.ValueInfo) node {
	t := v.GetType().GetTensorType()
	line := strings.TrimSpace(typeName(ir.DataType(t.GetElemType())) + " " + shapeOf(v))
	n := node{name: v.Name, group: tensors}
	if line != "" {
		n.lines = []string{line}
	}
	return n
}

// subtitle says how many operators there are, and who wrote them down.
func (b *builder) subtitle(p *ir.Proto) string {
	drawn := 0
	for _, n := range b.graph.nodes {
		if n.group != tensors {
			drawn++
		}
	}
	parts := []string{plural(drawn, "operator")}
	if hidden := len(b.Node) - drawn; hidden > 0 {
		parts[0] += " and " + plural(hidden, "constant")
	}
	for _, o := range p.OpsetImport {
		if ir.Standard(o.Domain) {
			parts = append(parts, fmt.Sprintf("opset %d", o.Version))
		} else if slices.ContainsFunc(b.Node, func(n *ir.Node) bool { return n.Domain == o.Domain }) {
			parts = append(parts, fmt.Sprintf("%s %d", o.Domain, o.Version))
		}
	}
	if p.ProducerName != "" {
		parts = append(parts, strings.TrimSpace(p.ProducerName+" "+p.ProducerVersion))
	}
	return strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// shapeOf is "1×32×112×112", with names or ? for dimensions that vary.
func shapeOf(v *ir.ValueInfo) string {
	var dims []string
	for _, d := range v.GetType().GetTensorType().GetShape().GetDim() {
		switch {
		case len(dims) == longList:
			return strings.Join(dims, "×") + "×…"
		case d.GetDimParam() != "":
			dims = append(dims, d.GetDimParam())
		case d.GetDimValue() > 0:
			dims = append(dims, fmt.Sprint(d.GetDimValue()))
		default:
			dims = append(dims, "?")
		}
	}
	return strings.Join(dims, "×")
}

// typeName is a data type as NumPy calls it.
func typeName(t ir.DataType) string {
	switch s := strings.ToLower(t.String()); s {
	case "float":
		return "float32"
	case "double":
		return "float64"
	case "undefined":
		return ""
	default:
		return s
	}
}
