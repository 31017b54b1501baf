package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// maxIR is the newest version of the file format that is known: that of opset 23.
const maxIR = 11

// Check reports what is wrong with p, as onnx.checker does with full_check: versions,
// names that are made twice or not at all, nodes before their inputs, operators'
// inputs, outputs and attributes, tensors whose data does not fit their shape, and
// types and shapes that contradict each other. All errors of the graph's structure
// are reported at once, each naming its node; types and shapes are looked at when
// there are none. Operators outside MobileNetV2's family are not looked into: see
// [Unchecked].
func Check(p *Proto) error {
	k := checker{opset: opset(p), made: map[string]string{}}
	k.header(p)
	k.values(p)
	k.nodes(p)
	for _, o := range p.Graph.Output {
		if _, ok := k.made[o.Name]; !ok {
			k.failf("output %q: no node makes it", o.Name)
		}
	}
	if k.errs == nil {
		k.shapes(p)
	}
	return errors.Join(k.errs...)
}

// Unchecked names the nodes whose operators [Check] knows nothing of, other than
// that their inputs exist.
func Unchecked(p *Proto) []string {
	var names []string
	for _, n := range p.Graph.Node {
		op, ok := find(n)
		if ok && standard(n.Domain) {
			_, ok = op.at(opset(p))
		}
		if !ok {
			names = append(names, describe(n))
		}
	}
	return names
}

type checker struct {
	opset int64
	made  map[string]string // values by name: who makes them
	errs  []error
}

func (k *checker) failf(format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf(format, args...))
}

// header checks versions and names.
func (k *checker) header(p *Proto) {
	switch {
	case p.IrVersion < 3:
		k.failf("ir_version %d: want 3 to %d", p.IrVersion, maxIR)
	case p.IrVersion > maxIR:
		k.failf("ir_version %d is newer than %d, the newest that is known", p.IrVersion, maxIR)
	}
	domains := map[string]bool{}
	for _, o := range p.OpsetImport {
		domain := o.Domain
		if standard(domain) {
			domain = "ai.onnx"
		}
		if domains[domain] {
			k.failf("opset_import: domain %q is imported twice", domain)
		}
		domains[domain] = true
	}
	switch {
	case !domains["ai.onnx"]:
		k.failf("opset_import: the standard operators are not imported")
	case k.opset < 1 || k.opset > MaxOpset:
		k.failf("opset %d: want 1 to %d", k.opset, MaxOpset)
	}
	if p.Graph.Name == "" {
		k.failf("the graph has no name")
	}
	for _, n := range p.Graph.Node {
		if !standard(n.Domain) && !domains[n.Domain] {
			k.failf("%s: opset_import does not import its domain %q", describe(n), n.Domain)
		}
	}
}

// values checks inputs, outputs and initialisers.
func (k *checker) values(p *Proto) {
	for _, v := range p.Graph.Input {
		k.typed("input", v)
		k.make(v.Name, "an input")
	}
	for _, v := range p.Graph.Output {
		k.typed("output", v)
	}
	seen := map[string]bool{}
	for _, t := range p.Graph.Initializer {
		if t.Name == "" {
			k.failf("an initialiser has no name")
		}
		if seen[t.Name] {
			k.failf("initialiser %q: there are two", t.Name)
		}
		seen[t.Name] = true
		k.tensor(t)
		_, isInput := k.made[t.Name]
		if p.IrVersion < 4 && !isInput {
			k.failf("initialiser %q: is not an input, as ir_version %d has it", t.Name, p.IrVersion)
		}
		k.made[t.Name] = "an initialiser" // of an input, its default
	}
}

func (k *checker) typed(what string, v *ValueInfo) {
	t := v.GetType().GetTensorType()
	switch {
	case v.Name == "":
		k.failf("an %s has no name", what)
	case v.Type == nil:
		k.failf("%s %q: has no type", what, v.Name)
	case t == nil: // a sequence or the like
	case t.ElemType == 0:
		k.failf("%s %q: has no element type", what, v.Name)
	case t.Shape == nil:
		k.failf("%s %q: has no shape", what, v.Name)
	}
}

func (k *checker) make(name, maker string) {
	if other, ok := k.made[name]; ok {
		k.failf("%q: is made twice, by %s and by %s", name, other, maker)
	}
	k.made[name] = maker
}

// tensor checks that t's data is what its shape and type say.
func (k *checker) tensor(t *Tensor) {
	fields := 0
	for _, n := range []int{len(t.FloatData), len(t.Int32Data), len(t.Int64Data), len(t.DoubleData), len(t.Uint64Data), len(t.StringData)} {
		fields += min(n, 1)
	}
	if len(t.RawData) > 0 {
		fields++
	}
	switch {
	case t.DataType == 0:
		k.failf("tensor %q: has no type", t.Name)
	case fields > 1:
		k.failf("tensor %q: its data is in %d fields", t.Name, fields)
	case t.DataLocation == pb.TensorProto_EXTERNAL:
		if _, err := parseReference(t); err != nil {
			k.errs = append(k.errs, err)
		}
	case elementBytes[DataType(t.DataType)] != 0:
		if _, err := elements(t); err != nil {
			k.errs = append(k.errs, err)
		}
	}
}

