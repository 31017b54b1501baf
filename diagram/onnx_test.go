package diagram

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// parse reads a model in protobuf's text format.
func parse(t testing.TB, s string) *onnx.Graph {
	t.Helper()
	p := new(ir.Proto)
	if err := prototext.Unmarshal([]byte(s), p); err != nil {
		t.Fatal(err)
	}
	return ir.Wrap(p)
}

// A convolution, its ReLU6 with one bound from an initialiser and one from a
// Constant node, and a shortcut around it.
const small = `
producer_name: "pytorch" producer_version: "1.13" opset_import { version: 13 }
graph {
  input { name: "x" type { tensor_type { elem_type: 1 shape { dim { dim_param: "batch" } dim { dim_value: 8 } dim { dim_value: 7 } dim { } } } } }
  initializer { name: "w" dims: 8 dims: 8 dims: 3 dims: 3 data_type: 1 }
  initializer { name: "zero" data_type: 1 float_data: 0 }
  node { op_type: "Conv" input: "x" input: "w" output: "y"
    attribute { name: "kernel_shape" ints: 3 ints: 3 } attribute { name: "pads" ints: 1 ints: 1 ints: 1 ints: 1 }
    attribute { name: "strides" ints: 1 ints: 1 } attribute { name: "dilations" ints: 2 ints: 1 } attribute { name: "group" i: 1 } }
  node { op_type: "Constant" output: "six" attribute { name: "value" t { data_type: 1 float_data: 6 } } }
  node { op_type: "Clip" input: "y" input: "zero" input: "six" output: "z" }
  node { op_type: "Add" input: "y" input: "z" output: "sum" }
  node { op_type: "Fancy" domain: "com.example" input: "sum" output: "out" attribute { name: "mode" s: "fast" } attribute { name: "scale" f: 0.333333333 } }
  value_info { name: "y" type { tensor_type { elem_type: 1 shape { dim { dim_param: "batch" } dim { dim_value: 8 } dim { dim_value: 7 } dim { dim_value: 9 } } } } }
  output { name: "out" type { tensor_type { elem_type: 10 shape { dim { dim_value: 1 } } } } }
}`

func TestONNX(t *testing.T) {
	d, err := ONNX("small.onnx", parse(t, small))
	if err != nil {
		t.Fatal(err)
	}
	c := layOut(t, d)
	checkCanvas(t, c)
	texts := svgTexts(t, written(t, d.SVG))
	for _, want := range []string{
		"small.onnx", "4 operators and 1 constant, opset 13, pytorch 1.13",
		"Conv", "3×3", "1 1 1 1", "2×1", "‹8×8×3×3›", "Clip", "min", "0", "max", "6", "Add", "Fancy", "com.example", "fast", "0.3333",
		"batch×8×7×9", "batch×8×7×?", "float32", "float16", "1",
	} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q among %q", want, texts)
		}
	}
	for _, unwanted := range []string{"strides", "group", "Constant"} {
		if slices.Contains(texts, unwanted) {
			t.Errorf("%q is drawn", unwanted)
		}
	}
	if n := strings.Count(written(t, d.Mermaid), "-->"); n != 6 {
		t.Errorf("%d arrows in Mermaid, want 6", n)
	}
	checkPNG(t, written(t, func(w io.Writer) error { return d.PNG(w, 1) }), c, 1)
}

func TestONNXOfTheModelZoo(t *testing.T) {
	p, err := onnx.Read(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := ONNX("mobilenetv2-12-int8.onnx", p)
	if err != nil {
		t.Fatal(err)
	}
	c := layOut(t, d)
	checkCanvas(t, c)
	if c.w < c.h || c.w > 3*c.h {
		t.Errorf("%v by %v points: want a picture somewhat wider than high", c.w, c.h)
	}
	dot := written(t, d.DOT)
	for _, n := range ir.Unwrap(p).Graph.Node {
		if !strings.Contains(dot, n.OpType) {
			t.Errorf("no %s in DOT", n.OpType)
		}
	}
}

// An exported network states no shapes between its operators: they are inferred.
func TestONNXOfAnExport(t *testing.T) {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := onnx.Export(m, onnx.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := ONNX("mobilenet_v2.onnx", p)
	if err != nil {
		t.Fatal(err)
	}
	checkCanvas(t, layOut(t, d))
	texts := svgTexts(t, written(t, d.SVG))
	count := map[string]int{}
	for _, s := range texts {
		count[s]++
	}
	for what, want := range map[string]int{
		"Conv": 52, "Clip": 35, "Add": 10, "Gemm": 1, "GlobalAveragePool": 1, "‹960×1×3×3›": 3,
		"1×32×112×112": 4, "1×576×14×14": 10, "1×1280×7×7": 2, "1×1280": 1, "1×1000": 2,
	} {
		if count[what] != want {
			t.Errorf("%s is drawn %d times, want %d", what, count[what], want)
		}
	}
}

// hostile names are hard on every format.
var hostile = []string{
	`"]; evil -> node [label="`, `<script>alert("&amp;")</script>`, "a\nb\r\x00\x1b[31m", "\xff\xfe", `\`, `\N\G`, "`*_#quot;",
	"--> end", "%%{init: {}}%%", "}", "]]>", "日本語のテンソル", strings.Repeat("long ", 1000), "", "1. item", "|", "---",
}

func TestHostileNames(t *testing.T) {
	for _, name := range hostile {
		g := graph{title: name, nodes: []node{
			{name: name, lines: []string{name, "key " + name}, group: other}, {name: name, group: tensors},
		}, edges: []edge{{from: 0, to: 1, label: name}}}
		d := &Drawing{graph: g, canvas: func() (*canvas, error) { return drawGraph(&g, name, "note") }}
		svg := written(t, d.SVG)
		svgTexts(t, svg)
		if strings.Contains(svg, "<script") {
			t.Errorf("%q: a tag got through", name)
		}
		checkDOT(t, written(t, d.DOT))
		checkMermaid(t, written(t, d.Mermaid))
		if err := d.PNG(io.Discard, 1); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if c := layOut(t, d); c.w > 1500 || c.h > 1500 {
			t.Errorf("%.20q: a picture of %v by %v", name, c.w, c.h)
		}
	}
}

var (
	dotLine = regexp.MustCompile(`^(digraph \{|\}|  (graph|node|edge|n\d+|n\d+ -> n\d+)( \[(\w+=(\w+|"([^"\\]|\\["\\n])*") ?)+\])?)$`)
	// What stands between the quotes has no quote, and no character that Mermaid,
	// Markdown or HTML would read, but for its own codes and <br>.
	mermaidText = `"([^"#&<>%` + "`" + `\\*_]|#\w+;|<br>)+"`
	mermaidLine = regexp.MustCompile(`^(---|title: "[^%]*"|flowchart TB|  n\d+\[` + mermaidText + `\]|  n\d+ -->(\|` + mermaidText + `\|)? n\d+|  classDef \w+ [\w:#,]+|  class [n\d,]+ \w+)$`)
)

// checkDOT and checkMermaid hold every line against the part of the languages
// that is written here.
func checkDOT(t *testing.T, s string) {
	t.Helper()
	for line := range strings.Lines(s) {
		if !dotLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("not DOT: %q", line)
		}
	}
}

func checkMermaid(t *testing.T, s string) {
	t.Helper()
	for line := range strings.Lines(s) {
		if !mermaidLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("not Mermaid: %q", line)
		}
	}
}

