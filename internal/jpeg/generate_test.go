package jpeg

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestGenerated writes the generated assembly anew and compares.
func TestGenerated(t *testing.T) {
	testenv.CheckGenerated(t, "avx2_amd64", "-pkg", "jpeg")
}
