package mobilenet_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// order lists the packages from the top down: each may import those below it.
// "" is the root package. internal/testenv is for tests only.
var order = []string{
	"cmd/mobilenet", "internal/flags", "bench/newmodel", "bench/augment", "bench/decode", "bench/duplicates", "bench/search", "bench/serve", "conformance", "serve", "explain", "search/duplicates", "search", "", "train", "train/report", "quant", "diagram", "engine",
	"tflite", "onnx", "internal/onnx/trace", "internal/onnx/simplify", "internal/onnx/check", "internal/onnx/export", "internal/onnx/ops", "internal/onnx/ir", "internal/onnx/pb", "internal/recognise",
	"internal/hub", "checkpoint",
	"internal/manifest", "internal/builtin", "dataset", "internal/foreign", "vision", "model", "internal/wholefile", "internal/kernel", "internal/atomicfile", "internal/boundedfile", "internal/drawing", "internal/fonts", "internal/half", "internal/hdf5", "internal/jpeg", "internal/parquet", "internal/png", "internal/prefetch", "internal/rfc4180", "fault", "internal/testenv",
}

// heavy packages are not for every program that classifies a photo.
var heavy = []string{"serve", "explain", "search/duplicates", "search", "train", "train/report", "quant", "diagram"}

func TestImportsPointDown(t *testing.T) {
	const module = "github.com/mobilenet-go/mobilenet"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		importer, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		from := listed(strings.TrimPrefix(importer, module))
		if from < 0 {
			t.Errorf("%s has no place in the order", importer)
			continue
		}
		for _, path := range strings.Fields(imports) {
			ours, ok := strings.CutPrefix(path, module)
			if !ok {
				continue
			}
			to := listed(ours)
			within := to == from && importer != path // a package and its own internal ones
			if to <= from && !within || order[from] == "" && slices.Contains(heavy, order[to]) {
				t.Errorf("%s imports %s", importer, path)
			}
		}
	}
}

// listed returns the place in order of a path inside the module: its own or that
// of the listed package whose internal folder it is in.
func listed(path string) int {
	owner, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/internal/")
	return slices.Index(order, owner)
}
