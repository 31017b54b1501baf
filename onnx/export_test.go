package onnx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// tiny is the network of testdata/golden.py.
func tiny(t testing.TB) *model.Model {
	t.Helper()
	c := model.Default()
	c.Table = []model.Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 2, C: 16, N: 1, S: 1}}
	c.Classes, c.Resolution = 5, 64
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestExportIsTorchs compares with what torch's exporter made of the same
// network, whose norms are fresh: every weight 1, every bias 0.
func TestExportIsTorchs(t *testing.T) {
	files, err := filepath.Glob("testdata/torch/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	m := tiny(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			parts := append(strings.Split(name, "_"), "")
			o := ExportOptions{Mode: Mode(parts[0]), Dynamic: Dynamic(parts[2])}
			if o.Opset, err = strconv.Atoi(parts[1]); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Export(m, o)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(string(want), "\n") // the versions
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(text), "\n"), dump(ir.Unwrap(p))); diff != "" {
				t.Errorf("torch (-), ours (+):\n%s", diff)
			}
		})
	}
}

// TestExportWidth1 compares with torch's exports of the standard network, and
// their sizes.
func TestExportWidth1(t *testing.T) {
	for _, test := range []struct {
		file string
		o    ExportOptions
	}{
		{"eval_opset13", ExportOptions{}},
		{"eval_opset13_dynamic", ExportOptions{Dynamic: DynamicAll}},
		{"eval_opset17", ExportOptions{Opset: 17}},
		{"evalbn_opset13", ExportOptions{Mode: Preserve}},
		{"train_opset13", ExportOptions{Mode: Train}},
		{"train_opset13_dynamic", ExportOptions{Mode: Train, Dynamic: DynamicAll}},
		{"train_opset17", ExportOptions{Mode: Train, Opset: 17}},
	} {
		t.Run(test.file, func(t *testing.T) {
			want := readGolden(t, testenv.Shared(t, "golden/onnx_"+test.file+".json"))
			p, err := Export(trained(t), test.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.lines(), dump(ir.Unwrap(p))); diff != "" {
				t.Errorf("torch (-), ours (+):\n%s", diff)
			}
			data, err := Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if ratio := float64(len(data)) / float64(want.Bytes); ratio < 0.995 || ratio > 1.005 {
				t.Errorf("%d bytes, torch's file has %d", len(data), want.Bytes)
			}
		})
	}
}

// trained is the standard network with running statistics and biases that differ
// everywhere, and weights of norms that are 1, as in the golden files.
func trained(t testing.TB) *model.Model {
	t.Helper()
	m, err := model.New(model.Default(), 1)
	if err != nil {
		t.Fatal(err)
	}
	v := float32(1)
	for _, c := range m.Config.Network().Convs() {
		for _, part := range []string{".bias", ".running_mean", ".running_var"} {
			for i := range m.Dict[c.Norm+part].Data {
				m.Dict[c.Norm+part].Data[i] = v
				v += 0x1p-14
			}
		}
	}
	return m
}

func TestExportIsDeterministic(t *testing.T) {
	var first []byte
	for range 5 {
		p, err := Export(tiny(t), ExportOptions{Mode: Preserve, Half: true})
		if err != nil {
			t.Fatal(err)
		}
		data, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if !bytes.Equal(first, data) {
			t.Fatal("two exports of one model differ")
		}
	}
}

func TestExportRefuses(t *testing.T) {
	for _, test := range []struct {
		o    ExportOptions
		want string
	}{
		{ExportOptions{Opset: 8}, "opset 8: want 9 to 23"},
		{ExportOptions{Opset: 24}, "opset 24: want 9 to 23"},
		{ExportOptions{Mode: "best"}, `mode "best": want`},
		{ExportOptions{Dynamic: "none"}, `dynamic axes "none"`},
		{ExportOptions{Batch: -1}, "batch of -1 images"},
		{ExportOptions{Resolution: 16}, "resolution 16"},
		{ExportOptions{Input: "x", Output: "x"}, `both called "x"`},
		{ExportOptions{Input: "classifier.1.bias"}, `a value called "classifier.1.bias" already`},
	} {
		_, err := Export(tiny(t), test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %q", test.o, err, test.want)
		}
	}
}

