//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/parquet-go/parquet-go"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/spark/job"
)

// sparkHome is a Spark of this machine: $SPARK_HOME, or that of a PySpark.
func sparkHome(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command("java", "-version").CombinedOutput(); err != nil {
		testenv.Skip(t, "spark", fmt.Sprintf("no Java: %v %s", err, out))
	}
	if home := os.Getenv("SPARK_HOME"); home != "" {
		return home
	}
	for _, python := range []string{os.Getenv("MOBILENET_PYSPARK"), "python3"} {
		out, err := exec.Command(python, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))").Output()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	testenv.Skip(t, "spark", "no SPARK_HOME, and python3 has no pyspark")
	return ""
}

// sparkPython is a Python with pyarrow: that of PySpark, if it is one.
func sparkPython(t *testing.T) string {
	t.Helper()
	for _, python := range []string{os.Getenv("MOBILENET_PYSPARK"), "python3"} {
		if exec.Command(python, "-c", "import pyarrow").Run() == nil {
			return python
		}
	}
	testenv.Skip(t, "spark", "no Python with pyarrow")
	return ""
}

// freePort is a port that nobody listens at, and none of those that systems give to who asks
// for any, as all parts of Spark do before the one has begun that it is for.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// A daemon is a program in a session of its own.
type daemon struct {
	log   string // file of what it says
	pid   int
	ended chan struct{} // closed when it has
}

// start starts a daemon, and ends it with the test.
func start(t *testing.T, log string, name string, args ...string) *daemon {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{log, cmd.Process.Pid, make(chan struct{})}
	go func() {
		cmd.Wait()
		out.Close()
		close(d.ended)
	}()
	t.Cleanup(d.kill)
	return d
}

// kill ends a daemon at once, and all that it has started.
func (d *daemon) kill() {
	select {
	case <-d.ended: // its number may be another's
		return
	default:
	}
	syscall.Kill(-d.pid, syscall.SIGKILL)
	<-d.ended
}

