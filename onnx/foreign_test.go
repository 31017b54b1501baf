package onnx_test

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// A foreignFile is what ONNX Runtime computes with a file of testdata/foreign: see foreign.py.
type foreignFile struct {
	Layers []foreignLayer
	Output [][]float32
}

// A foreignLayer is the bytes of all photos that a node puts out.
type foreignLayer struct {
	node string
	n    int
	sum  uint32
}

func (l *foreignLayer) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&l.node, &l.n, &l.sum})
}

// TestForeignBytes: every byte of every layer of networks that others quantised is ONNX
// Runtime's, in unsigned and signed bytes, with weights of either kind, one scale or many,
// biases of either kind, clips in between, sums in either order, a classifier in two parts,
// an input of bytes, a classifier in float32.
func TestForeignBytes(t *testing.T) {
	text, err := os.ReadFile("testdata/foreign/bytes.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Files map[string]foreignFile }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Files) != 12 {
		t.Fatalf("%d files", len(golden.Files))
	}
	for name, want := range golden.Files {
		t.Run(name, func(t *testing.T) {
			q := quantizedIn(t, filepath.Join("testdata/foreign", name+".onnx"))
			layers, logits := bytesOf(t, q, name)
			if !q.Logits { // and the last are numbers
				layers = layers[:len(layers)-1]
			}
			if len(layers) != len(want.Layers) {
				t.Fatalf("%d layers, ONNX Runtime has %d", len(layers), len(want.Layers))
			}
			for i, w := range want.Layers {
				if got := layers[i]; len(got) != w.n || crc32.ChecksumIEEE(got) != w.sum {
					t.Fatalf("%s: %d bytes of sum %08x, ONNX Runtime has %d of sum %08x", w.node, len(got), crc32.ChecksumIEEE(got), w.n, w.sum)
				}
			}
			same := cmp.Options{}
			if name == "float_last" {
				same = cmp.Options{cmpopts.EquateApprox(0, 1e-5)}
			}
			if diff := cmp.Diff(want.Output, logits, same); diff != "" {
				t.Errorf("logits (-ONNX Runtime +got):\n%s", diff)
			}
			if strings.HasPrefix(name, "qoperator") || name == "zoo" || name == "bytes_in" {
				checkSlowly(t, name, want.Output)
			}
		})
	}
}

// checkSlowly runs a graph of operators on bytes as it is.
func checkSlowly(t *testing.T, name string, want [][]float32) {
	g, err := onnx.Read(filepath.Join("testdata/foreign", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		x := make([]float32, 3*64*64)
		for k, v := range pixels("", i) { // the channels come first
			if x[k%3*64*64+k/3] = v; name == "bytes_in" {
				x[k%3*64*64+k/3] = 64*v + 128
			}
		}
		got, err := onnx.Run(g, []int{1, 3, 64, 64}, x)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], got[0]); diff != "" {
			t.Errorf("run slowly (-ONNX Runtime +got):\n%s", diff)
		}
	}
}

// quantizedIn reads a network of 8-bit integers.
func quantizedIn(t *testing.T, file string) *model.Quantized {
	t.Helper()
	g, err := onnx.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	m, q, err := onnx.Network(g)
	if err != nil {
		t.Fatal(err)
	}
	if q == nil {
		t.Fatalf("it does not run in 8 bits: %s", m.Unfit)
	}
	own, step := q.Dequantize(), 0.0
	if strings.Contains(file, "float_bias") {
		step = 1e-3 // its biases are rounded to integers
	}
	if !reflect.DeepEqual(own.Config, m.Config) || !m.Dequantized {
		t.Errorf("as float32 it is %+v, dequantised %v, want %+v", m.Config, m.Dequantized, own.Config)
	}
	for name, w := range own.Dict {
		for i, v := range w.Data {
			if got := m.Dict[name].Data[i]; !(math.Abs(float64(v-got)) <= 1e-6*math.Abs(float64(v))+step) && !strings.HasSuffix(name, "num_batches_tracked") {
				t.Fatalf("as float32 value %d of %s is %v, want %v", i, name, got, v)
			}
		}
	}
	return q
}