func (k *checker) nodes(p *Proto) {
	makers := map[string]*Node{} // of all values, also those that come too late
	for _, n := range p.Graph.Node {
		for _, out := range n.Output {
			if out != "" {
				makers[out] = n
			}
		}
	}
	for _, n := range p.Graph.Node {
		for i, in := range n.Input {
			if in != "" && k.made[in] == "" {
				k.missing(n, i, makers)
			}
		}
		k.node(n)
		for _, out := range n.Output {
			if out != "" {
				k.make(out, describe(n))
			}
		}
	}
}

// missing says why the i-th input of n is not there yet.
func (k *checker) missing(n *Node, i int, makers map[string]*Node) {
	maker := makers[n.Input[i]]
	switch {
	case maker == nil:
		k.failf("%s: its input %d %q is neither an input of the graph, nor an initialiser, nor made by a node", describe(n), i, n.Input[i])
	case reaches(maker, n, makers):
		k.failf("%s: its input %d %q depends on its own output: the graph has a cycle", describe(n), i, n.Input[i])
	default:
		k.failf("%s: its input %d %q is made only later, by %s", describe(n), i, n.Input[i], describe(maker))
	}
}

// reaches reports whether what from makes depends on what to makes.
func reaches(from, to *Node, makers map[string]*Node) bool {
	seen := map[*Node]bool{}
	for queue := []*Node{from}; len(queue) > 0; {
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
func (k *checker) node(n *Node) {
	if n.OpType == "" {
		k.failf("%s: has no operator", describe(n))
		return
	}
	for _, a := range n.Attribute {
		if a.T != nil {
			k.tensor(a.T)
		}
	}
	op, ok := find(n)
	if !ok {
		return
	}
	v, ok := op.at(k.opset)
	if !standard(n.Domain) {
		v, ok = op.versions[0], true
	}
	if !ok {
		return
	}
	given := len(n.Input)
	for given > 0 && n.Input[given-1] == "" {
		given--
	}
	switch {
	case given < v.minInputs || len(n.Input) > v.maxInput:
		k.failf("%s: has %d inputs, wants %s", describe(n), given, between(v.minInputs, v.maxInput))
	case slices.Contains(n.Input[:min(v.minInputs, len(n.Input))], ""):
		k.failf("%s: an input that must be given is not", describe(n))
	}
	if len(n.Output) < 1 || len(n.Output) > v.maxOutputs {
		k.failf("%s: has %d outputs, wants %s", describe(n), len(n.Output), between(1, v.maxOutputs))
	}
	k.attributes(n, v)
}

func between(low, high int) string {
	switch high {
	case low:
		return fmt.Sprint(low)
	case many:
		return fmt.Sprintf("at least %d", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

func (k *checker) attributes(n *Node, v version) {
	specs := v.specs()
	seen := map[string]bool{}
	for _, a := range n.Attribute {
		i := slices.IndexFunc(specs, func(s attributeSpec) bool { return s.name == a.Name })
		switch {
		case seen[a.Name]:
			k.failf("%s: attribute %q is there twice", describe(n), a.Name)
		case i < 0:
			k.failf("%s: opset %d has no attribute %q there", describe(n), k.opset, a.Name)
		case a.Type != specs[i].typ:
			k.failf("%s: attribute %q is of type %v, want %v", describe(n), a.Name, a.Type, specs[i].typ)
		case !holds(a):
			k.failf("%s: attribute %q holds no %v", describe(n), a.Name, a.Type)
		}
		seen[a.Name] = true
	}
	for _, s := range specs {
		if s.required && !seen[s.name] {
			k.failf("%s: attribute %q must be given", describe(n), s.name)
		}
	}
	if n.OpType == "Constant" && len(n.Attribute) != 1 {
		k.failf("%s: has %d values, wants 1", describe(n), len(n.Attribute))
	}
}

// holds reports whether a has no value but that of its type.
func holds(a *Attribute) bool {
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
func (k *checker) shapes(p *Proto) {
	in, err := infer(p)
	if err != nil {
		k.errs = append(k.errs, err)
		return
	}
	for _, list := range [][]*ValueInfo{p.Graph.Input, p.Graph.ValueInfo, p.Graph.Output} {
		for _, v := range list {
			if want, have := declared(v), in.types[v.Name]; !want.agrees(have) {
				k.failf("%q is declared as %v but is %v", v.Name, want, have)
			}
		}
	}
}