// BenchmarkExport is all that `mobilenet export` does with a width-1 model: read the
// checkpoint, make the graph, write the file.
func BenchmarkExport(b *testing.B) {
	dir := b.TempDir()
	from, to := filepath.Join(dir, "m.pth"), filepath.Join(dir, "m.onnx")
	if err := checkpoint.Save(from, trained(b), checkpoint.SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m, err := checkpoint.Open(from)
		if err != nil {
			b.Fatal(err)
		}
		p, err := Export(m, ExportOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := Save(to, p); err != nil {
			b.Fatal(err)
		}
	}
}

// dump prints a model one line a node, as testdata/golden.py does.
func dump(p *ir.Proto) []string {
	lines := []string{fmt.Sprintf("ir %d opset %d graph %s", p.IrVersion, ir.Opset(p), p.Graph.Name)}
	for _, v := range p.Graph.Input {
		lines = append(lines, "input "+dumpValue(v))
	}
	for _, v := range p.Graph.Output {
		lines = append(lines, "output "+dumpValue(v))
	}
	for _, n := range p.Graph.Node {
		line := fmt.Sprintf("%s %s (%s) -> (%s)", n.OpType, n.Name, strings.Join(n.Input, ", "), strings.Join(n.Output, ", "))
		for _, a := range n.Attribute {
			line += " " + dumpAttribute(a)
		}
		lines = append(lines, line)
	}
	for _, t := range p.Graph.Initializer {
		lines = append(lines, fmt.Sprintf("init %s %v%s", t.Name, ir.DataType(t.DataType), list(t.Dims)))
	}
	return lines
}

func dumpValue(v *ir.ValueInfo) string {
	tensor := v.Type.GetTensorType()
	var shape []string
	for _, d := range tensor.Shape.Dim {
		if name := d.GetDimParam(); name != "" {
			shape = append(shape, name)
		} else {
			shape = append(shape, fmt.Sprint(d.GetDimValue()))
		}
	}
	return fmt.Sprintf("%s %v%s", v.Name, ir.DataType(tensor.ElemType), list(shape))
}

func dumpAttribute(a *ir.Attribute) string {
	switch a.Type {
	case pb.AttributeProto_FLOAT:
		return a.Name + "=" + number(a.GetF())
	case pb.AttributeProto_INT:
		return fmt.Sprintf("%s=%d", a.Name, a.GetI())
	case pb.AttributeProto_STRING:
		return fmt.Sprintf("%s=%s", a.Name, a.GetS())
	case pb.AttributeProto_INTS:
		return a.Name + "=" + list(a.Ints)
	case pb.AttributeProto_TENSOR:
		var values []string
		if floats, err := ir.Floats(a.T); err == nil {
			for _, v := range floats {
				values = append(values, number(v))
			}
		} else if ints, err := ir.Ints(a.T); err == nil {
			for _, v := range ints {
				values = append(values, fmt.Sprint(v))
			}
		}
		return fmt.Sprintf("%s=%v%s{%s}", a.Name, ir.DataType(a.T.DataType), list(a.T.Dims), strings.Join(values, ","))
	}
	return fmt.Sprintf("%s=%v", a.Name, a.Type)
}

func number(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }

// list prints [a,b,c].
func list[T any](values []T) string {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(text, ",") + "]"
}

// A golden is a file of the shared golden data about torch's exports.
type golden struct {
	Bytes           int
	IR              int64 `json:"ir_version"`
	Opset           [][]any
	Graph           string `json:"graph_name"`
	Inputs, Outputs []struct {
		Name  string
		Type  int32 `json:"elem_type"`
		Shape []any
	}
	Nodes []struct {
		Op, Name        string
		Inputs, Outputs []string
		Attrs           map[string]any
	}
	Initializers []struct {
		Name  string
		Shape []any
		Type  int32 `json:"data_type"`
	}
}

func readGolden(t *testing.T, path string) golden {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// lines prints g as dump does. Attributes are in the order of their names, as
// torch writes them.
func (g golden) lines() []string {
	lines := []string{fmt.Sprintf("ir %d opset %v graph %s", g.IR, g.Opset[0][1], g.Graph)}
	for _, v := range g.Inputs {
		lines = append(lines, fmt.Sprintf("input %s %v%s", v.Name, ir.DataType(v.Type), list(v.Shape)))
	}
	for _, v := range g.Outputs {
		lines = append(lines, fmt.Sprintf("output %s %v%s", v.Name, ir.DataType(v.Type), list(v.Shape)))
	}
	for _, n := range g.Nodes {
		line := fmt.Sprintf("%s %s (%s) -> (%s)", n.Op, n.Name, strings.Join(n.Inputs, ", "), strings.Join(n.Outputs, ", "))
		for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
			line += " " + name + "=" + attrText(n.Attrs[name])
		}
		lines = append(lines, line)
	}
	for _, t := range g.Initializers {
		lines = append(lines, fmt.Sprintf("init %s %v%s", t.Name, ir.DataType(t.Type), list(t.Shape)))
	}
	return lines
}

func attrText(v any) string {
	switch v := v.(type) {
	case float64:
		return number(float32(v))
	case []any:
		return list(v)
	case map[string]any: // a tensor
		types := map[string]ir.DataType{"float32": pb.TensorProto_FLOAT, "bool": pb.TensorProto_BOOL}
		var values []string
		for _, x := range v["value"].([]any) {
			if x == true {
				x = 1.0
			}
			values = append(values, number(float32(x.(float64))))
		}
		return fmt.Sprintf("%v%s{%s}", types[v["dtype"].(string)], list(v["shape"].([]any)), strings.Join(values, ","))
	}
	return fmt.Sprint(v)
}