// bytesOf are what the layers of q put out for the photos of kinds_onnx.py, in the order
// they run, and the logits.
func bytesOf(t *testing.T, q *model.Quantized, name string) (layers [][]byte, logits [][]float32) {
	t.Helper()
	e, err := engine.CompileQuantized(q, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	in := engine.Input{N: 2, H: 64, W: 64}
	for i := range in.N {
		in.Data = append(in.Data, pixels("", i)...)
	}
	if name == "bytes_in" { // whose model takes photos, normalised as the file says
		in.Data, in.Pixels = nil, make([]uint8, 2*64*64*3)
		for i := range in.Pixels {
			in.Pixels[i] = uint8(uint64(i) * 2654435761 >> 13)
		}
	}
	of, order := quantizations(q)
	out := engine.Output{Logits: make([]float32, 2*q.Config.Classes), Features: make([]float32, 2*q.Config.Network().Features())}
	taps := map[string][]float32{}
	for _, m := range e.Modules() {
		if _, ok := of[m.Name]; ok {
			c, h, w := m.Shape(64, 64)
			taps[m.Name] = make([]float32, 2*c*h*w)
			out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: taps[m.Name]})
		}
	}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	add := func(data []float32, of model.Quantization) {
		b := make([]byte, len(data))
		for i, v := range data {
			if b[i] = of.Quantize(v); q.Signed {
				b[i] -= 128
			}
		}
		layers = append(layers, b)
	}
	for _, m := range order {
		add(taps[m], of[m])
	}
	add(out.Features, q.Pool)
	of8 := q.Classifier.Out
	if q.ClassBias != nil {
		of8 = q.ClassBias.Sum.Quantization
	}
	add(out.Logits, of8)
	n := q.Config.Classes
	return layers, [][]float32{out.Logits[:n], out.Logits[n:]}
}

// quantizations are what the bytes of q's modules stand for, and the modules in the order
// they run.
func quantizations(q *model.Quantized) (of map[string]model.Quantization, order []string) {
	of = map[string]model.Quantization{}
	at := 0
	add := func(module string, x model.Quantization) {
		of[module] = x
		order = append(order, module)
	}
	conv := func(module string) {
		add(module, q.Convs[at].Out)
		at++
	}
	n := q.Config.Network()
	conv("features.0")
	for i, b := range n.Blocks {
		convs := b.Convs()
		for _, c := range convs[:len(convs)-1] {
			conv(strings.TrimSuffix(c.Name, ".0"))
		}
		conv(b.Name + ".conv")
		if b.Residual() {
			add(b.Name, q.Sums[i].Quantization)
		}
	}
	conv(strings.TrimSuffix(n.Last.Name, ".0"))
	return of, order
}