// listens waits until a daemon listens at a port of this machine.
func (d *daemon) listens(t *testing.T, port string) {
	t.Helper()
	for {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			return
		}
		select {
		case <-d.ended:
			text, _ := os.ReadFile(d.log)
			t.Fatalf("it has ended: %s", text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// cluster starts a standalone cluster: a master and two workers of one core. A driver gives up
// after a minute where the master isn't there.
func cluster(t *testing.T, home string) (master string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("SPARK_LOCAL_IP", "127.0.0.1")
	// Jobs so short are mostly Java that compiles itself. A driver that is killed leaves gigabytes
	// where temporary files are: copies of what it adds to jobs.
	t.Setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.io.tmpdir="+dir)
	port := freePort(t)
	class := filepath.Join(home, "bin", "spark-class")
	start(t, filepath.Join(dir, "master.log"), class, "org.apache.spark.deploy.master.Master", "-h", "127.0.0.1", "-p", port, "--webui-port", "0").listens(t, port)
	master = "spark://127.0.0.1:" + port
	for i := range 2 {
		start(t, filepath.Join(dir, fmt.Sprint("worker", i, ".log")), class, "org.apache.spark.deploy.worker.Worker",
			"-h", "127.0.0.1", "-c", "1", "-m", "1g", "-d", filepath.Join(dir, fmt.Sprint("work", i)), "--webui-port", "0", master)
	}
	return master
}

// driver starts a Spark Connect server, and waits until it listens.
func driver(t *testing.T, home, master string, more ...string) (remote string, d *daemon) {
	t.Helper()
	port := freePort(t)
	args := append([]string{"--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
		"--master", master, "--conf", "spark.executor.memory=512m", "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.ui.enabled=false",
		"--conf", "spark.connect.grpc.binding.address=127.0.0.1", "--conf", "spark.connect.grpc.binding.port=" + port}, more...)
	d = start(t, filepath.Join(t.TempDir(), "driver.log"), filepath.Join(home, "bin", "spark-submit"), append(args, "spark-internal")...)
	d.listens(t, port)
	return "sc://127.0.0.1:" + port, d
}

// TestSpark runs jobs on a real cluster.
func TestSpark(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	home := sparkHome(t)
	crash := filepath.Join(t.TempDir(), "crash")
	t.Setenv("MOBILENET_TEST_CRASH", crash) // which the nodes inherit
	held := filepath.Join(t.TempDir(), "hold")
	t.Setenv("MOBILENET_TEST_HOLD", held)
	master := cluster(t, home)
	remote, server := driver(t, home, master)
	model := fashion(t)

	t.Run("hostile names, a worker that crashes, and a photo that kills it", func(t *testing.T) {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "it's \"out\"")
		var paths []string
		for i, name := range hostile {
			paths = append(paths, filepath.Join(dir, name))
			photo(t, paths[i], uint64(i))
		}
		missing := []string{"nul\x00", strings.Repeat("x", 2000), "tab\tnew\nline", "😀", "deadly"}
		in := write(t, append(append(missing, paths...), paths[:3]...)) // some twice
		if err := os.WriteFile(crash, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, stderr, err := command("predict", "--remote", remote, "--input", in, "--output", out, "--model", model, "--top", "2", "--per-task", "10", "--max-errors", "20%")
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		t.Logf("%v\n%s", time.Since(began), stderr)
		if exists(crash) {
			t.Error("no worker crashed")
		}
		if !exists(filepath.Join(out, "_SUCCESS")) {
			t.Error("not marked as whole")
		}
		got := results(t, out)
		check(t, model, got, paths, missing)
		if e := got["deadly"].Error; e == nil || !strings.HasPrefix(*e, "the worker's process dies of it: ") {
			t.Errorf("a photo that kills the process: %v", e)
		}
	})

	t.Run("explain", func(t *testing.T) {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		var paths []string
		for i := range 20 {
			paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
			photo(t, paths[i], uint64(i))
		}
		if _, stderr, err := command("explain", "--remote", remote, "--input", write(t, paths), "--output", out, "--model", model, "--class", "top2"); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		explanations(t, model, results(t, out), paths)
	})

	t.Run("columns", func(t *testing.T) {
		for _, l := range listings {
			in, dir := listed(t, l), t.TempDir()
			args := []string{"predict", "--input", in, "--model", model, "--top", "2", "--max-errors", "1"}
			if _, stderr, err := command(append(args, "--local", "--output", filepath.Join(dir, "local"))...); err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if _, stderr, err := command(append(args, "--remote", remote, "--output", filepath.Join(dir, "spark"))...); err != nil {
				t.Fatalf("%s: %v\n%s", l.name, err, stderr)
			}
			out, err := exec.Command(sparkPython(t), "testdata/same.py", filepath.Join(dir, "local"), filepath.Join(dir, "spark")).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", l.name, err, out)
			}
			t.Logf("%s: %s", l.name, out)
		}
		clash, out := filepath.Join(t.TempDir(), "clash.jsonl"), filepath.Join(t.TempDir(), "out")
		put(t, clash, "{\"path\":\"a\"}\n{\"path\":\"b\",\"Error\":1}\n")
		if _, _, err := command("predict", "--remote", remote, "--input", clash, "--output", out, "--model", model); err == nil || !strings.Contains(err.Error(), `column "Error" of the manifest has the name of one of the results`) || exists(out) {
			t.Errorf("a column that clashes: %v", err)
		}
	})

	t.Run("rows without a path", func(t *testing.T) {
		dir, name := t.TempDir(), filepath.Join(t.TempDir(), "a.png")
		photo(t, name, 1)
		in := filepath.Join(dir, "list.jsonl")
		put(t, in, fmt.Sprintf("{\"path\":%q,\"n\":1}\n{\"path\":null,\"n\":2}\n{\"n\":3}\n{\"path\":\"\",\"n\":4}\n", name))
		args := []string{"predict", "--remote", remote, "--input", in, "--output", filepath.Join(dir, "out"), "--model", model, "--top", "2"}
		if _, stderr, err := command(append(args, "--max-errors", "1")...); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		got := results(t, filepath.Join(dir, "out"))
		check(t, model, got, []string{name}, []string{""})
		if e := got[""].Error; e == nil || *e != "this row has no path" {
			t.Errorf("%v", e)
		}
		mark := filepath.Join(dir, "out", "_SUCCESS")
		if !exists(mark) {
			t.Error("not marked as whole")
		}
		if _, _, err := command(append(args, "--resume", "--max-errors", "0")...); err == nil || exists(mark) {
			t.Errorf("the mark of an earlier run stays when one fails: %v", err)
		}
	})

	t.Run("other files in the output", func(t *testing.T) {
		dir := t.TempDir()
		in := filepath.Join(dir, "list.parquet")
		type row struct {
			Path string `parquet:"path"`
		}
		if err := parquet.WriteFile(in, []row{{"a"}, {"b"}}); err != nil {
			t.Fatal(err)
		}
		_, _, err := command("predict", "--remote", remote, "--input", dir, "--output", dir, "--model", model, "--resume")
		if err == nil || !strings.Contains(err.Error(), "has 2 rows that are no results of this model") {
			t.Errorf("%v", err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("%v", files)
		}
	})

	t.Run("a folder of which Spark leaves out files", func(t *testing.T) {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		type row struct {
			Path string `parquet:"path"`
		}
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "k=1"), 0o777), parquet.WriteFile(filepath.Join(dir, "a.parquet"), []row{{"a"}}), parquet.WriteFile(filepath.Join(dir, "k=1", "b.parquet"), []row{{"b"}})); err != nil {
			t.Fatal(err)
		}
		args := []string{"predict", "--remote", remote, "--output", out, "--model", model, "--max-errors", "2", "--input"}
		if _, _, err := command(append(args, dir)...); err == nil || !strings.Contains(err.Error(), "Spark would leave out 1 of its 2 files") || exists(out) {
			t.Errorf("%v", err)
		}
		_, stderr, err := command(append(args, filepath.Join(dir, "*"))...)
		if err != nil || !strings.Contains(stderr, "is a relative path: workers look for it") || !strings.Contains(stderr, "rows                 2\n") {
			t.Errorf("%v\n%s", err, stderr)
		}
		if _, _, err := command("predict", "--local", "--resume", "--input", filepath.Join(dir, "a.parquet"), "--output", out, "--model", model); err == nil || !strings.Contains(err.Error(), "these are results of a Spark job") {
			t.Errorf("--local --resume: %v", err)
		}
	})

	t.Run("members without names", func(t *testing.T) {
		dir := t.TempDir()
		var shard bytes.Buffer
		w := tar.NewWriter(&shard)
		var names, rows []string
		for i := range 3 {
			name := filepath.Join(dir, fmt.Sprint(i))
			photo(t, name, uint64(i))
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: int64(len(data)), Mode: 0o644})
			rows = append(rows, fmt.Sprintf(`{"path":%q,"offset":%d,"size":"%d"}`, filepath.Join(dir, "a.tar"), shard.Len(), len(data)))
			names = append(names, fmt.Sprintf("%d+%d", shard.Len(), len(data)))
			w.Write(data)
			w.Flush()
		}
		rows = append(rows, fmt.Sprintf(`{"path":%q,"offset":"x"}`, filepath.Join(dir, "a.tar")))
		w.Close()
		put(t, filepath.Join(dir, "a.tar"), shard.String())
		in := filepath.Join(dir, "list.jsonl")
		put(t, in, strings.Join(rows, "\n"))
		if _, stderr, err := command("predict", "--remote", remote, "--input", in, "--output", filepath.Join(dir, "out"), "--model", model, "--max-errors", "1"); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		type row struct {
			Member *string `parquet:"member"`
			Error  *string `parquet:"error"`
		}
		got := read(t, filepath.Join(dir, "out"), func(r row) string {
			if r.Member == nil {
				return "none"
			}
			return *r.Member
		})
		for _, name := range names {
			if r, ok := got[name]; !ok || r.Error != nil {
				t.Errorf("%s: %v", name, r)
			}
		}
		if e := got["none"].Error; len(got) != 4 || e == nil || *e != "offset and size are whole numbers" {
			t.Errorf("%v", got)
		}
	})

	t.Run("another model on the nodes", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "photo")
		photo(t, path, 1)
		_, _, err := command("predict", "--remote", remote, "--input", write(t, []string{path}), "--output", filepath.Join(t.TempDir(), "out"), "--model", model, "--digest", strings.Repeat("0", 64))
		if err == nil || !strings.Contains(err.Error(), "has the SHA-256") {
			t.Errorf("a model of another SHA-256: %v", err)
		}
	})

	t.Run("too many errors", func(t *testing.T) {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		var paths, missing []string
		for i := range 272 {
			path := filepath.Join(dir, fmt.Sprint(i, ".png"))
			if i%90 == 17 { // 3 of 272
				missing = append(missing, path)
				continue
			}
			photo(t, path, uint64(i))
			paths = append(paths, path)
		}
		args := []string{"predict", "--remote", remote, "--input", write(t, append(missing, paths...)), "--output", out, "--model", model, "--top", "2", "--per-task", "100"}
		_, _, err := command(args...)
		if err == nil || !strings.Contains(err.Error(), "3 of 272 photos failed, 1.10 %, and --max-errors is 1%:\n  3: no such file or directory") {
			t.Errorf("3 errors in 272: %v", err)
		}
		if exists(filepath.Join(out, "_SUCCESS")) {
			t.Error("marked as whole, with too many errors")
		}
		if _, _, err := command(args...); err == nil || !strings.Contains(err.Error(), "272 results: --resume") {
			t.Errorf("an output with results: %v", err)
		}
		if _, stderr, err := command(append(args, "--resume", "--max-errors", "2%")...); err != nil || !strings.Contains(stderr, "0 photos remain") {
			t.Errorf("%v\n%s", err, stderr)
		}
		check(t, model, results(t, out), paths, missing)
		// What is refused changes nothing, also not what the results are said to be of.
		if _, _, err := command(append(args, "--top", "3")...); err == nil || !strings.Contains(err.Error(), "272 results: --resume") {
			t.Errorf("another --top, without --resume: %v", err)
		}
		if _, _, err := command(append(args, "--resume", "--top", "3")...); err == nil || !strings.Contains(err.Error(), "other settings") {
			t.Errorf("another --top: %v", err)
		}
	})

	t.Run("driver that is killed", func(t *testing.T) {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		var paths []string
		for i := range 300 {
			paths = append(paths, filepath.Join(dir, fmt.Sprint(i, ".png")))
			photo(t, paths[i], uint64(i))
		}
		args := []string{"predict", "--input", write(t, paths), "--output", out, "--model", model, "--top", "2", "--per-task", "50", "--chunk", "100"}
		// The first chunk's two tasks go on, and those of the second stand still.
		if err := errors.Join(os.Mkdir(held, 0o777), os.WriteFile(filepath.Join(held, "1"), nil, 0o666), os.WriteFile(filepath.Join(held, "2"), nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		first := start(t, filepath.Join(t.TempDir(), "first.log"), os.Args[0], append(args, "--remote", remote)...)
		for !exists(held + ".held") {
			select {
			case <-first.ended:
				text, _ := os.ReadFile(first.log)
				t.Fatalf("ended before the driver was killed: %s", text)
			case <-time.After(50 * time.Millisecond):
			}
		}
		server.kill()
		<-first.ended
		if text, _ := os.ReadFile(first.log); !bytes.Contains(text, []byte("error: ")) {
			t.Errorf("nothing was wrong: %s", text)
		}
		if err := os.RemoveAll(held); err != nil {
			t.Fatal(err)
		}
		before := len(results(t, out))
		// What tasks of the dead driver have left is of the chunk that was not whole; some of
		// it is in the output here, so that it would be there twice.
		parts, err := filepath.Glob(filepath.Join(out, "*.parquet"))
		if err != nil || len(parts) == 0 {
			t.Fatal(err, "no parts")
		}
		left := filepath.Join(out, "_temporary/0/task_20261126110000_0001_m_000000")
		part, err := os.ReadFile(parts[0])
		if err := errors.Join(err, os.MkdirAll(left, 0o777), os.WriteFile(filepath.Join(left, "part-00000-left.snappy.parquet"), part, 0o666)); err != nil {
			t.Fatal(err)
		}
		remote, _ := driver(t, home, master)
		_, stderr, err := command(append(args, "--remote", remote, "--resume")...)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if before == 0 || before == 300 || !strings.Contains(stderr, job.Remaining(int64(before), int64(300-before))) {
			t.Errorf("%d results before, and then %s", before, stderr)
		}
		for _, part := range []string{"photos, chunk 2 of ", " a second", " to go\n", "\nphotos               300\nrows                 300\nfailed               0\n", "\nand core "} {
			if !strings.Contains(stderr, part) {
				t.Errorf("no %q in %s", part, stderr)
			}
		}
		if !exists(filepath.Join(out, "_SUCCESS")) || exists(filepath.Join(out, "_temporary")) {
			t.Error("not marked as whole, or something is left")
		}
		check(t, model, results(t, out), paths, nil)
	})
}

// TestSparkS3A: manifest, photos and results lie in an S3 server, which Spark reads and writes
// as s3a: with Hadoop's client, and the workers read with theirs. $MOBILENET_S3A_JARS are the
// client's files, with commas between: hadoop-aws of Spark's Hadoop, and what it needs, as
// spark-submit --packages org.apache.hadoop:hadoop-aws:3.5.0 downloads them.
func TestSparkS3A(t *testing.T) {
	jars := os.Getenv("MOBILENET_S3A_JARS")
	if testing.Short() || jars == "" {
		t.Skip("starts a cluster, with the files of $MOBILENET_S3A_JARS")
	}
	home, model := sparkHome(t), fashion(t)
	backend := s3mem.New()
	for _, bucket := range []string{"photos", "results"} {
		if err := backend.CreateBucket(bucket); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	dir := t.TempDir()
	upload := func(key, file string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backend.PutObject("photos", key, map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, bytes.NewReader(data), int64(len(data)), nil); err != nil {
			t.Fatal(err)
		}
	}
	var paths, local []string
	for i, name := range hostile[:10] { // below a folder: Hadoop refuses some of these names for its own files
		local = append(local, filepath.Join(dir, fmt.Sprint(i)))
		photo(t, local[i], uint64(i))
		upload("p/"+name, local[i])
		paths = append(paths, "s3a://photos/p/"+name)
	}
	missing := "s3a://photos/none"
	upload("list.jsonl", write(t, append(paths, missing)))
	remote, _ := driver(t, home, cluster(t, home), "--jars", jars, "--conf", "spark.hadoop.fs.s3a.endpoint="+server.URL, "--conf", "spark.hadoop.fs.s3a.path.style.access=true",
		"--conf", "spark.hadoop.fs.s3a.endpoint.region=us-east-1", "--conf", "spark.hadoop.fs.s3a.access.key=key", "--conf", "spark.hadoop.fs.s3a.secret.key=secret")
	args := []string{"predict", "--remote", remote, "--input", "s3a://photos/list.jsonl", "--output", "s3a://results/labels/", "--model", model, "--top", "2", "--max-errors", "1",
		"--s3", "endpoint=" + server.URL + "&use_path_style=true&region=us-east-1"}
	if _, stderr, err := command(args...); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if _, stderr, err := command(append(args, "--resume")...); err != nil || !strings.Contains(stderr, "11 results are there, 0 photos remain") {
		t.Errorf("%v\n%s", err, stderr)
	}
	list, err := backend.ListBucket("results", nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	out, success := t.TempDir(), false
	for _, o := range list.Contents {
		success = success || o.Key == "labels/_SUCCESS"
		object, err := backend.GetObject("results", o.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(object.Contents)
		if err := errors.Join(err, os.WriteFile(filepath.Join(out, filepath.Base(o.Key)), data, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if !success {
		t.Error("not marked as whole")
	}
	// A run that fails takes the mark away, by the clients of the workers.
	if _, stderr, err := command(append(args, "--resume", "--max-errors", "0")...); err == nil || strings.Contains(stderr, "and stays") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if _, err := backend.HeadObject("results", "labels/_SUCCESS"); err == nil {
		t.Error("the mark of an earlier run stays when one fails")
	}
	// Where they don't reach it the job says so.
	args[len(args)-1] = "region=us-east-1" // and no endpoint
	if _, err := backend.PutObject("results", "labels/_SUCCESS", map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, bytes.NewReader(nil), 0, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:"+freePort(t))
	if _, stderr, err := command(append(args, "--resume", "--max-errors", "0")...); err == nil || !strings.Contains(stderr, "s3a://results/labels/_SUCCESS is an earlier run's, and stays (") {
		t.Errorf("%v\n%s", err, stderr)
	}
	got := map[string]parquetRow{} // under the names that the photos have on this disk
	for path, r := range results(t, out) {
		for i := range paths {
			if paths[i] == path {
				path = local[i]
			}
		}
		r.Path = path
		got[path] = r
	}
	check(t, model, got, local, []string{missing})
}
