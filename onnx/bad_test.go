package onnx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// broken are well-formed graphs, each with one mistake in it, and what [Check] says.
// onnx.checker refuses them, too, but for those in stricter.
var broken = []struct {
	name  string
	spoil func(p *ir.Proto)
	want  string
}{
	{"cycle", func(p *ir.Proto) { nodeOf(p, "Conv", 0).Input[0] = nodeOf(p, "Clip", 1).Output[0] },
		`node "/features/features.0/features.0.0/Conv" (Conv): its input 0 "/features/features.1/conv/conv.0/conv.0.2/Clip_output_0" depends on its own output: the graph has a cycle`},
	{"order", func(p *ir.Proto) { slices.Reverse(p.Graph.Node) }, "is made only later, by"},
	{"missing initialiser", func(p *ir.Proto) { p.Graph.Initializer = p.Graph.Initializer[1:] },
		`node "/classifier/classifier.1/Gemm" (Gemm): its input 1 "classifier.1.weight" is neither an input of the graph, nor an initialiser, nor made by a node`},
	{"wrong dims", func(p *ir.Proto) { p.Graph.Initializer[2].Dims = []int64{32, 3, 3, 4} },
		`tensor "onnx::Conv_79": 3456 bytes of raw data for shape [32 3 3 4] of FLOAT`},
	{"weight that does not fit", func(p *ir.Proto) { p.Graph.Initializer[2].Dims = []int64{96, 1, 3, 3} },
		"the channels do not agree"},
	{"3 GB claimed", func(p *ir.Proto) { p.Graph.Initializer[0].Dims = []int64{3 << 28} },
		`tensor "classifier.1.weight": 25600 bytes of raw data for shape [805306368] of FLOAT`},
	{"overflowing dims", func(p *ir.Proto) { p.Graph.Initializer[0].Dims = []int64{1 << 40, 1 << 40} }, "overflows"},
	{"negative dims", func(p *ir.Proto) { p.Graph.Initializer[0].Dims = []int64{-5, -1280} }, "negative dimension"},
	{"two data fields", func(p *ir.Proto) { p.Graph.Initializer[0].FloatData = []float32{1} }, "its data is in 2 fields"},
	{"untyped tensor", func(p *ir.Proto) { p.Graph.Initializer[0].DataType = 0 }, "has no type"},
	{"made twice", func(p *ir.Proto) { nodeOf(p, "Conv", 1).Output[0] = nodeOf(p, "Conv", 0).Output[0] }, "is made twice, by node"},
	{"output not made", func(p *ir.Proto) { p.Graph.Output[0].Name = "nothing" }, `output "nothing": no node makes it`},
	{"no ir_version", func(p *ir.Proto) { p.IrVersion = 0 }, "ir_version 0: want at least 3"},
	{"no opset", func(p *ir.Proto) { p.OpsetImport = nil }, "the standard operators are not imported"},
	{"no graph name", func(p *ir.Proto) { p.Graph.Name = "" }, "the graph has no name"},
	{"old ir_version", func(p *ir.Proto) { p.IrVersion = 3 }, "is not an input, as ir_version 3 has it"},
	{"input without type", func(p *ir.Proto) { p.Graph.Input[0].Type = nil }, `input "images": has no type`},
	{"input without shape", func(p *ir.Proto) { p.Graph.Input[0].Type.GetTensorType().Shape = nil }, `input "images": has no shape`},
	{"unknown attribute", func(p *ir.Proto) { addAttribute(nodeOf(p, "Conv", 0), ir.IntOf("colour", 1)) }, `opset 13 has no attribute "colour" there`},
	{"attribute of an older opset", func(p *ir.Proto) { addAttribute(nodeOf(p, "Clip", 0), ir.FloatOf("max", 6)) }, `opset 13 has no attribute "max" there`},
	{"attribute of the wrong type", func(p *ir.Proto) { nodeOf(p, "Conv", 0).Attribute[1] = ir.FloatOf("group", 1) }, `attribute "group" is of type FLOAT, want INT`},
	{"attribute that lies", func(p *ir.Proto) { nodeOf(p, "Conv", 0).Attribute[0].I = new(int64) }, `attribute "dilations" holds no INTS`},
	{"no attribute", func(p *ir.Proto) { nodeOf(p, "Constant", 0).Attribute = nil }, "has 0 values, wants 1"},
	{"too few inputs", func(p *ir.Proto) { nodeOf(p, "Conv", 0).Input = []string{"images"} }, "has 1 inputs, wants 2 to 3"},
	{"too many inputs", func(p *ir.Proto) { n := nodeOf(p, "Flatten", 0); n.Input = append(n.Input, "images") }, "has 2 inputs, wants 1"},
	{"too many outputs", func(p *ir.Proto) { n := nodeOf(p, "Flatten", 0); n.Output = append(n.Output, "more") }, "has 2 outputs, wants 1"},
	{"no operator", func(p *ir.Proto) { nodeOf(p, "Flatten", 0).OpType = "" }, "has no operator"},
	{"domain not imported", func(p *ir.Proto) { nodeOf(p, "Flatten", 0).Domain = "com.example" }, `opset_import does not import its domain "com.example"`},
	{"wrong output shape", func(p *ir.Proto) { p.Graph.Output[0].Type.GetTensorType().Shape.Dim[1] = ir.Fixed(6) }, `value "output": is declared as FLOAT[1,6] but is FLOAT[1,5]`},
	{"wrong output type", func(p *ir.Proto) { p.Graph.Output[0].Type.GetTensorType().ElemType = 7 }, `value "output": is declared as INT64[1,5] but is FLOAT[1,5]`},
	{"types that do not mix", func(p *ir.Proto) { p.Graph.Input[0].Type.GetTensorType().ElemType = 2 }, `input 0 "images" is UINT8, want floating point`},
	{"Gemm that does not fit", func(p *ir.Proto) { nodeOf(p, "Gemm", 0).Attribute[2] = ir.IntOf("transB", 0) }, "1280 and 5 should be equal"},
	{"axis out of range", func(p *ir.Proto) { nodeOf(p, "Flatten", 0).Attribute[0] = ir.IntOf("axis", 7) }, "axis 7 of 4 dimensions"},
	{"wrong kernel", func(p *ir.Proto) { nodeOf(p, "Conv", 0).Attribute[2] = ir.IntsOf("kernel_shape", 5, 5) }, "kernel_shape [5 5], but weight is"},
}

