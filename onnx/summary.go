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
// types and shapes, how many nodes of each operator, and what its constants hold. What
// does not print is escaped, and long lists are cut.
func Summary(g *Graph) string {
	p := ir.Unwrap(g)
	var b summary
	if p.ProducerName != "" {
		b.line("producer", ir.Text(p.ProducerName+" "+p.ProducerVersion))
	}
	b.line("operators", fmt.Sprintf("%s (ir_version %d)", joined(opsets(p)), p.IrVersion))
	b.values("input", ir.FreeInputs(p))
	b.values("output", p.Graph.Output)
	counts := map[string]int{}
	for _, n := range p.Graph.Node {
		counts[n.OpType]++
	}
	var kinds []string
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", counts[op], ir.Text(op)))
	}
	b.line("nodes", fmt.Sprintf("%d: %s", len(p.Graph.Node), joined(kinds)))
	elements := 0
	for _, t := range p.Graph.Initializer {
		if n, err := ir.Elements(t); err == nil {
			elements += n
		}
	}
	b.line("initialisers", fmt.Sprintf("%d with %d values", len(p.Graph.Initializer), elements))
	for i, m := range p.MetadataProps {
		if i == longest {
			b.line("metadata", fmt.Sprintf("and %d more", len(p.MetadataProps)-i))
			break
		}
		b.line("metadata", ir.Text(m.Key+": "+m.Value))
	}
	return b.String()
}

// longest is how many of a list are written.
const longest = 30

// joined is the beginning of a list, and how many more there are.
func joined(list []string) string {
	if len(list) > longest {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:longest], ", "), len(list)-longest)
	}
	return strings.Join(list, ", ")
}

func opsets(p *ir.Proto) []string {
	var list []string
	for _, o := range p.OpsetImport {
		domain := o.Domain
		if ir.Standard(domain) {
			domain = "ai.onnx"
		}
		list = append(list, fmt.Sprintf("%s %d", ir.Text(domain), o.Version))
	}
	return list
}

// A summary is lines with a word each in front.
type summary struct{ strings.Builder }

func (b *summary) line(what, text string) { fmt.Fprintf(b, "%-12s %s\n", what, text) }

func (b *summary) values(what string, list []*ir.ValueInfo) {
	for i, v := range list {
		if i == longest {
			b.line(what, fmt.Sprintf("and %d more", len(list)-i))
			return
		}
		b.line(what, ir.Text(v.Name)+" "+ir.Text(ops.Declared(v).String()))
	}
}
