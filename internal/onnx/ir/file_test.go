package ir

import (
	"os"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

func TestParseModelZoo(t *testing.T) {
	data, err := os.ReadFile(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if !Match(data) || !Match(data[:200]) {
		t.Error("does not look like ONNX")
	}
	p, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := Opset(p); got != 12 {
		t.Errorf("opset %d, want 12", got)
	}
	eachTensor(p.Graph, func(tensor *Tensor) {
		if _, err := Elements(tensor); err != nil {
			t.Error(err)
		}
	})
}
