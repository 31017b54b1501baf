package search

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestFaiss has the ten best of 100,000 rows be those of faiss's IndexFlatIP.
func TestFaiss(t *testing.T) {
	python := testenv.Python(t, "numpy", "faiss")
	rng := rand.New(rand.NewPCG(13, 14))
	n, dim, queries := 100_000, 128, 32
	if testing.Short() {
		n = 5_000
	}
	rows := features(rng, n, dim)
	dir := t.TempDir()
	write := func(name string, rows [][]float32) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := WriteNPYHead(f, "<f4", len(rows), dim); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4*dim)
		for _, v := range rows {
			floats(b, Normalized(v))
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	asked := features(rng, queries, dim)
	const script = `
import faiss, json, numpy, sys
x, q = numpy.load(sys.argv[1]), numpy.load(sys.argv[2])
index = faiss.IndexFlatIP(x.shape[1])
index.add(x)
scores, rows = index.search(q, 10)
print(json.dumps([[{'Row': r, 'Score': s} for r, s in zip(*pair)] for pair in zip(rows.tolist(), scores.tolist())]))
`
	out, err := exec.Command(python, "-c", script, write("rows.npy", rows), write("queries.npy", asked)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want [][]Hit
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	got, err := indexOf(t, meta(dim), rows, 4096).Search(t.Context(), asked, Options{Top: 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		for j, h := range got[i] {
			if w := want[i][j]; h.Row != w.Row || math.Abs(h.Score-w.Score) > 1e-6 { // which is faiss's rounding
				t.Errorf("query %d, hit %d: got %v, faiss has %v", i, j, h, w)
			}
		}
	}
}
