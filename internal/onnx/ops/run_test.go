package ops

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestOperators checks and runs ONNX's own operator tests, those whose operators
// are known: Debian's package libonnx-testdata.
func TestOperators(t *testing.T) {
	const folder = "/usr/share/libonnx-testdata/data/node"
	files, _ := filepath.Glob(filepath.Join(folder, "*", "model.onnx"))
	if files == nil {
		testenv.Skip(t, "libonnx-testdata", folder+" is empty")
	}
	ran := 0
	for _, file := range files {
		dir := filepath.Dir(file)
		switch name := filepath.Base(dir); {
		case strings.HasPrefix(name, "test_training_dropout"): // ours drops nothing
			continue
		case strings.Contains(name, "BFLOAT16"): // the data says that it is uint16
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ir.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range p.Graph.Node {
				if _, ok := VersionOf(n, ir.Opset(p)); !ok {
					return
				}
			}
			if _, err := InferShapes(p); err != nil {
				t.Fatal(err)
			}
			if done, err := runOperatorTest(t, p, filepath.Join(dir, "test_data_set_0")); err != nil {
				t.Error(err)
			} else if done {
				ran++
			}
		})
	}
	if t.Logf("%d of %d were run", ran, len(files)); ran < 150 {
		t.Errorf("only %d were run", ran)
	}
}

// runOperatorTest compares the nodes' outputs with those in a folder of input_N.pb
// and output_N.pb. It returns false where the interpreter says that it cannot run
// the case.
func runOperatorTest(t *testing.T, p *ir.Proto, dir string) (done bool, err error) {
	values := map[string]*Value{}
	for i, in := range p.Graph.Input {
		v, err := readValue(filepath.Join(dir, fmt.Sprintf("input_%d.pb", i)))
		if err != nil {
			t.Log(err) // a type, such as string, that has no place here
			return false, nil
		}
		values[in.Name] = v
	}
	m := meter{maxLive, maxProducts}
	for _, n := range p.Graph.Node {
		if err := m.step(n, ir.Opset(p), values); err != nil {
			t.Log(err)
			return false, nil
		}
	}
	for i, out := range p.Graph.Output {
		want, err := readValue(filepath.Join(dir, fmt.Sprintf("output_%d.pb", i)))
		if err != nil {
			return false, err
		}
		got := values[out.Name]
		if got == nil || got.Elem != want.Elem || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
			return false, fmt.Errorf("output %q is %+v, want %+v", out.Name, got, want)
		}
		for j, v := range got.Data {
			if d := math.Abs(v - want.Data[j]); !(d <= 1e-5*(1+math.Abs(want.Data[j]))) {
				return false, fmt.Errorf("output %q: element %d is %v, want %v", out.Name, j, v, want.Data[j])
			}
		}
	}
	return true, nil
}

func readValue(path string) (*Value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tensor ir.Tensor
	if err := proto.Unmarshal(data, &tensor); err != nil {
		return nil, err
	}
	return ValueOf(&tensor)
}
