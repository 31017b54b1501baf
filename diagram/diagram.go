package diagram

import "io"

// A Drawing is one picture: as a drawing in SVG or PNG, as a graph of labelled
// boxes in DOT or Mermaid. Each method writes the same bytes every time.
type Drawing struct {
	graph  graph
	canvas func() (*canvas, error) // lays the picture out
}

// SVG writes the picture as SVG 1.1, its text as text.
func (d *Drawing) SVG(w io.Writer) error {
	c, err := d.canvas()
	if err != nil {
		return err
	}
	return c.writeSVG(w)
}

// PNG writes the picture with scale pixels for each of SVG's units. It returns
// an error for a picture of more than 100 million pixels.
func (d *Drawing) PNG(w io.Writer, scale float64) error {
	c, err := d.canvas()
	if err != nil {
		return err
	}
	return c.writePNG(w, scale)
}

// DOT writes the graph in Graphviz's language.
func (d *Drawing) DOT(w io.Writer) error { return d.graph.writeDOT(w) }

// Mermaid writes the graph as a Mermaid flowchart. Viewers draw at most 500
// edges unless they are configured otherwise (Mermaid's maxEdges).
func (d *Drawing) Mermaid(w io.Writer) error { return d.graph.writeMermaid(w) }
