package diagram

import (
	"bytes"
	"io"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// FuzzLayout lays out any graph: each two bytes are an edge, cycles and loops among
// them. It must come to an end, and nothing may be drawn over anything.
func FuzzLayout(f *testing.F) {
	f.Add([]byte{3, 0, 1, 1, 2})
	f.Add([]byte{4, 0, 1, 1, 2, 0, 2, 2, 3, 0, 3})
	f.Add([]byte{2, 0, 1, 1, 0})
	f.Add([]byte{30, 0, 29, 0, 28, 1, 27, 2, 26, 3, 25, 5, 5})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		n := int(data[0])%40 + 1
		g := &graph{title: "fuzz"}
		for i := range n {
			g.nodes = append(g.nodes, node{name: string(rune('A' + i)), lines: []string{"kernel 3×3", "group 8"}[:i%3], group: other})
		}
		for edges := data[1:min(len(data), 1+2*80)]; len(edges) >= 2; edges = edges[2:] {
			g.edges = append(g.edges, edge{from: int(edges[0]) % n, to: int(edges[1]) % n, label: "1×2"})
		}
		d := &Drawing{graph: *g, canvas: func() (*canvas, error) { return drawGraph(g, "subtitle", "note") }}
		c, err := d.canvas()
		if err != nil {
			return // a cycle
		}
		checkCanvas(t, c)
		checkDOT(t, written(t, d.DOT))
		checkMermaid(t, written(t, d.Mermaid))
	})
}

// FuzzONNX draws any file that can be read.
func FuzzONNX(f *testing.F) {
	for _, text := range []string{small, `graph { node { name: "c" op_type: "Conv" input: "x" output: "y" } input { name: "x" } output { name: "y" } }`} {
		data, err := ir.Marshal(ir.Unwrap(parse(f, text)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := onnx.Parse(data, nil)
		if err != nil || len(data) > 1<<14 {
			return
		}
		d, err := ONNX("fuzz", g)
		if err != nil {
			return
		}
		checkDOT(t, written(t, d.DOT))
		checkMermaid(t, written(t, d.Mermaid))
		var svg bytes.Buffer
		if err := d.SVG(&svg); err != nil {
			return
		}
		svgTexts(t, svg.String())
		if svg.Len() < 1<<16 {
			d.PNG(io.Discard, 0.25)
		}
	})
}
