package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
)

// Nodes is the number of g's nodes.
func Nodes(g *Graph) int { return len(ir.Unwrap(g).Graph.Node) }

// Summary describes g in a few lines: who made it, versions, inputs and outputs with
// types and shapes, how many nodes of each operator, and what its constants hold.
func Summary(g *Graph) string {
	p := ir.Unwrap(g)
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	if p.ProducerName != "" {
		line("producer", "%s %s", p.ProducerName, p.ProducerVersion)
	}
	var opsets []string
	for _, o := range p.OpsetImport {
		domain := o.Domain
		if ir.Standard(domain) {
			domain = "ai.onnx"
		}
		opsets = append(opsets, fmt.Sprintf("%s %d", domain, o.Version))
	}
	line("operators", "%s (ir_version %d)", strings.Join(opsets, ", "), p.IrVersion)
	for _, v := range ir.FreeInputs(p) {
		line("input", "%s %v", v.Name, ops.Declared(v))
	}
	for _, v := range p.Graph.Output {
		line("output", "%s %v", v.Name, ops.Declared(v))
	}
	counts := map[string]int{}
	for _, n := range p.Graph.Node {
		counts[n.OpType]++
	}
	var kinds []string
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", counts[op], op))
	}
	line("nodes", "%d: %s", len(p.Graph.Node), strings.Join(kinds, ", "))
	values := 0
	for _, t := range p.Graph.Initializer {
		if n, err := ir.Elements(t); err == nil {
			values += n
		}
	}
	line("initialisers", "%d with %d values", len(p.Graph.Initializer), values)
	for _, m := range p.MetadataProps {
		const shown = 60
		line("metadata", "%s: %.*s%s", m.Key, shown, m.Value, map[bool]string{true: "..."}[len(m.Value) > shown])
	}
	return b.String()
}
