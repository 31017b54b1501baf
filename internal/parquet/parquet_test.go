package parquet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// table writes a table of n rows of every kind.
func table(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, "about", `{"a": "ü"}`, Column{"id", Int64}, Column{"name", Text}, Column{"raw", Binary}, Column{"x", Float32}, Column{"v", Floats})
	for i := range n {
		v := make([]float32, 1+i%5)
		for k := range v {
			v[k] = float32(i) + float32(k)/8
		}
		if err := w.Write(int64(i)-3, strings.Repeat("é\n", i%4), []byte{byte(i), 0xff}, float32(i)/2, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPyarrow has Apache's own reader read tables: none, one, and several groups of rows.
func TestPyarrow(t *testing.T) {
	python := testenv.Python(t, "pyarrow")
	const script = `
import sys, pyarrow.parquet as pq
for path, n in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    f = pq.ParquetFile(path)
    assert f.metadata.num_row_groups == -(-n // 4096), f.metadata
    t = f.read()
    t.validate(full=True)
    assert t.schema.metadata[b'about'] == '{"a": "ü"}'.encode()
    assert [str(x.type) for x in t.schema] == ['int64', 'string', 'binary', 'float', 'list<element: float not null>'], t.schema
    assert t['id'].to_pylist() == [i - 3 for i in range(n)]
    assert t['name'].to_pylist() == ['é\n' * (i % 4) for i in range(n)]
    assert t['raw'].to_pylist() == [bytes([i % 256, 255]) for i in range(n)]
    assert t['x'].to_pylist() == [i / 2 for i in range(n)]
    assert t['v'].to_pylist() == [[i + k / 8 for k in range(1 + i % 5)] for i in range(n)]
`
	args := []string{"-c", script}
	for _, n := range []string{"0", "1", "4096", "9000"} {
		path := filepath.Join(t.TempDir(), n+".parquet")
		rows := map[string]int{"0": 0, "1": 1, "4096": 4096, "9000": 9000}[n]
		if err := os.WriteFile(path, table(t, rows), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path, n)
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
