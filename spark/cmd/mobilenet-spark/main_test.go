package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/spark/worker"
)

// Spark runs the test's own program as the worker, and the tests as the command. A worker
// that finds a file to remove at $MOBILENET_TEST_CRASH ends at once, as if it were killed. While
// there is a folder $MOBILENET_TEST_HOLD each worker takes a file out of it, and one that finds
// none stands still. The process that does a worker's work dies of rows with the word deadly.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "worker" || os.Args[1] == "predict") {
		if crash := os.Getenv("MOBILENET_TEST_CRASH"); os.Args[1] == "worker" && crash != "" && os.Remove(crash) == nil {
			fmt.Println(`{"path":"half`)
			os.Exit(137)
		}
		if slices.Contains(os.Args, "--guarded") {
			os.Stdin = deadly(os.Stdin)
		} else if folder := os.Getenv("MOBILENET_TEST_HOLD"); os.Args[1] == "worker" && folder != "" {
			hold(folder)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// hold takes a file out of a folder. Where there is none it says so, and waits for the folder's end.
func hold(folder string) {
	files, err := os.ReadDir(folder)
	for _, f := range files {
		if os.Remove(filepath.Join(folder, f.Name())) == nil {
			return
		}
	}
	if err == nil {
		os.WriteFile(folder+".held", nil, 0o666)
	}
	for ; err == nil; _, err = os.Stat(folder) {
		time.Sleep(50 * time.Millisecond)
	}
}

// deadly passes rows on until one kills this process.
func deadly(in io.Reader) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	go func() {
		defer w.Close()
		for rows := bufio.NewReader(in); ; {
			row, err := rows.ReadBytes('\n')
			if bytes.Contains(row, []byte("deadly")) && bytes.Contains(row, []byte("\t\t")) { // without a fate
				self, _ := os.FindProcess(os.Getpid())
				self.Kill()
				select {}
			}
			if _, e := w.Write(row); e != nil || err != nil {
				return
			}
		}
	}()
	return r
}

// command runs the program.
func command(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.Execute()
	return out.String(), errs.String(), err
}

