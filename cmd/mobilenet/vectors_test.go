package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/search"
)

// embedded runs embed over the drawings, in a folder of its own, with the model in the
// program.
func embedded(t *testing.T, out string, flags ...string) {
	t.Helper()
	args := append([]string{"embed", "--model", "fashion-mnist", "-o", out, "shapes.png", "ankle-boot.png"}, flags...)
	if stderr, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, args...); err != nil || stderr != "" && !strings.HasPrefix(stderr, "mobilenet: fitting ") {
		t.Fatalf("%v: %v, %s", args, err, stderr)
	}
}

// TestVectorsInPython has numpy, pyarrow and faiss read what embed and search export
// write.
func TestVectorsInPython(t *testing.T) {
	python := testenv.Python(t, "numpy", "pyarrow", "faiss")
	drawings(t)
	for _, ending := range []string{"npy", "jsonl", "parquet"} {
		embedded(t, "a."+ending)
		embedded(t, "b."+ending, "--int8")
	}
	embedded(t, "a.mnidx")
	embedded(t, "n.npy", "--normalize")
	embedded(t, "p.npy", "--pca", "2")
	for format, out := range map[string]string{"faiss": "e.npy", "qdrant": "e.json", "milvus": "e.parquet", "pgvector": "e.csv"} {
		if _, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "search", "export", "-i", "a.mnidx", "-f", format, "-o", out); err != nil {
			t.Fatal(err)
		}
	}
	const script = `
import csv, faiss, json, numpy, pyarrow.parquet as pq
files = ['shapes.png', 'ankle-boot.png']
a = numpy.load('a.npy')
assert a.dtype == numpy.float32 and a.shape == (2, 320), a
about, *lines = [json.loads(l) for l in open('a.npy.jsonl')]
assert about['mobilenet']['dim'] == 320 and len(about['mobilenet']['sha256']) == 64, about
assert [l['file'] for l in lines] == files
same, *lines = [json.loads(l) for l in open('a.jsonl')]
assert same == about and [l['file'] for l in lines] == files
assert (numpy.array([l['embedding'] for l in lines], 'f4') == a).all()
t = pq.read_table('a.parquet')
assert json.loads(t.schema.metadata[b'mobilenet']) == about['mobilenet']
assert t['file'].to_pylist() == files and (numpy.array(t['embedding'].to_pylist(), 'f4') == a).all()

q = numpy.load('b.npy')
scale = numpy.array([json.loads(l)['scale'] for l in list(open('b.npy.jsonl'))[1:]], 'f4')[:, None]
assert q.dtype == numpy.int8 and (abs(q * scale - a) <= scale * 0.501).all()
lines = [json.loads(l) for l in open('b.jsonl')][1:]
assert (numpy.array([l['int8'] for l in lines]) == q).all()
t = pq.read_table('b.parquet')
assert (numpy.stack([numpy.frombuffer(b, 'i1') for b in t['int8'].to_pylist()]) == q).all()

unit = a / numpy.linalg.norm(a, axis=1, keepdims=True)
for name in 'n.npy', 'e.npy':
    assert abs(numpy.load(name) - unit).max() < 1e-7
p = numpy.load('p.npy')  # of two rows: half their difference, and nothing
assert abs(abs(p[:, 0]) - numpy.linalg.norm(a[0] - a[1]) / 2).max() < 1e-3 and abs(p[:, 1]).max() < 1e-3

x = numpy.load('e.npy')
index = faiss.index_factory(x.shape[1], 'HNSW32', faiss.METRIC_INNER_PRODUCT)
index.add(x)
assert index.search(x, 1)[1].ravel().tolist() == [0, 1]
points = [p for l in open('e.json') for p in json.loads(l)['points']]
assert [(p['id'], p['payload']['file']) for p in points] == list(enumerate(files))
t = pq.read_table('e.parquet')
assert t['id'].to_pylist() == [0, 1] and t['file'].to_pylist() == files
rows = list(csv.reader(open('e.csv', newline='')))
assert [r[:2] for r in rows] == [['0', files[0]], ['1', files[1]]]
for v in [p['vector'] for p in points], t['vector'].to_pylist(), [json.loads(r[2]) for r in rows]:
    assert (numpy.array(v, 'f4') == x).all()
`
	if out, err := exec.Command(python, "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestExportAsEmbedded has search export write, byte for byte, what embed writes of the
// same photos.
func TestExportAsEmbedded(t *testing.T) {
	drawings(t)
	for name, flags := range map[string][]string{"plain": nil, "normal": {"--normalize"}, "pca": {"--pca", "2"}} {
		index := name + ".mnidx"
		embedded(t, index, flags...)
		for _, format := range []string{"npy", "jsonl", "parquet"} {
			want, got := name+"."+format, name+"-exported."+format
			embedded(t, want, flags...)
			var out bytes.Buffer
			if _, err := mobilenetCommand(t.Context(), t, &out, "search", "export", "-i", index, "-f", format, "-o", got); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), got+": 2 rows of ") || strings.Count(out.String(), "\n") != 1 {
				t.Errorf("%s: said %q", got, out.String())
			}
			equalFiles(t, got, want)
			if format == "npy" {
				equalFiles(t, npyPaths(got), npyPaths(want))
			}
		}
	}
}

