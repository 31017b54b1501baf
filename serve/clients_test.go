package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/serve"
)

// TestTritonClients runs Triton's own clients, unmodified, over what they can do. Both
// speak to the same port.
func TestTritonClients(t *testing.T) {
	for script, module := range map[string]string{"triton.py": "tritonclient.http", "triton_grpc.py": "tritonclient.grpc"} {
		t.Run(module, func(t *testing.T) {
			python := testenv.Python(t, module)
			s, err := serve.New(t.Context(), serve.Options{Deadline: time.Minute, Models: []serve.Model{{Name: "fashion", Open: openBuiltin}}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			addr, ended := make(chan string, 1), make(chan error, 1)
			go func() {
				ended <- s.Run(ctx, serve.Listen{Addr: "127.0.0.1:0", Started: func(a net.Addr) { addr <- a.String() }})
			}()
			out, err := exec.Command(python, "testdata/"+script, <-addr, "fashion", boot, "Ankle boot").Output()
			var e *exec.ExitError
			if errors.As(err, &e) {
				t.Fatalf("%v: %s", err, e.Stderr)
			}
			var got []float64
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, logits, _ := direct(t)
			for i, v := range logits {
				if float32(got[i]) != v {
					t.Errorf("logit %d: %v, want %v", i, got[i], v)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