// stricter names the mistakes that onnx.checker 1.12 lets pass.
var stricter = []string{"wrong dims", "weight that does not fit", "output not made", "wrong kernel"}

// nodeOf returns the i-th node of its kind.
func nodeOf(p *ir.Proto, op string, i int) *ir.Node {
	for _, n := range p.Graph.Node {
		if n.OpType == op {
			if i == 0 {
				return n
			}
			i--
		}
	}
	panic("no such node: " + op)
}

func addAttribute(n *ir.Node, a *ir.Attribute) { n.Attribute = append(n.Attribute, a) }

// spoilt returns the tiny network's graph with one mistake.
func spoilt(t testing.TB, spoil func(p *ir.Proto)) *Graph {
	t.Helper()
	g, err := Export(tiny(t), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := proto.Clone(ir.Unwrap(g)).(*ir.Proto)
	spoil(p)
	return ir.Wrap(p)
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for _, test := range broken {
		t.Run(test.name, func(t *testing.T) {
			p := spoilt(t, test.spoil)
			err := Check(p)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			// Whatever is wrong, nothing else panics.
			if s, err := Simplify(p); err == nil {
				Difference(p, s, 1)
			}
			Summary(p)
		})
	}
}

// TestCheckAgreesWithONNX has onnx.checker judge the same graphs, and well-formed
// ones.
func TestCheckAgreesWithONNX(t *testing.T) {
	python := testenv.SystemPython(t, "onnx", "onnx.checker")
	dir := t.TempDir()
	var names, files []string
	add := func(name string, p *Graph) {
		path := filepath.Join(dir, fmt.Sprintf("%02d %s.onnx", len(files), name))
		if err := Save(path, p); err != nil {
			t.Fatal(err)
		}
		names, files = append(names, name), append(files, path)
	}
	for _, test := range broken {
		add(test.name, spoilt(t, test.spoil))
	}
	add("sound", spoilt(t, func(*ir.Proto) {}))
	question, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join("..", "conformance", "check.py"))
	cmd.Stdin = bytes.NewReader(question)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct{ Version, Error string }
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(files) {
		t.Fatal(err, len(answers))
	}
	for i, a := range answers {
		p, err := Read(files[i])
		if err == nil {
			err = Check(p)
		}
		if (err != nil) != (a.Error != "") && !(err != nil && slices.Contains(stricter, names[i])) {
			t.Errorf("%s: ours says %v, onnx.checker %s says %q", filepath.Base(files[i]), err, a.Version, a.Error)
		}
	}
}