// Graphviz must read the hostile names back as they are.
func TestDOTByGraphviz(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		testenv.Skip(t, "graphviz", err.Error())
	}
	var g graph
	for _, name := range hostile {
		g.nodes = append(g.nodes, node{name: name, group: other})
	}
	cmd := exec.Command(dot, "-Tsvg")
	cmd.Stdin = strings.NewReader(written(t, g.writeDOT))
	svg, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := svgTexts(t, string(svg))
	for _, name := range hostile {
		want := strings.TrimSpace(clean(name))
		if !slices.ContainsFunc(texts, func(s string) bool { return strings.TrimSpace(strings.ReplaceAll(s, "\u00a0", " ")) == want }) && want != "" {
			t.Errorf("Graphviz does not show %q but %q", want, texts)
		}
	}
}

func TestONNXErrors(t *testing.T) {
	for want, s := range map[string]string{
		`node "c" (Conv): nothing makes the value "missing"`: `graph { node { name: "c" op_type: "Conv" input: "missing" output: "y" } }`,
		`nothing makes the value "out"`:                      `graph { output { name: "out" } }`,
		"cycle":                                              `graph { node { op_type: "A" input: "b" output: "a" } node { op_type: "B" input: "a" output: "b" } }`,
	} {
		d, err := ONNX("x", parse(t, s))
		if err == nil {
			err = d.SVG(io.Discard)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

// Files much larger than a network must give a picture or an error, soon.
func TestONNXSizes(t *testing.T) {
	chain := func(n int) string {
		var b strings.Builder
		b.WriteString(`graph { input { name: "v0" } `)
		for i := range n {
			fmt.Fprintf(&b, `node { op_type: "Relu" input: "v%d" output: "v%d" } `, i, i+1)
		}
		return b.String() + "}"
	}
	wide := `graph { input { name: "x" } ` + strings.Repeat(`node { op_type: "Relu" input: "x" } `, 3000) + "}"
	many := `graph { input { name: "x" } node { op_type: "Concat" ` + strings.Repeat(`input: "x" `, 30_000) + "} }"
	var tangle strings.Builder
	tangle.WriteString(`graph { input { name: "v0" } `)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		fmt.Fprintf(&tangle, `node { op_type: "Sum" input: "v%d" input: "v%d" input: "v%d" output: "v%d" } `,
			i, max(0, i-random.IntN(30)), random.IntN(i+1), i+1)
	}
	tangle.WriteString("}")
	long := `graph { initializer { name: "w" } node { op_type: "Concat" ` + strings.Repeat(`input: "w" `, 30_000) + "} }"
	for name, c := range map[string]struct{ model, want string }{
		"chain of 1500": {chain(1500), ""},
		"chain of 5000": {chain(5000), "5001 boxes: at most 4000 are laid out; DOT and Mermaid have no such limit"},
		"wide":          {wide, ""},
		"tangle":        {tangle.String(), "the arrows pass more than 40000 layers in all"},
		"many arrows":   {many, "30001 arrows"},
		"long box":      {long, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ONNX("x", parse(t, c.model))
			if err != nil {
				t.Fatal(err)
			}
			began := testenv.CPU()
			err = d.SVG(io.Discard)
			if took := testenv.CPU() - began; testenv.TooLong(took, 200) {
				t.Errorf("took %v", took)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			var dot bytes.Buffer
			if err := d.DOT(&dot); err != nil || dot.Len() == 0 {
				t.Errorf("DOT: %v", err)
			}
		})
	}
}
