package serve_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/serve"
)

// TestTritonClient runs Triton's own HTTP client, unmodified, over what it can do.
func TestTritonClient(t *testing.T) {
	python := testenv.Python(t, "tritonclient.http")
	_, url := start(t, serve.Options{Deadline: time.Minute})
	out, err := exec.Command(python, "testdata/triton.py", strings.TrimPrefix(url, "http://"), "fashion", boot, "Ankle boot").Output()
	if err != nil {
		if e, ok := err.(*exec.ExitError); ok {
			t.Fatalf("%v: %s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var got []float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	_, logits, _ := direct(t)
	for i, v := range logits {
		if float32(got[i]) != v {
			t.Errorf("logit %d: %v, want %v", i, got[i], v)
		}
	}
}