// fashion is a model that is in the repository, for photos of any kind.
func fashion(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../../internal/builtin/fashion-mnist.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fashion ${system:user.name} mnist's.safetensors")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostile are the names of files that somebody has.
var hostile = []string{
	"plain.png", "tab\there", "new\nline", "carriage\rreturn", `quote"s and 'those'`, "back\\slash", "a%20b", "a b+c&d=e?f#g", "\\N", "\x01\x02\x7f",
	"emoji 😀 and 𝕏", "e\u0301", "é", strings.Repeat("long", 60), "$(reboot)", "`reboot`", "{\"path\":1}", "null", "a,b", "\u2028",
}

// photo writes a photo that is like no other.
func photo(t *testing.T, path string, seed uint64) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 28, 28))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Pix {
		img.Pix[i] = byte(r.Uint32())
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// write writes a manifest of paths, the first of them twice.
func write(t *testing.T, paths []string) string {
	t.Helper()
	var b bytes.Buffer
	for _, path := range paths {
		line, err := json.Marshal(map[string]string{"path": path})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	name := filepath.Join(t.TempDir(), "photos.jsonl")
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// results reads the Parquet files of a folder, as anybody does.
func results(t *testing.T, dir string) map[string]parquetRow {
	t.Helper()
	files, err := parquetIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]parquetRow{}
	for _, f := range files {
		rows, err := parquet.ReadFile[parquetRow](f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if _, twice := all[r.Path]; twice {
				t.Errorf("%q is there twice", r.Path)
			}
			all[r.Path] = r
		}
	}
	return all
}

// check holds results against what the library says of each photo. Those of missing are
// not there.
func check(t *testing.T, model string, got map[string]parquetRow, paths, missing []string) {
	t.Helper()
	c, err := mobilenet.Open(t.Context(), model, mobilenet.WithThreads(1))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := mobilenet.Digest(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(paths)+len(missing) {
		t.Errorf("%d results, want %d", len(got), len(paths)+len(missing))
	}
	for _, path := range missing {
		if r, ok := got[path]; !ok || r.Error == nil || len(r.Predictions) > 0 {
			t.Errorf("%q: %+v, want an error", path, r)
		}
	}
	for _, path := range paths {
		img, err := mobilenet.DecodeFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		best, err := c.Classify(t.Context(), img, 2)
		if err != nil {
			t.Fatal(err)
		}
		want := parquetRow{Path: path, Model: digest, Version: version()}
		for _, p := range best {
			want.Predictions = append(want.Predictions, prediction{int32(p.Index), p.Label, p.Probability})
		}
		r := got[path]
		if len(r.Embedding) == 0 {
			r.Embedding = nil
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("%q: (-want +got)\n%s", path, d)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func TestLocal(t *testing.T) {
	model, dir, out := fashion(t), t.TempDir(), filepath.Join(t.TempDir(), "o[u]t")
	var paths []string
	for i, name := range hostile {
		paths = append(paths, filepath.Join(dir, name))
		photo(t, paths[i], uint64(i))
	}
	missing := []string{"nul\x00", strings.Repeat("x", 2000)}
	args := []string{"predict", "--local", "--input", write(t, append(missing, paths...)), "--output", out, "--model", model, "--top", "2", "--per-task", "3"}
	if _, _, err := command(args...); err == nil || !strings.Contains(err.Error(), "2 of 22 photos failed, 9.09 %, and --max-errors is 1%") {
		t.Errorf("two errors in 22: %v", err)
	}
	if exists(filepath.Join(out, "_SUCCESS")) {
		t.Error("marked as whole, with too many errors")
	}
	args = append(args, "--max-errors", "2")
	if _, _, err := command(args...); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("a folder with results: %v", err)
	}
	parts, _ := parquetIn(out)
	before, err := os.ReadFile(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(parts[1]) // as if the program had been killed
	if _, stderr, err := command(append(args, "--resume")...); err != nil || !strings.Contains(stderr, "19 results are there, 3 photos remain\n") || !strings.Contains(stderr, "3 of 3 photos, ") {
		t.Errorf("%v: %s", err, stderr)
	}
	if after, err := os.ReadFile(parts[1]); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the part that was gone has other bytes: %v", err)
	}
	if !exists(filepath.Join(out, "_SUCCESS")) {
		t.Error("not marked as whole")
	}
	if _, _, err := command(append(args, "--resume", "--max-errors", "0")...); err == nil || exists(filepath.Join(out, "_SUCCESS")) {
		t.Errorf("the mark of an earlier run stays when one fails: %v", err)
	}
	if _, _, err := command(append(args, "--resume")...); err != nil || !exists(filepath.Join(out, "_SUCCESS")) {
		t.Errorf("not marked again: %v", err)
	}
	if _, _, err := command(append(args, "--resume", "--per-task", "4")...); err == nil || !strings.Contains(err.Error(), "the list changed, or --per-task") || !exists(filepath.Join(out, "_SUCCESS")) {
		t.Errorf("another --per-task, which writes nothing: %v", err)
	}
	check(t, model, results(t, out), paths, missing)
	if _, stderr, err := command(append(args, "--resume", "--top", "1")...); err == nil || !strings.Contains(err.Error(), "other settings") || strings.Contains(stderr, "are there") {
		t.Errorf("another --top: %v: %s", err, stderr)
	}
	last, _ := os.ReadFile(parts[len(parts)-1]) // which has fewer rows
	for cause, data := range map[string][]byte{"cut off, or no Parquet file": before[:len(before)-9], "cut off, or": nil, "1 rows of 3": last} {
		os.WriteFile(parts[1], data, 0o666)
		_, stderr, err := command(append(args, "--resume")...)
		now, _ := os.ReadFile(parts[1])
		if err != nil || !strings.HasPrefix(stderr, parts[1]+": "+cause) || !strings.Contains(stderr, ": it is written again\n19 results are there, 3 photos remain\n") || !bytes.Equal(now, before) {
			t.Errorf("a part of %d bytes: %v: %s", len(data), err, stderr)
		}
	}
	os.Remove(parts[1])
	if _, _, err := command(append(args, "--resume")...); err != nil || !exists(filepath.Join(out, "_SUCCESS")) {
		t.Errorf("without the broken part: %v", err)
	}
}

// The photos of shards are found by their places, and Parquet and CSV are manifests, too.
func TestManifests(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	photo(t, filepath.Join(dir, "a.png"), 1)
	os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o666)
	stdout, stderr, err := command("list", dir)
	want := fmt.Sprintf("{\"path\":%q}\n", filepath.Join(dir, "a.png"))
	if err != nil || stdout != want || !strings.HasPrefix(stderr, "1 file is left out: ") || !strings.Contains(stderr, "--all lists all files") {
		t.Errorf("%v: %s, want %s; %s", err, stdout, want, stderr)
	}
	if stdout, stderr, err := command("list", "--all", dir); err != nil || strings.Count(stdout, "\n") != 2 || stderr != "" {
		t.Errorf("--all: %v: %s; %s", err, stdout, stderr)
	}
	empty := t.TempDir()
	if stdout, stderr, err := command("list", dir, empty); err == nil || stdout != want || !strings.HasPrefix(stderr, "error: "+empty+": no photos were found\n") {
		t.Errorf("an empty folder: %v: %s; %s", err, stdout, stderr)
	}
	type row struct {
		Path string `parquet:"path"`
	}
	rows := filepath.Join(t.TempDir(), "photos.parquet")
	if err := parquet.WriteFile(rows, []row{{filepath.Join(dir, "a.png")}, {"none"}}); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "photos.csv")
	os.WriteFile(text, []byte("id,path,member,offset,size\n1,"+filepath.Join(dir, "a.png")+",,,\n2,none,,,\n"), 0o666)
	for _, in := range []string{rows, text} {
		out := t.TempDir()
		if _, _, err := command("predict", "--local", "-i", in, "-o", out, "-m", model, "--top", "2", "--max-errors", "50%"); err != nil {
			t.Fatal(err)
		}
		check(t, model, results(t, out), []string{filepath.Join(dir, "a.png")}, []string{"none"})
	}
}

// explanations holds results of explain --class top2 against what the library says.
func explanations(t *testing.T, model string, got map[string]parquetRow, paths []string) {
	t.Helper()
	c, err := mobilenet.Open(t.Context(), model, mobilenet.WithThreads(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		img, err := mobilenet.DecodeFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		x, err := c.Explain(t.Context(), img, mobilenet.ExplainOptions{Top: 2})
		if err != nil {
			t.Fatal(err)
		}
		seen := c.Seen(28, 28)
		h, w := c.Config().InputSize()
		want := &worker.Explanation{
			Width: 28, Height: 28, Seen: []float64{seen.Left, seen.Top, seen.Right, seen.Bottom}, Input: []int32{int32(h), int32(w)},
			Method: "cam", Layer: x.Layer, MapHeight: int32(x.Height), MapWidth: int32(x.Width),
		}
		for _, m := range x.Maps {
			want.Classes = append(want.Classes, worker.ClassMap{Index: int32(m.Index), Label: m.Label, Probability: m.Probability, Logit: m.Logit, Bias: m.Bias, Map: m.Values})
		}
		r := got[path]
		if d := cmp.Diff(want, r.Explanation); d != "" || len(r.Predictions)+len(r.Embedding) > 0 {
			t.Errorf("%q: (-want +got)\n%s", path, d)
		}
	}
}

// The statements say every delimiter, carry no bytes of photos (Spark's base64 breaks lines),
// and look for the program in the folders into which ADD FILE may put it. Nothing is run.
func TestPrintSQL(t *testing.T) {
	model, out := fashion(t), filepath.Join(t.TempDir(), "out")
	stdout, _, err := command("predict", "--print-sql", "--input", "s3a://b/it's.parquet", "--output", out, "--model", model, "--top", "1")
	if err != nil || exists(out) {
		t.Fatal(err, exists(out))
	}
	digest, err := mobilenet.Digest(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	const format = `ROW FORMAT DELIMITED FIELDS TERMINATED BY '\u0001' LINES TERMINATED BY '\n' NULL DEFINED AS '\u0002'`
	if strings.Count(stdout, format) != 2 || strings.Contains(strings.ToLower(stdout), "base64") {
		t.Error("delimiters are not said both ways, or there is base64")
	}
	for _, part := range []string{
		"ADD FILE '/", `fashion ${system:user.name} mnist\'s.safetensors';`, "USING parquet OPTIONS (path 's3a://b/it\\'s.parquet'", "LEFT ANTI JOIN", "REPARTITION_BY_RANGE", "from_json(",
		digest, "--expect-version=", "--stall=30s", "| head -n 1)", "SET spark.sql.variable.substitute=false;\nSET ", "fileoutputcommitter.algorithm.version=1", "INSERT INTO mobilenet_results", "FULL OUTER JOIN",
	} {
		if strings.Contains(stdout, part) == (part == "LEFT ANTI JOIN") { // without --resume
			t.Errorf("%q: %s", part, stdout)
		}
	}
	if stdout, _, err := command("predict", "--print-sql", "--resume", "-i", "db.photos", "-o", out, "-m", model); err != nil || !strings.Contains(stdout, "LEFT ANTI JOIN") || !strings.Contains(stdout, "AS SELECT * FROM db.photos;") {
		t.Errorf("%v: %s", err, stdout)
	}
}

func TestExplain(t *testing.T) {
	model, dir, out := fashion(t), t.TempDir(), filepath.Join(t.TempDir(), "out")
	var paths []string
	for i := range 5 {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		photo(t, paths[i], uint64(i))
	}
	args := []string{"explain", "--local", "--input", write(t, append(paths, "none")), "--output", out, "--model", model, "--max-errors", "20%"}
	if _, _, err := command(append(args, "--class", "top2")...); err != nil {
		t.Fatal(err)
	}
	got := results(t, out)
	explanations(t, model, got, paths)
	if r := got["none"]; r.Error == nil || r.Explanation != nil {
		t.Errorf("a photo that isn't there: %+v", r)
	}
	for _, c := range []struct{ flag, want string }{
		{"--class=Coat", "other settings"}, {"--class=coats", "no class has that name"}, {"--class=10", "want 0 to 9"}, {"--layer=features.99", "features.99"}, {"--method=magic", "magic"},
	} {
		if c.want != "other settings" {
			os.RemoveAll(out)
		}
		if _, _, err := command(append(args, "--resume", c.flag)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.flag, err)
		}
	}
	if _, _, err := command(append(args, "--class=Coat", "--class=0", "--method=occlusion")...); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if e := results(t, out)[path].Explanation; e == nil || len(e.Classes) != 2 || e.Classes[0].Label != "Coat" || e.Classes[1].Index != 0 || e.MapWidth != 14 || e.Layer != "" {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// The worker outlives a photo that its process dies of, and says what is wrong with a model.
func TestWorker(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	var in bytes.Buffer
	for i := range 20 {
		name := filepath.Join(dir, fmt.Sprint(i))
		if photo(t, name, uint64(i)); i == 7 {
			name = "deadly"
		}
		fmt.Fprintf(&in, "{\"path\":%q}\n", name)
	}
	cmd := exec.Command(os.Args[0], "worker", "--model="+model, "--top=1")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil || bytes.Count(out, []byte("predictions")) != 19 || !bytes.Contains(out, []byte(`{"path":"deadly","error":"the worker's process dies of it: `)) {
		t.Errorf("%v: %s", err, out)
	}
	cmd = exec.Command(os.Args[0], "worker", "--model="+model, "--digest=0")
	cmd.Stderr = &in
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 || strings.Count(in.String(), "has the SHA-256") != 1 {
		t.Errorf("%v: %s", err, in.String())
	}
}

// A row that says too little of an archive, or too much, is told what is wrong with it.
func TestWorkerArchives(t *testing.T) {
	dir, model := t.TempDir(), fashion(t)
	name := filepath.Join(dir, "a.png")
	photo(t, name, 1)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var plain, packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(io.MultiWriter(&plain, z))
	w.WriteHeader(&tar.Header{Name: "a.png", Size: int64(len(data)), Mode: 0o644})
	w.Write(data)
	w.Close()
	z.Close()
	put(t, filepath.Join(dir, "a.tar"), plain.String())
	put(t, filepath.Join(dir, "a.tar.gz"), packed.String())
	var in bytes.Buffer
	cases := []struct{ path, row, want string }{
		{"a.tar", fmt.Sprintf(`"member":"a.png","offset":512,"size":%d`, len(data)), ""},
		{"a.tar.gz", fmt.Sprintf(`"member":"a.png","size":%d`, len(data)), ""},
		{"a.png", `"size":1`, ""}, // of what is no member it is no place
		{"a.tar", `"member":"a.png","offset":512,"size":7`, fmt.Sprintf("that member has %d bytes, and the row's size is 7", len(data))},
		{"a.tar", `"member":"a.png","size":7`, fmt.Sprintf("that member has %d bytes, and the row's size is 7", len(data))},
		{"a.tar.gz", fmt.Sprintf(`"member":"a.png","offset":512,"size":%d`, len(data)), "the archive is packed: its members have names, and no offsets"},
		{"a.tar", `"x":0`, "not an image: none of JPEG, PNG"},
		{"a.tar.gz", `"x":0`, "a member of an archive has a row of its own, as mobilenet-spark list writes them"},
		{"none.tar", `"x":0`, "no such file or directory"},
		{"a.tar", `"offset":"x"`, "offset and size are whole numbers"},
		{"a.png", `"member":"a.png"`, "not a tar archive, and the row names a member"},
	}
	for i, c := range cases {
		fmt.Fprintf(&in, "{\"path\":%q,%s,\"row\":%d}\n", filepath.Join(dir, c.path), c.row, i)
	}
	cmd := exec.Command(os.Args[0], "worker", "--model="+model, "--top=1")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil || bytes.Count(out, []byte("\n")) != len(cases) {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range bytes.Lines(out) {
		var r struct {
			Row   int
			Error string
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		want := cases[r.Row].want
		if (r.Error == "") != (want == "") || !strings.Contains(r.Error, want) || strings.HasPrefix(want, "offset") && r.Error != want {
			t.Errorf("%+v: %s", cases[r.Row], line)
		}
	}
}

func TestWorkerRefuses(t *testing.T) {
	model := fashion(t)
	for _, c := range []struct{ flag, want string }{
		{"--digest=0", "has the SHA-256"}, {"--expect-version=v0", "all nodes need the same"}, {"--model=none.pth", "file does not exist"},
	} {
		if _, _, err := command("worker", "--guarded", "--model", model, c.flag); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.flag, err)
		}
	}
}

// Too many errors end a job after a chunk, and not only at its end.
func TestLocalChunks(t *testing.T) {
	var missing []string
	for i := range 100 {
		missing = append(missing, fmt.Sprint("none", i))
	}
	out := t.TempDir()
	_, stderr, err := command("predict", "--local", "-i", write(t, missing), "-o", out, "-m", fashion(t), "--per-task", "5", "--chunk", "20", "--threads", "1")
	if err == nil || !strings.HasPrefix(err.Error(), "20 of 20 photos failed, 100.00 %, and --max-errors is 1%\nrows with errors are results, too, which --resume leaves") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if parts, _ := parquetIn(out); len(parts) != 4 {
		t.Errorf("%d parts", len(parts))
	}
}

// What can't be listed is said, and the rest is listed.
func TestListOfDamaged(t *testing.T) {
	dir := t.TempDir()
	var shard bytes.Buffer
	w := tar.NewWriter(&shard)
	for _, name := range []string{"a.png", "\xe9.png"} {
		w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o644, Format: tar.FormatGNU})
		w.Write([]byte("x"))
	}
	w.Close()
	for name, data := range map[string][]byte{"a.tar": shard.Bytes(), "broken.tar": bytes.Repeat([]byte("x"), 2000), "empty.tar": nil, "z.tar": shard.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	wrong, lines := 4, 2                                                    // two shards, and a member of each other one
	if os.WriteFile(filepath.Join(dir, "caf\xe9.png"), nil, 0o666) == nil { // some systems refuse the name
		wrong++
	}
	stdout, stderr, err := command("list", dir, filepath.Join(dir, "none"), filepath.Join(dir, "z.tar"))
	wrong, lines = wrong+2, lines+1
	if err == nil || strings.Count(stderr, "error: ") != wrong || strings.Count(stdout, "\n") != lines || strings.Contains(stdout, "fffd") || strings.Contains(stdout, "\ufffd") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	for _, part := range []string{"broken.tar: a damaged archive", "empty.tar: a damaged archive", `"\xe9.png" is left out: its name isn't UTF-8`} {
		if !strings.Contains(stderr, part) {
			t.Errorf("%s: %s", part, stderr)
		}
	}
}

// Of members of one name a packed shard has no places: the second would get the first's result.
func TestListOfOneName(t *testing.T) {
	dir := t.TempDir()
	var plain, packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(io.MultiWriter(&plain, z))
	for i, name := range []string{"a.png", "b.png", "a.png", "a.txt", "a.txt"} {
		w.WriteHeader(&tar.Header{Name: name, Size: int64(i), Mode: 0o644})
		w.Write(make([]byte, i))
	}
	w.WriteHeader(&tar.Header{Name: "c.png", Typeflag: tar.TypeSymlink, Linkname: "a.png"})
	w.WriteHeader(&tar.Header{Name: "c.png", Size: 1, Mode: 0o644}) // the first file of that name
	w.Write([]byte{0})
	w.Close()
	z.Close()
	put(t, filepath.Join(dir, "a.tar"), plain.String())
	name := filepath.Join(dir, "a.tar.gz")
	put(t, name, packed.String())
	stdout, stderr, err := command("list", name)
	want := fmt.Sprintf("{\"path\":%[1]q,\"member\":\"a.png\"}\n{\"path\":%[1]q,\"member\":\"b.png\"}\n{\"path\":%[1]q,\"member\":\"c.png\"}\n", name)
	if err == nil || stdout != want || !strings.HasPrefix(stderr, "error: "+name+": another a.png is left out: rows without places name the first\nerror: "+name+": c.png is left out: a link") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	if stdout, _, _ := command("list", filepath.Join(dir, "a.tar")); strings.Count(stdout, "a.png") != 2 {
		t.Errorf("a plain shard: %s", stdout)
	}
}

// Links lead to photos, and a folder that is one is listed; those to folders are told.
func TestListOfLinks(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	if err := os.MkdirAll(filepath.Join(photos, "below"), 0o777); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(photos, "below", "a.png"), "")
	for name, to := range map[string]string{"photos/b.png": "below/a.png", "photos/gone.png": "nowhere", "photos/loop": ".", "photos/c.png": "/dev/null", "link": "photos"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	stdout, stderr, err := command("list", filepath.Join(dir, "link"))
	want := ""
	for _, name := range []string{"b.png", "below/a.png", "gone.png"} {
		want += fmt.Sprintf("{\"path\":%q}\n", filepath.Join(dir, "link", name))
	}
	if err == nil || stdout != want || stderr != fmt.Sprintf("error: %s is a link to a folder, which is not followed\n", filepath.Join(dir, "link", "loop")) {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"list"}, {"predict"}, {"predict", "x"}, {"predict", "--local"}, {"embed", "--none"}, {"worker", "x"}, {"classify"}, {"worker"}, {"worker", "--embed"},
		{"worker", "-m", "x", "--top=-1"}, {"worker", "-m", "x", "--precision=double"}, {"worker", "-m", "x", "--crop=2.5"}, {"worker", "-m", "x", "--batch=0"},
		{"worker", "-m", "x", "--explain", "--embed"}, {"worker", "-m", "x", "--explain", "--top=2"}, {"worker", "-m", "x", "--class=top2"},
		{"worker", "-m", "x", "--layer=features.14"}, {"worker", "-m", "x", "--normalize"}, {"worker", "-m", "x", "--threshold=2"}, {"worker", "-m", "x", "--explain", "--method=magic"}, {"worker", "-m", "x", "--mean=127.5"},
		{"predict", "--local", "-i", "x", "-o", "x", "-m", "x", "--top=0"}, {"predict", "--local", "-i", "x", "-o", "x", "-m", "x", "--max-errors=-1"},
		{"predict", "--local", "-i", "x", "-o", "x", "-m", "x", "--resize=0"}, {"predict", "--local", "-i", "x", "-o", "x", "-m", "x", "--threads=-1"},
		{"predict", "--local", "-i", "x", "-o", "x", "-m", "x", "--threads=0x1"}, {"predict", "--local", "--print-sql", "-i", "x", "-o", "x", "-m", "x"},
	} {
		if _, _, err := command(args...); err == nil {
			t.Errorf("%v: no error", args)
		} else if _, ok := errors.AsType[*usageError](err); !ok {
			t.Errorf("%v: %v is no error of usage", args, err)
		}
	}
	// What is no folder here is none that is made, and names are names to Spark.
	for _, c := range []struct{ engine, input, output, want string }{
		{"--local", "x.csv", "s3a://b/x", "--output s3a://b/x: --local writes to folders, and s3a: is none"},
		{"--local", "x.csv", "file:///x", "--output file:///x: --local writes to folders, and file: is none"},
		{"--local", "gs://b/x.csv", "x", "--input gs://b/x.csv: --local reads lists on this machine by their paths, and gs: is none"},
		{"--remote=sc://x", "x.csv", "x${user.name}", "--output x${user.name}: Spark takes {"},
		{"--remote=sc://x", "x${user.name}.csv", "x", "--input x${user.name}.csv: for ${...}"},
		{"--spark-arg=--deploy-mode=cluster", "x.csv", "x", "--spark-arg=--deploy-mode=cluster: Spark's driver would run on another machine"},
	} {
		args := []string{"predict", c.engine, "-i", c.input, "-o", c.output, "-m", "x"}
		if strings.HasPrefix(c.engine, "--spark-arg") {
			args = append(args, "--spark-home=x")
		}
		_, _, err := command(args...)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	list, model := write(t, []string{"x"}), fashion(t)
	for want, args := range map[string][]string{
		"--input -: a list is read several times: want a file":             {"predict", "--local", "-i", "-", "-o", t.TempDir(), "-m", model},
		"local is no command, but a flag: mobilenet-spark predict --local": {"local", "-i", "x"},
		"--class top2 beside another --class: which classes":               {"explain", "--local", "-i", list, "-o", t.TempDir(), "-m", model, "--class=top2", "--class=Coat"},
		"--class coats: no class has that name":                            {"explain", "--local", "-i", list, "-o", t.TempDir(), "-m", model, "--class=coats"},
	} {
		if _, _, err := command(args...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		} else if _, ok := errors.AsType[*usageError](err); !ok {
			t.Errorf("%v: %v is no error of usage", args, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	put(t, empty, "")
	if _, stderr, err := command("predict", "--local", "-i", empty, "-o", t.TempDir(), "-m", model); err != nil || !strings.Contains(stderr, "empty.jsonl has no rows, and so there is no file of results\n") {
		t.Errorf("an empty manifest: %v: %s", err, stderr)
	}
	for _, args := range [][]string{{"predict", "--local", "-i", "/absent.csv", "-o", t.TempDir(), "-m", model}, {"predict", "--local", "-i", list, "-o", t.TempDir(), "-m", "/absent.pth"}} {
		cmd := exec.Command(os.Args[0], args...)
		if out, _ := cmd.CombinedOutput(); !bytes.HasPrefix(out, []byte("error: /absent.")) {
			t.Errorf("%v: %s", args, out)
		}
	}
	for _, args := range [][]string{{"predict", "--local"}, {"worker"}} {
		cmd := exec.Command(os.Args[0], args...)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("%v: exit code: %v", args, err)
		}
	}
}

// 010 is 10, and not the octal 8.
func TestDecimalNumbers(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(f.Value.Type(), "int") {
				return
			}
			if err := f.Value.Set("010"); err != nil || f.Value.String() != "10" {
				t.Errorf("%s --%s 010: %s, %v", cmd.Name(), f.Name, f.Value, err)
			}
		})
	}
}

// turned is a photo that EXIF says to turn by 90 degrees.
func turned(t *testing.T, path string) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 61, 40))
	r := rand.New(rand.NewPCG(7, 1))
	for i := range img.Pix {
		img.Pix[i] = byte(i/97) + byte(r.Uint32()%64)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	exif := "\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	if err := os.WriteFile(path, slices.Concat([]byte("\xff\xd8"), []byte(exif), b.Bytes()[2:]), 0o666); err != nil {
		t.Fatal(err)
	}
}

// With the same flags a worker and a job say of photos what mobilenet says, to the bit.
func TestFlags(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "mobilenet")
	build := exec.Command("go", "build", "-o", plain, "./cmd/mobilenet")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	model := fashion(t)
	paths := []string{filepath.Join(dir, "small.png"), filepath.Join(dir, "turned.jpg")}
	photo(t, paths[0], 1)
	turned(t, paths[1])
	list := write(t, paths)
	labels := filepath.Join(dir, "labels.txt")
	if err := os.WriteFile(labels, []byte("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	// read returns results by path, all else of a line as it is written.
	read := func(lines []byte) map[string]string {
		results := map[string]string{}
		for line := range bytes.Lines(lines) {
			var r struct {
				Path                                string
				Predictions, Embedding, Explanation json.RawMessage
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			for _, value := range []json.RawMessage{r.Predictions, r.Embedding} {
				if value != nil {
					results[r.Path] = string(value)
				}
			}
		}
		return results
	}
	seen := map[string]string{}
	for _, c := range []struct {
		verb  string
		flags []string
	}{
		{"predict", nil}, {"predict", []string{"-r", "48"}}, {"predict", []string{"--resolution=32x64", "--interpolation=bicubic"}}, {"predict", []string{"--resize=50"}},
		{"predict", []string{"--crop=0.6"}}, {"predict", []string{"--crop=56"}}, {"predict", []string{"--squash"}}, {"predict", []string{"--no-exif-orientation"}},
		{"predict", []string{"--mean=0.5,0.4,0.3", "--std=0.25"}}, {"predict", []string{"--rescale=1/127.5", "--mean=1"}}, {"predict", []string{"--threshold=0.3"}},
		{"predict", []string{"--labels", labels}}, {"embed", nil}, {"embed", []string{"--normalize"}}, {"embed", []string{"--squash", "--no-exif-orientation"}},
	} {
		name := fmt.Sprint(c.verb, c.flags)
		want, err := exec.Command(plain, append([]string{c.verb, "--model", model, "--from", list}, c.flags...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		args := append([]string{"worker", "--model", model}, c.flags...)
		if c.verb == "embed" {
			args = append(args, "--embed", "--top=0")
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Stdin, _ = os.Open(list)
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(read(want), read(got)); d != "" {
			t.Errorf("%s: (-mobilenet +worker)\n%s", name, d)
		}
		for other, text := range seen { // or the flag does nothing, and the test neither
			if text == read(got)[paths[1]] {
				t.Errorf("%s and %s have the same answer", name, other)
			}
		}
		seen[name] = read(got)[paths[1]]
		out := t.TempDir()
		if _, stderr, err := command(append([]string{c.verb, "--local", "--model", model, "-i", list, "-o", out}, c.flags...)...); err != nil {
			t.Fatalf("%s: %v: %s", name, err, stderr)
		}
		for path, r := range results(t, out) {
			value := any(r.Embedding)
			if c.verb == "predict" {
				value = r.Predictions
			}
			text, _ := json.Marshal(value)
			var a, b any
			if err := errors.Join(json.Unmarshal(bytes.ToLower(text), &a), json.Unmarshal([]byte(strings.ToLower(read(want)[path])), &b)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(b, a); d != "" {
				t.Errorf("%s: (-mobilenet +job)\n%s", name, d)
			}
		}
	}
}

// What is assumed of a model is said where somebody reads it, once.
func TestAssumed(t *testing.T) {
	const model = "../../../checkpoint/testdata/zip.pth"
	dir := t.TempDir()
	list := write(t, []string{filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")})
	for _, verb := range []string{"predict", "embed", "explain"} {
		_, stderr, err := command(verb, "--local", "-i", list, "-o", t.TempDir(), "-m", model, "--max-errors", "3", "--per-task", "1", "--threads", "2")
		if err != nil || strings.Count(stderr, "zip.pth does not say how its photos were prepared; assumed: --resolution 224 ") != 1 || strings.Count(stderr, "strides assumed: ") != 1 {
			t.Errorf("%s: %v: %s", verb, err, stderr)
		}
	}
	cmd := exec.Command(os.Args[0], "worker", "--model="+model)
	cmd.Stdin = strings.NewReader(`{"path":"none"}`)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || strings.Count(stderr.String(), "assumed: ") != 2 {
		t.Errorf("worker: %v: %s", err, stderr.String())
	}
}

// Errors name the flags of this program, and not the library's options.
func TestTooManyPixels(t *testing.T) {
	model, name := fashion(t), filepath.Join(t.TempDir(), "a.png")
	photo(t, name, 1)
	out := t.TempDir()
	if _, stderr, err := command("predict", "--local", "-i", write(t, []string{name}), "-o", out, "-m", model, "--max-pixels", "100", "--max-errors", "1"); err != nil || !strings.Contains(stderr, "more than the limit of 100 (--max-pixels)") {
		t.Errorf("%v: %s", err, stderr)
	}
	if e := results(t, out)[name].Error; e == nil || !strings.HasSuffix(*e, "28x28 pixels, more than the limit of 100 (--max-pixels)") {
		t.Errorf("%v", e)
	}
}

// A job that is stopped says that its results stay only if there are any.
func TestStoppedEarly(t *testing.T) {
	f := jobFlags{local: true}
	for _, f.Output = range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if e := (&stoppedError{f.Output, f.wrote()}).Error(); e != "stopped before anything was written" {
			t.Errorf("%s: %s", f.Output, e)
		}
	}
	if f.local = false; f.wrote() {
		t.Error("a job that Spark was not told of")
	}
}

// A signal ends a job as it ends mobilenet, and says what goes on with it. The job can't end
// before: its last photo never comes.
func TestInterrupted(t *testing.T) {
	model, dir, out := fashion(t), t.TempDir(), filepath.Join(t.TempDir(), "out")
	name := filepath.Join(dir, "a.png")
	photo(t, name, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	paths := append(slices.Repeat([]string{name}, 100), server.URL+"/never.png")
	cmd := exec.Command(os.Args[0], "predict", "--local", "--input", write(t, paths), "--output", out, "--model", model, "--per-task", "20", "--stall", "1h")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	signalled := false // a second one ends the program at once
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadBytes('\n')
		if text = append(text, line...); err != nil {
			break
		}
		if !signalled && bytes.Contains(line, []byte(" of 101 photos, ")) {
			cmd.Process.Signal(os.Interrupt)
			signalled = true
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !bytes.HasSuffix(text, []byte("\nstopped: what is in "+out+" stays, and --resume goes on with the rest\n")) {
		t.Errorf("exit code %d: %s", code, text)
	}
}

// A row without a path is a row with an error.
func TestLocalWithoutPath(t *testing.T) {
	model := fashion(t)
	for text, want := range map[string]string{`{"path":7}`: "path is no text", `{"n":1}`: "", `{"path":null}` + "\n" + `{"path":"none"}`: "this row has no path", "path,n\n,1\n": "this row has no path",
		`{"path":null,"file":""}`: "this row has no path"} {
		list, out := filepath.Join(t.TempDir(), "list.csv"), t.TempDir()
		put(t, list, text+"\n")
		_, _, err := command("predict", "--local", "-i", list, "-o", out, "-m", model, "--max-errors", "2")
		if want == "" { // no row has one
			if err == nil || !strings.Contains(err.Error(), "no column is called path") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := results(t, out)[""]; !ok || r.Error == nil || *r.Error != want {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// Where path is missing, null or empty, file is the photo, and not passed on.
func TestLocalFile(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	photo(t, filepath.Join(dir, "a.png"), 1)
	type row struct {
		Path  string  `parquet:"path"`
		File  *string `parquet:"file"`
		Error *string `parquet:"error"`
	}
	for text, file := range map[string]*string{`{"path":null,"file":"a.png"}`: nil, `{"path":"","file":"a.png"}`: nil, `{"path":"a.png","file":"x"}`: new("x"), "file,path\na.png,\n": nil, "path,file\na.png,x\n": new("x")} {
		list, out := filepath.Join(dir, "list.csv"), t.TempDir()
		put(t, list, strings.ReplaceAll(text, "a.png", filepath.Join(dir, "a.png"))+"\n")
		if _, _, err := command("predict", "--local", "-i", list, "-o", out, "-m", model); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := map[string]row{"a.png": {Path: filepath.Join(dir, "a.png"), File: file}}
		if got := read(t, out, func(r row) string { return r.Path }); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// An output has the results of a job, and nothing else that its readers would read.
func TestLocalOthers(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	var paths []string
	for i := range 4 {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		photo(t, paths[i], uint64(i))
	}
	out := filepath.Join(dir, "out")
	args := []string{"predict", "--local", "-o", out, "-m", model, "--per-task", "2", "--resume", "-i"}
	if _, _, err := command(append(args, write(t, paths))...); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(out, "_SUCCESS")
	if _, _, err := command(append(args, write(t, paths[:2]))...); err == nil || !strings.Contains(err.Error(), "these are results of rows that the list doesn't have") || exists(mark) {
		t.Errorf("a list that became shorter: %v", err)
	}
	if _, _, err := command(append(args, write(t, paths))...); err != nil || !exists(mark) {
		t.Errorf("the list that it was: %v", err)
	}
	type row struct {
		Path string `parquet:"path"`
	}
	list := filepath.Join(out, "list.parquet")
	if err := parquet.WriteFile(list, []row{{paths[0]}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := command(append(args, list)...); err == nil || !strings.Contains(err.Error(), "list.parquet: no part of a job's results") {
		t.Errorf("a list in its output: %v", err)
	}
}

// What is no place in an archive is an error of its row, in lists of any kind.
func TestLocalPlaces(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	photo(t, filepath.Join(dir, "a.png"), 1)
	for _, place := range []string{`"offset":-1`, `"size":-5`, `"offset":1.5`, `"offset":"x"`, `"size":true`, `"offset":12345678901234567890`, `"member":3`} {
		list, out := filepath.Join(dir, "list.jsonl"), t.TempDir()
		path := filepath.Join(dir, "a.png")
		os.WriteFile(list, fmt.Appendf(nil, "{\"path\":%q,%s}\n", path, place), 0o666)
		if _, _, err := command("predict", "--local", "-i", list, "-o", out, "-m", model, "--max-errors", "1"); err != nil {
			t.Fatal(err)
		}
		if r := results(t, out)[path]; r.Error == nil || r.Predictions != nil {
			t.Errorf("%s: %+v", place, r)
		}
	}
}
