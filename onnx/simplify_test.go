package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// matrix is every kind of export of m, for the opsets where something changes.
func matrix(t testing.TB, m *model.Model, each func(name string, o ExportOptions, p *Graph)) {
	t.Helper()
	for _, mode := range []Mode{Eval, Train, Preserve} {
		for _, dynamic := range []Dynamic{Fixed, DynamicBatch, DynamicAll} {
			for opset := MinOpset; opset <= MaxOpset; opset++ {
				for extras := range 4 {
					if extras > 0 && opset%4 != 1 {
						continue
					}
					o := ExportOptions{Opset: opset, Mode: mode, Dynamic: dynamic, Softmax: extras&1 != 0, Preprocess: extras&1 != 0, Half: extras&2 != 0}
					p, err := Export(m, o)
					if err != nil {
						t.Fatal(err)
					}
					each(fmt.Sprintf("%v/%v/opset %d/extras %d", mode, dynamic, opset, extras), o, p)
				}
			}
		}
	}
}

// shaken is a small network whose norms differ from channel to channel, so that
// equal results are no accident.
func shaken(t testing.TB, padding model.Padding) *model.Model {
	t.Helper()
	c := model.Default()
	c.Table = []model.Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 2, C: 16, N: 2, S: 2}}
	c.Classes, c.Resolution, c.LastChannels, c.Padding = 5, 32, 32, padding
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range m.Config.Network().Convs() {
		for i := range c.Out {
			m.Dict[c.Norm+".weight"].Data[i] = 0.5 + rng.Float32()
			m.Dict[c.Norm+".bias"].Data[i] = rng.Float32() - 0.5
			m.Dict[c.Norm+".running_mean"].Data[i] = rng.Float32() - 0.5
			m.Dict[c.Norm+".running_var"].Data[i] = 0.5 + rng.Float32()
		}
	}
	return m
}

func TestExportsPassCheckAndSimplify(t *testing.T) {
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		m := shaken(t, padding)
		matrix(t, m, func(name string, o ExportOptions, p *Graph) {
			if err := Check(p); err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if o.Opset%4 != 1 || o.Dynamic == DynamicBatch { // much the same graphs as others
				return
			}
			s, err := Simplify(p)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if err := Check(s); err != nil {
				t.Errorf("%s simplified: %v", name, err)
			}
			difference, largest, err := Difference(p, s, 1)
			if err != nil || !(difference <= 1e-5*max(1, largest)) {
				t.Errorf("%s: simplified differs by %v of %v: %v", name, difference, largest, err)
			}
			for _, n := range ir.Unwrap(s).Graph.Node {
				bn := n.OpType == "BatchNormalization" && o.Mode != Train && !o.Half
				if bn || n.OpType == "Identity" || n.OpType == "Constant" {
					t.Errorf("%s: simplified still has %s", name, ir.Place(n))
				}
			}
			if want := valueCount(ir.Unwrap(s)); len(ir.Unwrap(s).Graph.ValueInfo) != want {
				t.Errorf("%s: %d of %d values have a shape", name, len(ir.Unwrap(s).Graph.ValueInfo), want)
			}
		})
	}
}

// valueCount is the number of values between a graph's input and output.
func valueCount(p *ir.Proto) int {
	n := -len(p.Graph.Output)
	for _, node := range p.Graph.Node {
		n += len(node.Output)
	}
	return n
}

// TestRunIsTheEngine compares exported graphs, run node by node, with the engine.
func TestRunIsTheEngine(t *testing.T) {
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		m := shaken(t, padding)
		e, err := engine.Compile(m, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{64, 63, 49} {
			for _, mode := range []Mode{Eval, Preserve} {
				for _, dynamic := range []Dynamic{Fixed, DynamicAll} {
					o := ExportOptions{Mode: mode, Dynamic: dynamic, Batch: 2, Resolution: size}
					p, err := Export(m, o)
					if err != nil {
						t.Fatal(err)
					}
					compareWithEngine(t, fmt.Sprint(padding, o), e, p, size)
				}
			}
		}
	}
}

// TestSameComesBack reads graphs whose padding follows the size of the input.
func TestSameComesBack(t *testing.T) {
	m := shaken(t, model.PadSame)
	for _, mode := range []Mode{Preserve, Train} {
		for opset := MinOpset; opset <= MaxOpset; opset++ {
			g, err := Export(m, ExportOptions{Mode: mode, Opset: opset, Dynamic: DynamicAll})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range ir.Unwrap(g).Graph.Node {
				if ir.Attr(n, "auto_pad") != nil && opset > 9 {
					t.Errorf("opset %d: %s leaves its padding to the reader", opset, ir.Place(n))
				}
			}
			back, err := Model(g)
			if err != nil {
				t.Fatal(err)
			}
			if !back.Config.Equal(m.Config) {
				t.Errorf("%s, opset %d: %+v came back", mode, opset, back.Config)
			}
			for name, want := range m.Dict {
				if !slices.Equal(back.Dict[name].Data, want.Data) {
					t.Errorf("%s, opset %d: %s is another", mode, opset, name)
				}
			}
		}
	}
}

func compareWithEngine(t *testing.T, name string, e *engine.Engine, p *Graph, size int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	nhwc, nchw := make([]float32, 2*size*size*3), make([]float32, 2*size*size*3)
	for i := range nhwc {
		nhwc[i] = float32(rng.NormFloat64())
		image, pixel, c := i/(size*size*3), i/3%(size*size), i%3
		nchw[(image*3+c)*size*size+pixel] = nhwc[i]
	}
	want := make([]float32, 2*5)
	if err := e.Run(t.Context(), engine.Input{Data: nhwc, N: 2, H: size, W: size}, engine.Output{Logits: want}); err != nil {
		t.Fatal(err)
	}
	got, err := Run(p, []int{2, 3, size, size}, nchw)
	if err != nil {
		t.Fatal(name, err)
	}
	for i, v := range got[0] {
		if d := math.Abs(float64(v - want[i])); !(d <= 1e-5) {
			t.Errorf("%s: logit %d is %v, the engine's %v", name, i, v, want[i])
		}
	}
}

func TestSimplifyModelZoo(t *testing.T) {
	p, err := Read(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(p); err != nil {
		t.Error(err)
	}
	if names := Unchecked(p); names != nil {
		t.Error("not checked:", names)
	}
	s, err := Simplify(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(s); err != nil {
		t.Error(err)
	}
	difference, largest, err := Difference(p, s, 1)
	if err != nil || difference != 0 || largest == 0 {
		t.Errorf("differs by %v of %v: %v", difference, largest, err)
	}
}

func TestSimplifyLeavesItsInput(t *testing.T) {
	p, err := Export(shaken(t, model.PadTorch), ExportOptions{Mode: Preserve})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := Marshal(p)
	if _, err := Simplify(p); err != nil {
		t.Fatal(err)
	}
	if after, _ := Marshal(p); !slices.Equal(before, after) {
		t.Error("the graph that was simplified has changed")
	}
}
