package job

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Causes are told apart by their words, and not by a photo's numbers.
func TestCauseOf(t *testing.T) {
	for text, want := range map[string]string{
		"PNG image of 30000x20000 pixels, more than the limit of 250000000": "PNG image of N pixels, more than the limit of 250000000",
		"more than 32 MiB, which is the limit (--in-flight)":                "more than 32 MiB, which is the limit (--in-flight)",
		"ftp: is none of these: want file, s3, gs":                          "ftp: is none of these: want file, s3, gs",
		"the server answers 404 Not Found after 30s":                        "the server answers N Not Found after Ns",
	} {
		if got := CauseOf(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if !strings.Contains(causes, `replace(regexp_replace(regexp_replace(error, '(more than |limit of )([0-9])', '$1___$2'), '\\b[0-9]+(x[0-9]+)*', 'N'), ' ___', ' ')`) {
		t.Error(causes)
	}
}

// A row without a path is a row with an error, also on a cluster, and ends no job.
func TestRowsWithoutPath(t *testing.T) {
	s := Spec{Input: "/a.jsonl", Output: "/out"}
	if text := s.manifest(); strings.Contains(text, "raise_error") || !strings.Contains(text, "coalesce(nullif(r.path, ''), nullif(r.file, ''), '')") {
		t.Error(text)
	}
}

// An earlier run's mark goes where the record is that the run has written, and nowhere else.
func TestUnmark(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		output string
		record bool
		want   string
	}{
		{dir, true, dir}, {"file:" + dir, true, dir}, {"file://" + dir + "/", true, dir + "/"}, {dir, false, ""}, {"s3a:/" + dir, true, ""},
	} {
		record := filepath.Join(dir, "_mobilenet")
		os.Remove(record)
		if c.record {
			os.Mkdir(record, 0o777)
		}
		if got := (&run{Spec: &Spec{Output: c.output}}).folder(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	mark := filepath.Join(dir, "_SUCCESS")
	os.WriteFile(mark, nil, 0o666)
	for range 2 { // also where there is none
		if err := Unmark(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the mark is there")
	}
}

func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time stands still
		var out bytes.Buffer
		s := State{Began: time.Now().Add(-10 * time.Second), Total: 400}
		for _, done := range []int64{100, 200, 400} { // the second too soon after the first
			s.Done = done
			s.Tell(&out, ", 1 of 4 tasks")
			s.Failed = 3
		}
		const want = "100 of 400 photos, 1 of 4 tasks, 10.0 a second, 30s to go\n400 of 400 photos, 1 of 4 tasks, 40.0 a second, 3 failed\n"
		if out.String() != want {
			t.Errorf("%s, want %s", out.String(), want)
		}
	})
}

// A column has a type that holds each of its values exactly, but for the last digits of fractions.
func TestJSONType(t *testing.T) {
	for values, want := range map[string]string{
		"1 -9223372036854775808 null":              "BIGINT",
		"1 9223372036854775808":                    "STRING",
		"1.5 9007199254740992":                     "DOUBLE",
		"1.5 -9007199254740993":                    "STRING",
		"9007199254740993 1e3":                     "STRING",
		"1.0 12345678901234567890":                 "STRING",
		"0.1234567890123456789 -1e-400":            "DOUBLE",
		"1 1.7976931348623157e308":                 "DOUBLE",
		"1 -1e400":                                 "STRING",
		"1234567890123456789012345678901234567890": "STRING",
		"true null":                                "BOOLEAN",
		"true 1":                                   "STRING",
		"null":                                     "STRING",
	} {
		var kind JSONType
		for value := range strings.FieldsSeq(values) {
			kind.Add([]byte(value))
		}
		if got := kind.Type(); got != want {
			t.Errorf("%s: %s, want %s", values, got, want)
		}
	}
}

// A driver on another machine is one that nobody here would find.
func TestClusterMode(t *testing.T) {
	for args, want := range map[string]bool{
		"": false, "--master=yarn": false, "--deploy-mode=client": false, "--deploy-mode=cluster": true, "--master yarn --deploy-mode cluster --name x": true,
		"--deploy-mode cluster --deploy-mode=client": false, "--deploy-mode": false, "--name cluster": false,
	} {
		if got := ClusterMode(strings.Fields(args)); got != want {
			t.Errorf("%s: %t", args, got)
		}
	}
}

// What Spark says is said without its client's words, and without the statement.
func TestPlainly(t *testing.T) {
	for text, want := range map[string]string{
		"execution error: failed to execute sql: SELECT 1: execution error: failed to call ExecutePlan in session 1-2: rpc error": "rpc error",
		"execution error: failed to execute sql: SELECT 1: execution error: [PATH_NOT_FOUND] No path.\n\nJVM stacktrace:\nx":      "[PATH_NOT_FOUND] No path.",
		"something else": "something else",
	} {
		if got := plainly(text, "SELECT 1"); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Of two columns the names may be the same, as Parquet allows, or differ in case alone.
func TestChooseOfOneName(t *testing.T) {
	for want, name := range map[string]string{`two columns of the manifest are called "a"`: "a", `columns "a" and "A" of the manifest differ in case alone, and Spark takes them for one`: "A"} {
		if _, err := Choose([]Column{{"path", "STRING"}, {"a", "INT"}, {name, "INT"}}, Wanted{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
