// Package check says whether a graph is well-formed.
package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// Bounds on what is reported: a file of a megabyte can have a million mistakes.
const (
	maxFaults = 100 // after which the check ends
	shown     = 10  // of them, in the error's text
)

// Graph returns what is wrong with p: an error that wraps up to 100 of
// *[fault.Error], each with its place.
func Graph(p *ir.Proto) error {
	if p.Graph == nil {
		return fault.Brokenf("the model has no graph")
	}
	k := checker{opset: ir.Opset(p), made: map[string]string{}}
	for _, part := range []func(*ir.Proto){k.header, k.values, k.nodes, k.outputs} {
		part(p)
	}
	if k.faults == nil {
		k.shapes(p)
	}
	if k.faults == nil {
		return nil
	}
	return faults(k.faults)
}

// faults is everything that is wrong with a file.
type faults []error

func (f faults) Error() string {
	var lines []string
	for _, e := range f[:min(shown, len(f))] {
		lines = append(lines, e.Error())
	}
	switch more := len(f) - shown; {
	case len(f) == maxFaults:
		lines = append(lines, fmt.Sprintf("and %d more, at which the check ended", more))
	case more > 0:
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (f faults) Unwrap() []error { return f }

// Unchecked names the nodes whose operators nothing is known of.
func Unchecked(p *ir.Proto) []string {
	var names []string
	for _, n := range p.Graph.GetNode() {
		if _, ok := ops.VersionOf(n, ir.Opset(p)); !ok {
			names = append(names, ir.Place(n))
		}
	}
	return names
}

type checker struct {
	opset  int64
	made   map[string]string // values by name: who makes them
	faults []error
}

func (k *checker) full() bool { return len(k.faults) >= maxFaults }

// failf notes what is wrong at a place, "" for the whole file.
func (k *checker) failf(place, format string, args ...any) {
	k.fail(ir.About(place, fault.Brokenf(format, args...)))
}

func (k *checker) fail(err error) {
	if !k.full() {
		k.faults = append(k.faults, err)
	}
}

// newest is no version yet, of the format and the operators; in 2026 they are at 14
// and 28. What a newer version means for an operator is not known here: what is
// known of it is checked.
const newest = 100

// header checks versions and names.
func (k *checker) header(p *ir.Proto) {
	switch {
	case p.IrVersion < 3:
		k.failf("", "ir_version %d: want at least 3", p.IrVersion)
	case p.IrVersion > newest:
		k.failf("", "ir_version %d does not exist", p.IrVersion)
	}
	domains := map[string]bool{}
	for _, o := range p.OpsetImport {
		domain := o.Domain
		if ir.Standard(domain) {
			domain = "ai.onnx"
		}
		if domains[domain] {
			k.failf("opset_import", "domain %s is imported twice", ir.Quote(domain))
		}
		domains[domain] = true
	}
	switch {
	case !domains["ai.onnx"]:
		k.failf("opset_import", "the standard operators are not imported")
	case k.opset < 1 || k.opset > newest:
		k.failf("opset_import", "opset %d does not exist", k.opset)
	}
	if p.Graph.Name == "" {
		k.failf("", "the graph has no name")
	}
	for _, n := range p.Graph.Node {
		if !ir.Standard(n.Domain) && !domains[n.Domain] && !k.full() {
			k.failf(ir.Place(n), "opset_import does not import its domain %s", ir.Quote(n.Domain))
		}
	}
}

// values checks inputs, outputs and initialisers.
func (k *checker) values(p *ir.Proto) {
	for _, v := range p.Graph.Input {
		k.typed("input", v)
		k.make(v.Name, "an input")
	}
	for _, v := range p.Graph.Output {
		k.typed("output", v)
	}
	seen := map[string]bool{}
	for _, t := range p.Graph.Initializer {
		if k.full() {
			return
		}
		if t.Name == "" {
			k.failf("", "an initialiser has no name")
		}
		if seen[t.Name] {
			k.failf("initialiser "+ir.Quote(t.Name), "there are two")
		}
		seen[t.Name] = true
		k.tensor(t)
		_, isInput := k.made[t.Name]
		if p.IrVersion < 4 && !isInput {
			k.failf("initialiser "+ir.Quote(t.Name), "is not an input, as ir_version %d has it", p.IrVersion)
		}
		k.made[t.Name] = "an initialiser" // of an input, its default
	}
}

func (k *checker) typed(what string, v *ir.ValueInfo) {
	t := v.GetType().GetTensorType()
	place := what + " " + ir.Quote(v.Name)
	switch {
	case v.Name == "":
		k.failf("", "an %s has no name", what)
	case v.Type == nil:
		k.failf(place, "has no type")
	case t == nil: // a sequence or the like
	case t.ElemType == 0:
		k.failf(place, "has no element type")
	case t.Shape == nil:
		k.failf(place, "has no shape")
	}
}

func (k *checker) make(name, maker string) {
	if other, ok := k.made[name]; ok {
		k.failf("value "+ir.Quote(name), "is made twice, by %s and by %s", other, maker)
	}
	k.made[name] = maker
}

// tensor checks that t's data is what its shape and type say.
func (k *checker) tensor(t *ir.Tensor) {
	place, fields := "tensor "+ir.Quote(t.Name), 0
	for _, n := range []int{len(t.FloatData), len(t.Int32Data), len(t.Int64Data), len(t.DoubleData), len(t.Uint64Data), len(t.StringData)} {
		fields += min(n, 1)
	}
	if len(t.RawData) > 0 {
		fields++
	}
	switch {
	case t.DataType == 0:
		k.failf(place, "has no type")
	case fields > 1:
		k.failf(place, "its data is in %d fields", fields)
	case t.DataLocation == pb.TensorProto_EXTERNAL:
		if _, err := ir.ParseReference(t); err != nil {
			k.fail(err)
		}
	case ir.ElementBytes[ir.DataType(t.DataType)] != 0:
		if _, err := ir.Elements(t); err != nil {
			k.fail(err)
		}
	}
}

func (k *checker) nodes(p *ir.Proto) {
	makers := map[string]*ir.Node{} // of all values, also those that come too late
	for _, n := range p.Graph.Node {
		for _, out := range n.Output {
			if out != "" {
				makers[out] = n
			}
		}
	}
	for _, n := range p.Graph.Node {
		if k.full() {
			return
		}
		for i, in := range n.Input {
			if in != "" && k.made[in] == "" && !k.full() {
				k.missing(n, i, makers)
			}
		}
		k.node(n)
		for _, out := range n.Output {
			if out != "" && !k.full() {
				k.make(out, ir.Place(n))
			}
		}
	}
}

func (k *checker) outputs(p *ir.Proto) {
	for _, o := range p.Graph.Output {
		if _, ok := k.made[o.Name]; !ok && !k.full() {
			k.failf("output "+ir.Quote(o.Name), "no node makes it")
		}
	}
}

// missing says why the i-th input of n is not there yet.
func (k *checker) missing(n *ir.Node, i int, makers map[string]*ir.Node) {
	maker := makers[n.Input[i]]
	switch {
	case maker == nil:
		k.failf(ir.Place(n), "its input %d %s is neither an input of the graph, nor an initialiser, nor made by a node", i, ir.Quote(n.Input[i]))
	case reaches(maker, n, makers):
		k.failf(ir.Place(n), "its input %d %s depends on its own output: the graph has a cycle", i, ir.Quote(n.Input[i]))
	default:
		k.failf(ir.Place(n), "its input %d %s is made only later, by %s", i, ir.Quote(n.Input[i]), ir.Place(maker))
	}
}

// reaches reports whether what from makes depends on what to makes.
func reaches(from, to *ir.Node, makers map[string]*ir.Node) bool {
	seen := map[*ir.Node]bool{}
	for queue := []*ir.Node{from}; len(queue) > 0; {
		n := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if n == to {
			return true
		}
		if n == nil || seen[n] {
			continue
		}
		seen[n] = true
		for _, in := range n.Input {
			queue = append(queue, makers[in])
		}
	}
	return false
}

// node checks n against what its operator takes.
func (k *checker) node(n *ir.Node) {
	if n.OpType == "" {
		k.failf(ir.Place(n), "has no operator")
		return
	}
	for _, a := range n.Attribute {
		if a.T != nil {
			k.tensor(a.T)
		}
	}
	v, ok := ops.VersionOf(n, k.opset)
	if !ok {
		return
	}
	given := len(n.Input)
	for given > 0 && n.Input[given-1] == "" {
		given--
	}
	switch {
	case given < v.MinInputs || len(n.Input) > v.MaxInputs:
		k.failf(ir.Place(n), "has %d inputs, wants %s", given, between(v.MinInputs, v.MaxInputs))
	case slices.Contains(n.Input[:min(v.MinInputs, len(n.Input))], ""):
		k.failf(ir.Place(n), "an input that must be given is not")
	}
	if len(n.Output) < 1 || len(n.Output) > v.MaxOutputs {
		k.failf(ir.Place(n), "has %d outputs, wants %s", len(n.Output), between(1, v.MaxOutputs))
	}
	k.attributes(n, v)
}

func between(low, high int) string {
	switch high {
	case low:
		return fmt.Sprint(low)
	case ops.Many:
		return fmt.Sprintf("at least %d", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

func (k *checker) attributes(n *ir.Node, v ops.Version) {
	specs := v.Specs()
	seen := map[string]bool{}
	for _, a := range n.Attribute {
		if k.full() {
			return
		}
		i := slices.IndexFunc(specs, func(s ops.AttributeSpec) bool { return s.Name == a.Name })
		switch {
		case seen[a.Name]:
			k.failf(ir.Place(n), "attribute %s is there twice", ir.Quote(a.Name))
		case i < 0 && k.opset > ops.NewestOpset: // it may have come since
		case i < 0:
			k.failf(ir.Place(n), "opset %d has no attribute %s there", k.opset, ir.Quote(a.Name))
		case a.Type != specs[i].Type:
			k.failf(ir.Place(n), "attribute %s is of type %v, want %v", ir.Quote(a.Name), a.Type, specs[i].Type)
		case !holds(a):
			k.failf(ir.Place(n), "attribute %s holds no %v", ir.Quote(a.Name), a.Type)
		}
		seen[a.Name] = true
	}
	for _, s := range specs {
		if s.Required && !seen[s.Name] {
			k.failf(ir.Place(n), "attribute %s must be given", ir.Quote(s.Name))
		}
	}
	if n.OpType == "Constant" && len(n.Attribute) != 1 {
		k.failf(ir.Place(n), "has %d values, wants 1", len(n.Attribute))
	}
}

// holds reports whether a has no value but that of its type.
func holds(a *ir.Attribute) bool {
	var types []pb.AttributeProto_AttributeType
	note := func(present bool, t pb.AttributeProto_AttributeType) {
		if present {
			types = append(types, t)
		}
	}
	note(a.F != nil, pb.AttributeProto_FLOAT)
	note(a.I != nil, pb.AttributeProto_INT)
	note(a.S != nil, pb.AttributeProto_STRING)
	note(a.T != nil, pb.AttributeProto_TENSOR)
	note(a.G != nil, pb.AttributeProto_GRAPH)
	note(len(a.Floats) > 0, pb.AttributeProto_FLOATS)
	note(len(a.Ints) > 0, pb.AttributeProto_INTS)
	note(len(a.Strings) > 0, pb.AttributeProto_STRINGS)
	if len(types) == 0 { // a list may be empty
		return a.Type == pb.AttributeProto_FLOATS || a.Type == pb.AttributeProto_INTS || a.Type == pb.AttributeProto_STRINGS || a.Type == pb.AttributeProto_SPARSE_TENSOR
	}
	return len(types) == 1 && types[0] == a.Type
}

// shapes infers types and shapes and compares them with what p declares.
func (k *checker) shapes(p *ir.Proto) {
	in, err := ops.InferShapes(p)
	if err != nil {
		k.fail(err)
		return
	}
	for _, list := range [][]*ir.ValueInfo{p.Graph.Input, p.Graph.ValueInfo, p.Graph.Output} {
		for _, v := range list {
			if want, have := ops.Declared(v), in.Types[v.Name]; !want.Agrees(have) {
				k.failf("value "+ir.Quote(v.Name), "is declared as %v but is %v", want, have)
			}
		}
	}
}
