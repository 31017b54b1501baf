package mobilenet_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// order lists the packages from the top down: each may import those below it.
var order = []string{
	"cmd/mobilenet", "diagram", "", "engine", "onnx", "internal/hub", "checkpoint", "dataset", "vision", "model",
	"internal/kernel", "internal/atomicfile",
}

func TestImportsPointDown(t *testing.T) {
	const module = "github.com/mobilenet-go/mobilenet"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	place := func(path string) int {
		return slices.Index(order, strings.TrimPrefix(strings.TrimPrefix(path, module), "/"))
	}
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		if strings.HasSuffix(paths[0], "/internal/testenv") {
			continue // for tests only
		}
		for _, path := range paths[1:] {
			if strings.HasPrefix(path, module) && place(path) <= place(paths[0]) {
				t.Errorf("%s imports %s", paths[0], path)
			}
		}
	}
}
