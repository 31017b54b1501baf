package simplify

import (
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// mergePads moves the padding of Pad nodes into the convolutions behind them.
func (s *simplifier) mergePads() bool {
	in, err := ops.InferShapes(s.Proto)
	if err != nil {
		return false
	}
	g := ir.NewIndex(s.Proto)
	changed := false
	for _, conv := range s.Graph.Node {
		if conv.OpType != "Conv" {
			continue
		}
		for {
			pad := g.Producer[ir.Input(conv, 0)]
			if pad == nil || pad.OpType != "Pad" || len(g.Consumers[pad.Output[0]]) != 1 || s.outputs[pad.Output[0]] || !mergePad(conv, pad, in) {
				break
			}
			changed = true
		}
	}
	return changed
}

// mergePad makes conv take what pad takes, if it can pad as much itself.
func mergePad(conv, pad *ir.Node, in *ops.Inference) bool {
	by, ok := in.ZeroPads(pad)
	auto := ir.StringAttr(conv, "auto_pad", "NOTSET")
	if !ok || auto != "NOTSET" && auto != "VALID" {
		return false
	}
	if own := ir.IntsAttr(conv, "pads"); auto == "NOTSET" && len(own) == 4 {
		for i := range by {
			by[i] += own[i]
		}
	}
	conv.Attribute = slices.DeleteFunc(conv.Attribute, func(a *ir.Attribute) bool { return a.Name == "pads" || a.Name == "auto_pad" })
	conv.Attribute = append(conv.Attribute, ir.IntsOf("pads", by[:]...))
	conv.Input[0] = pad.Input[0]
	return true
}

// foldNorms multiplies batch normalisations into the convolutions before them, in
// float64, rounded once.
func (s *simplifier) foldNorms() bool {
	g := ir.NewIndex(s.Proto)
	return s.remove(func(n *ir.Node) bool {
		if n.OpType != "BatchNormalization" || normTrains(n, ir.Opset(s.Proto)) {
			return false
		}
		conv := g.Producer[n.Input[0]]
		if conv == nil || conv.OpType != "Conv" || len(g.Consumers[n.Input[0]]) != 1 || s.outputs[n.Input[0]] {
			return false
		}
		w, b, ok := s.foldNorm(conv, n, g)
		if !ok {
			return false
		}
		weight, bias := s.freshName(conv.Input[1]+".folded"), s.freshName(conv.Input[1]+".bias")
		s.addInitialiser(weight, w)
		s.addInitialiser(bias, b)
		g.Constants[weight], g.Constants[bias] = w, b // for a norm behind this one
		conv.Input = []string{conv.Input[0], weight, bias}
		conv.Output[0] = n.Output[0]
		g.Producer[n.Output[0]] = conv
		return true
	})
}

func (s *simplifier) foldNorm(conv, norm *ir.Node, g *ir.Index) (weight, bias *ir.Tensor, ok bool) {
	var data [6][]float32 // norm's four, the convolution's weight and bias
	for i, name := range []string{norm.Input[1], norm.Input[2], norm.Input[3], norm.Input[4], conv.Input[1], ir.Input(conv, 2)} {
		t := g.Constants[name]
		if t == nil && i == 5 && name == "" {
			data[5] = make([]float32, len(data[0]))
			continue
		}
		if t == nil || ir.DataType(t.DataType) != pb.TensorProto_FLOAT {
			return nil, nil, false
		}
		if size, err := ir.Elements(t); err != nil || !s.folder.Take(size) {
			return nil, nil, false
		}
		var err error
		if data[i], err = ir.Floats(t); err != nil {
			return nil, nil, false
		}
	}
	gamma, beta, mean, variance, w, b := data[0], data[1], data[2], data[3], data[4], data[5]
	if len(gamma) == 0 || len(beta) != len(gamma) || len(mean) != len(gamma) || len(variance) != len(gamma) || len(b) != len(gamma) || len(w)%len(gamma) != 0 {
		return nil, nil, false
	}
	eps := float64(ir.FloatAttr(norm, "epsilon", 1e-5))
	per := len(w) / len(gamma)
	b = slices.Clone(b)
	for o := range gamma {
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+eps)
		for i := o * per; i < (o+1)*per; i++ {
			w[i] = float32(float64(w[i]) * scale)
		}
		b[o] = float32(float64(beta[o]) + (float64(b[o])-float64(mean[o]))*scale)
	}
	weight = ir.FloatTensor("", w)
	weight.Dims = g.Constants[conv.Input[1]].Dims
	return weight, ir.FloatTensor("", b, len(b)), true
}