func TestUnknownOperatorsAreNotChecked(t *testing.T) {
	p := spoilt(t, func(p *ir.Proto) { nodeOf(p, "Flatten", 0).OpType = "Squish" })
	if err := Check(p); err != nil {
		t.Error(err)
	}
	if got := Unchecked(p); !slices.Equal(got, []string{`node "/Flatten" (Squish)`}) {
		t.Errorf("not checked: %v", got)
	}
}

func TestParseBrokenBytes(t *testing.T) {
	p, err := Export(tiny(t), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 10, 100, len(data) / 2, len(data) - 1} {
		_, err := Parse(data[:size], nil)
		if err == nil || !strings.Contains(err.Error(), "not an ONNX model: in ModelProto: unexpected EOF") {
			t.Errorf("%d of %d bytes: %v", size, len(data), err)
		}
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "at byte 0: not an ONNX model: it has no graph"},
		{"text", []byte("hello"), "at byte 2: not an ONNX model"},
		{"many messages", slices.Concat([]byte{7<<3 | 2, 0x80, 0x80, 0x80, 2}, slices.Repeat([]byte{1<<3 | 2, 0}, 1<<21)), "take more than 128 MB"},
		{"deep messages", deep(100), "nested more than 16 deep"},
	} {
		_, err := Parse(test.data, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}

// deep is a model with graphs in attributes of nodes of graphs.
func deep(levels int) []byte {
	p := &ir.Proto{Graph: &pb.GraphProto{}}
	for g := p.Graph; levels > 0; levels-- {
		a := &ir.Attribute{G: &pb.GraphProto{}}
		g.Node = []*ir.Node{{Attribute: []*ir.Attribute{a}}}
		g = a.G
	}
	data, err := ir.Marshal(p)
	if err != nil {
		panic(err)
	}
	return data
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path string) {
		if err := os.WriteFile(path, make([]byte, 32), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(model, "weights.bin"))
	write(filepath.Join(dir, "secret.bin"))
	if err := os.Symlink(filepath.Join(dir, "secret.bin"), filepath.Join(model, "link.bin")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	for _, test := range []struct{ location, offset, length, want string }{
		{"weights.bin", "0", "32", ""},
		{"weights.bin", "16", "16", "16 bytes of raw data for shape [8] of FLOAT"},
		{"./weights.bin", "", "", ""},
		{"weights.bin", "8", "32", `32 bytes at 8 of "weights.bin", which has 32`},
		{"weights.bin", "18446744073709551615", "32", "bytes at 18446744073709551615 of"},
		{"weights.bin", "-1", "", `offset "-1" is not a number of bytes`},
		{"weights.bin", "0", "3221225472", "3221225472 bytes at 0 of"},
		{"../secret.bin", "", "", "leads out of the model's folder"},
		{filepath.Join(dir, "secret.bin"), "", "", "leads out of the model's folder"},
		{"link.bin", "", "", "path escapes from parent"},
		{".", "", "", "a folder, not a file"},
		{"absent.bin", "", "", "no such file"},
		{"", "", "", "external data without a location"},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			tensor := &ir.Tensor{Name: "w", Dims: []int64{8}, DataType: 1, DataLocation: pb.TensorProto_EXTERNAL}
			for _, e := range [][2]string{{"location", test.location}, {"offset", test.offset}, {"length", test.length}} {
				if e[1] != "" {
					tensor.ExternalData = append(tensor.ExternalData, &pb.StringStringEntryProto{Key: e[0], Value: e[1]})
				}
			}
			path := filepath.Join(model, "m.onnx")
			if err := Save(path, ir.Wrap(&ir.Proto{Graph: &pb.GraphProto{Initializer: []*ir.Tensor{tensor}}})); err != nil {
				t.Fatal(err)
			}
			p, err := Read(path)
			if err == nil {
				_, err = ir.Floats(ir.Unwrap(p).Graph.Initializer[0])
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzParse checks that no bytes make the reader, the checker, the simplifier or the
// interpreter panic, and that what is read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, p := range seeds() {
		data, err := Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, nil)
		if err != nil {
			return
		}
		again, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := Parse(again, nil); err != nil || !proto.Equal(ir.Unwrap(p), ir.Unwrap(q)) {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		Summary(p)
		Unchecked(p)
		if Check(p) != nil {
			return
		}
		s, err := Simplify(p)
		if err != nil {
			return
		}
		if small(p) {
			Difference(p, s, 1)
		}
	})
}

// small reports whether running p takes little time.
func small(g *Graph) bool {
	p := ir.Unwrap(g)
	in, err := ops.InferShapes(p)
	if err != nil {
		return false
	}
	for _, t := range in.Types {
		shape, _ := t.Fixed()
		if ops.ElementCount(shape) > 1<<12 {
			return false
		}
	}
	return len(p.Graph.Node) < 100
}

// seeds are graphs of a few nodes each, which together use every operator.
func seeds() []*Graph {
	node := func(op string, inputs, outputs string, attrs ...*ir.Attribute) *ir.Node {
		return &ir.Node{OpType: op, Name: op, Input: strings.Fields(inputs), Output: strings.Fields(outputs), Attribute: attrs}
	}
	ones := func(name string, shape ...int) *ir.Tensor {
		return ir.FloatTensor(name, slices.Repeat([]float32{1}, ops.ElementCount(shape)), shape...)
	}
	graph := func(out []int, nodes []*ir.Node, tensors ...*ir.Tensor) *ir.Proto {
		var shape []*pb.TensorShapeProto_Dimension
		for _, n := range out {
			shape = append(shape, ir.Fixed(n))
		}
		return &ir.Proto{IrVersion: 8, OpsetImport: []*pb.OperatorSetIdProto{{Version: 14}, {Domain: "com.microsoft", Version: 1}}, Graph: &pb.GraphProto{
			Name: "g", Node: nodes, Initializer: tensors,
			Input:  []*ir.ValueInfo{ir.NewValueInfo("x", pb.TensorProto_FLOAT, ir.Fixed(1), ir.Fixed(2), ir.Free("h"), ir.Fixed(4))},
			Output: []*ir.ValueInfo{ir.NewValueInfo("y", pb.TensorProto_FLOAT, shape...)},
		}}
	}
	zero := &ir.Tensor{Name: "z", DataType: int32(pb.TensorProto_UINT8), RawData: []byte{7}}
	weights := &ir.Tensor{Name: "q", DataType: int32(pb.TensorProto_UINT8), Dims: []int64{2, 2, 1, 1}, RawData: []byte{1, 2, 3, 4}}
	list := []*ir.Proto{
		graph([]int{1, 2, 2, 2}, []*ir.Node{
			node("Pad", "x p", "a"),
			node("Conv", "a w", "b", ir.IntsOf("strides", 2, 2), ir.IntsOf("kernel_shape", 3, 3)),
			node("BatchNormalization", "b c c c c", "d"),
			node("Clip", "d s s", "y"),
		}, ir.IntTensor("p", []int64{0, 0, 0, 0, 0, 0, 1, 1}, 8), ones("w", 2, 2, 3, 3), ones("c", 2), ones("s")),
		graph([]int{1, 3}, []*ir.Node{
			node("ReduceMean", "x", "a", ir.IntsOf("axes", 2, 3), ir.IntOf("keepdims", 0)),
			node("Gemm", "a w b", "c", ir.IntOf("transB", 1)),
			node("Softmax", "c", "d", ir.IntOf("axis", 1)),
			node("Identity", "d", "y"),
		}, ones("w", 3, 2), ones("b", 3)),
		graph([]int{1, 8}, []*ir.Node{
			node("GlobalAveragePool", "x", "a"), node("Shape", "a", "s"), node("Gather", "s i", "n"),
			node("Unsqueeze", "n i2", "u"), node("Concat", "u m", "t", ir.IntOf("axis", 0)),
			node("Reshape", "a t", "b"), node("Squeeze", "b i2", "e"), node("Cast", "e", "f", ir.IntOf("to", 1)),
			node("MatMul", "b w", "y"),
		}, ir.IntTensor("i", []int64{0}), ir.IntTensor("i2", []int64{0}, 1), ir.IntTensor("m", []int64{-1}, 1), ones("w", 2, 8)),
		graph([]int{1, 2, 4, 4}, []*ir.Node{
			node("BatchNormalization", "x c c c c", "a r1 r2", ir.IntOf("training_mode", 1)),
			node("Transpose", "a", "b", ir.IntsOf("perm", 0, 1, 2, 3)), node("Relu", "b", "d"),
			node("Max", "d s", "e"), node("Min", "e s", "f"), node("Dropout", "f", "g m"),
			node("Sub", "g s", "h"), node("Mul", "h s", "i"), node("Div", "i s", "j"), node("Add", "j s", "y"),
		}, ones("c", 2), ones("s")),
		graph([]int{1, 2, 4, 4}, []*ir.Node{
			node("QuantizeLinear", "x s z", "a"),
			node("QLinearConv", "a s z q s z s z", "b"),
			node("QLinearAdd", "a s z b s z s z", "c"),
			node("DequantizeLinear", "c s z", "y"),
		}, ones("s"), zero, weights),
		graph([]int{1, 2, 1, 1}, []*ir.Node{
			node("QuantizeLinear", "x s z", "a"), node("QLinearGlobalAveragePool", "a s z s z", "b"),
			node("Flatten", "b", "c"), node("QLinearMatMul", "c s z q s z s z", "d"), node("DequantizeLinear", "b s z", "y"),
		}, ones("s"), zero, &ir.Tensor{Name: "q", DataType: int32(pb.TensorProto_UINT8), Dims: []int64{2, 2}, RawData: []byte{1, 2, 3, 4}}),
	}
	for _, p := range list {
		for _, n := range p.Graph.Node {
			if n.OpType == "QLinearAdd" || n.OpType == "QLinearGlobalAveragePool" {
				n.Domain = "com.microsoft"
			}
		}
	}
	var graphs []*Graph
	for _, p := range list {
		graphs = append(graphs, ir.Wrap(p))
	}
	return graphs
}

// TestSeeds keeps the seeds of the fuzz target well-formed and running.
func TestSeeds(t *testing.T) {
	for i, p := range seeds() {
		if err := Check(p); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		s, err := Simplify(p)
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		if d, _, err := Difference(p, s, 1); err != nil || d > 1e-5 {
			t.Errorf("%d: %v %v", i, d, err)
		}
	}
}