// TestForeignUnfit: what computes with numbers somewhere is a network of float32, which
// names the first operator that does.
func TestForeignUnfit(t *testing.T) {
	for file, want := range map[string]string{
		"foreign/conv_only.onnx":   `(QuantizeLinear): it rounds bytes a second time, to others`,
		"foreign/float_first.onnx": `node "/features/features.0/features.0.0/Conv" (Conv): it takes numbers, not 8-bit integers`,
		"foreign/head_two.onnx":    `a quantised network with another head than one linear layer`,
		"kinds/dynamic.onnx":       `(DynamicQuantizeLinear): it rounds with a scale that is computed as the graph runs`,
		"kinds/fake_quant.onnx":    `(BatchNormalization): it computes with numbers, not with 8-bit integers`,
		"kinds/plain.onnx":         "",
	} {
		g, err := onnx.Read(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		m, q, err := onnx.Network(g)
		if err != nil || q != nil || m.Dequantized != (want != "") || !strings.Contains(m.Unfit, want) {
			t.Errorf("%s: %v, a network of integers %v, dequantised %v, unfit for %q, want %q", file, err, q != nil, m.Dequantized, m.Unfit, want)
		}
	}
}

// TestQuantizedIsRead: files of ours are the network that they were made of, to the bit.
func TestQuantizedIsRead(t *testing.T) {
	for name, change := range map[string]func(q *model.Quantized){
		"as we make them": func(q *model.Quantized) {},
		"bounded": func(q *model.Quantized) {
			for i, c := range q.Config.Network().Convs() {
				if l := &q.Convs[i]; c.ReLU6 && i%2 == 0 { // ReLU6 as bounds of the bytes
					l.Out.Scale, l.Out.Zero, l.Min, l.Max = 0.04, 60, 60, 210
				}
			}
		},
		"bytes for logits": func(q *model.Quantized) {
			q.Logits, q.Classifier.Out = true, model.Quantization{Scale: 1e6, Zero: 100}
		},
		"as others": func(q *model.Quantized) {
			q.Signed, q.Logits = true, true
			for i, b := range q.Config.Network().Blocks {
				q.Sums[i].Swapped = b.Residual()
			}
			q.Classifier.Out = model.Quantization{Scale: 0.3, Zero: 128}
			q.Classifier.Bias = make([]int32, len(q.Classifier.Bias))
			q.ClassBias = &model.ClassBias{Bytes: []uint8{0, 1, 130, 250, 255}, Of: model.Quantization{Scale: 0.1, Zero: 127}, Sum: model.QuantizedSum{Quantization: model.Quantization{Scale: 0.35, Zero: 120}, Swapped: true}}
		},
		"unsigned weights": func(q *model.Quantized) {
			q.Convs[3].Weight[5], q.Convs[3].Weight[6] = 200, -55
			for i := range q.Convs[3].Weight[7:] {
				q.Convs[3].Weight[7+i] = int16(i % 50)
			}
			for i := range q.Convs[3].Weight[:5] {
				q.Convs[3].Weight[i] = 9
			}
		},
		"symmetric": func(q *model.Quantized) {
			q.Signed = true
			n := q.Config.Network()
			for _, z := range []*model.Quantization{&q.Input, &q.Pool} {
				z.Zero = 128
			}
			for i, c := range n.Convs() {
				l := &q.Convs[i]
				l.Out.Zero, l.Min, l.Max = 128, 0, 255
				if c.ReLU6 {
					l.Min = 128
					l.Out.Scale = 6. / 127 / float32(1+i%2)
				}
			}
			for i, b := range n.Blocks {
				if b.Residual() {
					q.Sums[i].Zero = 128
				}
			}
			for _, p := range q.Parts() { // where all sums count as 0, nothing is left of the bias as a number
				for o, s := range p.Layer.Scale {
					if s == 0 {
						p.Layer.Bias[o] = 0
					}
				}
			}
		},
	} {
		for _, form := range []onnx.QuantizedForm{onnx.QDQ, onnx.QOperator} {
			t.Run(name+"/"+string(form), func(t *testing.T) {
				q := randomQuantized()
				for i, c := range q.Config.Network().Convs() { // recognised by bytes that begin at 0
					if l := &q.Convs[i]; c.ReLU6 {
						l.Out.Zero, l.Min, l.Max = 0, 0, 255
					}
				}
				for i, b := range q.Config.Network().Blocks {
					if !b.Residual() {
						q.Sums[i] = model.QuantizedSum{Quantization: model.Quantization{Scale: 1}}
					}
				}
				q.Classifier.Out = model.Quantization{Scale: 1}
				q.Labels = []string{"a", "b", "c", "d", "e"}
				change(q)
				g, err := onnx.ExportQuantized(q, form, onnx.ExportOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if err := onnx.Check(g); err != nil {
					t.Fatal(err)
				}
				m, got, err := onnx.Network(g)
				if err != nil {
					t.Fatal(err)
				}
				if got == nil {
					t.Fatal(m.Unfit)
				}
				if diff := cmp.Diff(q, got); diff != "" {
					t.Errorf("(-want +got):\n%.2000s", diff)
				}
			})
		}
	}
}

// TestForeignBroken: what can't be right is an error that names the node.
func TestForeignBroken(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		form  onnx.QuantizedForm
		spoil func(s *spoiler)
		want  string
		kind  fault.Kind
	}{
		"scale 0":     {onnx.QDQ, func(s *spoiler) { s.floats("features.2.conv.0.output_scale")[0] = 0 }, "a scale of 0: want a number above 0", fault.Broken},
		"scale NaN":   {onnx.QOperator, func(s *spoiler) { s.floats("features.2.conv.0.output_scale")[0] = nan }, "a scale of NaN", fault.Broken},
		"scale -1":    {onnx.QOperator, func(s *spoiler) { s.floats("avgpool.output_scale")[0] = -1 }, "a scale of -1", fault.Broken},
		"scale 1e-45": {onnx.QDQ, func(s *spoiler) { s.floats("input.output_scale")[0] = 1e-45 }, "a scale of 1e-45", fault.Broken},
		"scale 1e30": {onnx.QOperator, func(s *spoiler) {
			s.floats("input.output_scale")[0] = 1e30
			s.floats("features.0.0.weight_scale")[1] = 1e30
		}, "beyond float32", fault.Broken},
		"weights NaN":  {onnx.QDQ, func(s *spoiler) { s.floats("features.0.0.weight_scale")[3] = nan }, "a scale of NaN: want a number from 0 up", fault.Broken},
		"weights Inf":  {onnx.QOperator, func(s *spoiler) { s.floats("features.0.0.weight_scale")[3] = inf }, "a scale of +Inf", fault.Broken},
		"counts":       {onnx.QDQ, func(s *spoiler) { s.shorten("features.0.0.weight_scale") }, "7 scales and 8 zero points for axis 0", fault.Broken},
		"counts of Q":  {onnx.QOperator, func(s *spoiler) { s.shorten("features.0.0.weight_scale") }, "7 scales and 8 zero points for axis 0", fault.Broken},
		"zero missing": {onnx.QOperator, func(s *spoiler) { s.drop("features.0.0.weight_zero") }, "a zero point is missing", fault.Broken},
		"bias scale":   {onnx.QDQ, func(s *spoiler) { s.floats("features.0.0.bias_scale")[1] *= 2 }, "its bias has a scale of", fault.Unsupported},
		"two scales":   {onnx.QOperator, func(s *spoiler) { s.renew("features.2.conv.0.output_scale") }, "it computes with numbers", fault.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			q := randomQuantized()
			for i, c := range q.Config.Network().Convs() {
				if l := &q.Convs[i]; c.ReLU6 {
					l.Out.Zero, l.Min, l.Max = 0, 0, 255
				}
			}
			g, err := onnx.ExportQuantized(q, c.form, onnx.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			m, got, err := onnx.Network(spoilt(t, g, c.spoil))
			if c.kind == fault.Unsupported {
				if err == nil && (got != nil || !strings.Contains(m.Unfit, c.want)) {
					t.Errorf("unfit for %q, want %q", m.Unfit, c.want)
				}
				if err != nil && !errors.Is(err, errors.ErrUnsupported) {
					t.Error(err)
				}
				return
			}
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != c.kind || f.Place == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// A spoiler changes a graph's initialisers.
type spoiler struct {
	t *testing.T
	p *ir.Proto
}

// spoilt returns a copy of g with something wrong.
func spoilt(t *testing.T, g *onnx.Graph, spoil func(s *spoiler)) *onnx.Graph {
	t.Helper()
	s := &spoiler{t, proto.Clone(ir.Unwrap(g)).(*ir.Proto)}
	for _, c := range s.p.Graph.Initializer {
		if c.DataType == int32(pb.TensorProto_FLOAT) {
			list, err := ir.Floats(c)
			if err != nil {
				t.Fatal(err)
			}
			c.FloatData, c.RawData = list, nil
		}
	}
	spoil(s)
	return ir.Wrap(s.p)
}

func (s *spoiler) tensor(name string) *ir.Tensor {
	s.t.Helper()
	for _, c := range s.p.Graph.Initializer {
		if c.Name == name {
			return c
		}
	}
	s.t.Fatalf("no initialiser %s", name)
	return nil
}

// floats are the numbers of an initialiser, to be changed.
func (s *spoiler) floats(name string) []float32 { return s.tensor(name).FloatData }

// shorten leaves out the last of a list.
func (s *spoiler) shorten(name string) {
	c := s.tensor(name)
	c.FloatData = c.FloatData[1:]
	c.Dims[0]--
}

// drop leaves out an input wherever it is one.
func (s *spoiler) drop(name string) {
	for _, n := range s.p.Graph.Node {
		for i, in := range n.Input {
			if in == name {
				n.Input[i] = ""
			}
		}
	}
}

// renew gives the last node that takes an initialiser another one, twice as large.
func (s *spoiler) renew(name string) {
	c := proto.Clone(s.tensor(name)).(*ir.Tensor)
	c.Name += "_2"
	c.FloatData[0] *= 2
	s.p.Graph.Initializer = append(s.p.Graph.Initializer, c)
	for _, n := range slices.Backward(s.p.Graph.Node) {
		if i := slices.Index(n.Input, name); i >= 0 {
			n.Input[i] = c.Name
			return
		}
	}
}

// FuzzNetwork checks that no graph makes the importer of 8-bit networks panic. What it
// accepts is valid, and comes back from an export.
func FuzzNetwork(f *testing.F) {
	for _, pattern := range []string{"foreign/*.onnx", "import/q*.onnx", "kinds/*q*.onnx"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds ", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := onnx.Parse(data, nil)
		if err != nil {
			return
		}
		m, q, err := onnx.Network(g)
		if err != nil || q == nil {
			if err == nil && m.Dequantized == (m.Unfit == "") {
				t.Fatalf("dequantised %v, unfit for %q", m.Dequantized, m.Unfit)
			}
			return
		}
		if err := q.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := onnx.ExportQuantized(q, onnx.QDQ, onnx.ExportOptions{})
		if err != nil {
			return // with weights of other types, say
		}
		_, back, err := onnx.Network(again)
		if err != nil || back == nil {
			t.Fatalf("it did not come back: %v", err)
		}
		for i, l := range q.Convs {
			b := back.Convs[i]
			if l.Out != b.Out || l.Min != b.Min || l.Max != b.Max || !slices.Equal(l.Weight, b.Weight) || !slices.Equal(l.Scale, b.Scale) {
				t.Fatalf("convolution %d: %+v became %+v", i, l.Out, b.Out)
			}
		}
		if !slices.Equal(q.Sums, back.Sums) || q.Pool != back.Pool || q.Input != back.Input || q.Signed != back.Signed || q.Logits != back.Logits {
			t.Fatal("sums, pool or input became others")
		}
	})
}
