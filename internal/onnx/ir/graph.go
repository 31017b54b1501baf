package ir

import "github.com/mobilenet-go/mobilenet/internal/onnx/pb"

// A Graph is a whole model that only this module looks into: onnx.Graph.
type Graph struct{ p *Proto }

// Wrap returns p as a Graph, which shares it.
func Wrap(p *Proto) *Graph { return &Graph{p} }

// Unwrap returns what g holds: for nil, and for a Graph that nobody made, a model of
// nothing.
func Unwrap(g *Graph) *Proto {
	if g == nil || g.p == nil {
		return &Proto{Graph: &pb.GraphProto{}}
	}
	return g.p
}
