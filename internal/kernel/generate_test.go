package kernel

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestGenerated writes the generated assembly anew and compares.
func TestGenerated(t *testing.T) {
	for _, isa := range []string{"avx2", "avx512", "int8_avx2", "int8_avxvnni", "int8_avx512vnni"} {
		t.Run(isa, func(t *testing.T) {
			testenv.CheckGenerated(t, isa+"_amd64", "-isa", isa, "-pkg", "kernel")
		})
	}
}
