package onnx

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

func TestReadModelZoo(t *testing.T) {
	p, err := Read(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if got := opset(p); got != 12 {
		t.Errorf("opset %d, want 12", got)
	}
	for _, tensor := range tensors(p.Graph) {
		if _, err := elements(tensor); err != nil {
			t.Error(err)
		}
	}
}