func equalFiles(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s has %d bytes, others than the %d of %s", got, len(a), len(b), want)
	}
}

// TestAppendToExport has rows that were bytes not be mixed with exact ones, and Parquet's
// refusal name a command that is there.
func TestAppendToExport(t *testing.T) {
	drawings(t)
	embedded(t, "a.mnidx", "--int8")
	if _, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "search", "export", "-i", "a.mnidx", "-f", "npy", "-o", "a.npy"); err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{"a.npy": "come of an index of bytes", "a.parquet": "search export --format parquet"} {
		_, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "embed", "--append", "--model", "fashion-mnist", "-o", out, "shapes.png")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", out, err, want)
		}
	}
}

// TestQueriesWithoutDirection: vectors that nothing can be searched for with are named, and
// don't stop the others.
func TestQueriesWithoutDirection(t *testing.T) {
	drawings(t)
	embedded(t, "a.mnidx")
	x, err := search.Open("a.mnidx")
	if err != nil {
		t.Fatal(err)
	}
	dim := x.Meta().Dim
	x.Close()
	array := func(name string, dim int, firsts ...float32) {
		var b bytes.Buffer
		if err := search.WriteNPYHead(&b, "<f4", len(firsts), dim); err != nil {
			t.Fatal(err)
		}
		for _, first := range firsts {
			row := make([]float32, dim)
			row[0] = first
			binary.Write(&b, binary.LittleEndian, row)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	array("q.npy", dim, 0, float32(math.NaN()), 1, float32(math.Inf(-1)))
	array("empty.npy", dim)
	array("narrow.npy", 2, 1)
	for _, test := range []struct{ file, stdout, stderr string }{
		{"q.npy", `^\{"query":"q.npy\[2\]","hits":\[\{.*\}\]\}\n$`,
			`^mobilenet: q.npy\[0\]: a vector of length 0 has no direction.*\nmobilenet: q.npy\[1\]: a vector of length NaN .*\nmobilenet: q.npy\[3\]: a vector of length \+Inf .*\n$`},
		{"empty.npy", `^$`, `empty.npy: an array of 0 rows`},
		{"narrow.npy", `^$`, `narrow.npy: 2 features, and the index is of \d+`},
	} {
		var out bytes.Buffer
		said, err := mobilenetCommand(t.Context(), t, &out, "search", "-i", "a.mnidx", "-f", "json", test.file)
		if err == nil {
			t.Errorf("%s: no error", test.file)
			continue
		}
		if !errors.Is(err, errReported) {
			said += err.Error()
		}
		if !regexp.MustCompile(test.stdout).MatchString(out.String()) || !regexp.MustCompile(test.stderr).MatchString(said) {
			t.Errorf("%s: %q and %q", test.file, &out, said)
		}
	}
}
