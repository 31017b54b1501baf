package manifest

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// hostile are names that something on the way from a list to results may spoil.
var hostile = []string{
	"a\tb.jpg", "a\nb.jpg", "a\r\nb.jpg", "\r", "\n", `a"b.jpg`, `"`, `""`, `a,"b",c`, "a\x00b", "-", "--from", " leading", "trailing ",
	"\U0001F431.jpg", "\u2028", "\ufeff", "\ufffd", "<b>&amp;", `C:\photos\a.jpg`, "'; DROP TABLE photos; --", "%00", strings.Repeat("é", 1000), "\x7f\x1b[2J",
}

func lines(t *testing.T, rows []map[string]any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, row := range rows {
		if err := e.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func all(t *testing.T, text string) []Row {
	t.Helper()
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for part, err := range (Job{Shard: Shard{0, 1}, Rows: 7}).Parts(r) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, part.Rows...)
	}
	return rows
}

type result struct {
	Predictions []int `json:"predictions"`
}

// TestHostileNames sends each name through both forms of lists and of results, which
// encoding/json and encoding/csv write and read.
func TestHostileNames(t *testing.T) {
	var rows []map[string]any
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	w.Write([]string{"id", "path"})
	for i, name := range hostile {
		rows = append(rows, map[string]any{"id": i, "path": name, "more": map[string]any{name: []any{nil, 1e300, name}}})
		w.Write([]string{fmt.Sprint(i), name})
	}
	w.Flush()
	for form, text := range map[string]string{"json": lines(t, rows), "csv": table.String(), "csv of Excel": "\ufeff" + table.String()} {
		read := all(t, text)
		if len(read) != len(hostile) {
			t.Fatalf("%s: %d rows of %d", form, len(read), len(hostile))
		}
		for i, row := range read {
			if row.Path != hostile[i] || row.Err != nil {
				t.Errorf("%s: path %q, %v; want %q", form, row.Path, row.Err, hostile[i])
			}
			line, err := row.JSON(result{[]int{3}})
			if err != nil || bytes.ContainsAny(line, "\n\r") {
				t.Fatalf("%s: %q, %v", form, line, err)
			}
			var got map[string]any
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"id": fmt.Sprint(i), "path": hostile[i], "predictions": []any{3.0}}
			if form == "json" {
				var more any
				json.Unmarshal([]byte(lines(t, rows[i:i+1])), &more)
				want["id"], want["more"] = float64(i), more.(map[string]any)["more"]
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", form, got, want)
			}
			fields, err := row.Fields([]string{"path", "id", "more"})
			if err != nil || fields[0] != hostile[i] || fields[1] != fmt.Sprint(i) {
				t.Errorf("%s: fields %q, %v", form, fields, err)
			}
		}
	}
}

// TestValuesStay: what is not the path is not read, so that 64-bit numbers stay exact.
func TestValuesStay(t *testing.T) {
	const row = `{"n":12345678901234567890.10,"file":"a","e":[ 1e400 ],"null":null,"é":"\u00e9<"}`
	got, err := all(t, row)[0].JSON(struct{}{})
	if err != nil || string(got) != row {
		t.Errorf("%s, %v", got, err)
	}
	fields, err := all(t, row)[0].Fields([]string{"é", "null", "n", "absent", "file", "e"})
	if err != nil || !slices.Equal(fields, []string{"é<", "", "12345678901234567890.10", "", "a", "[ 1e400 ]"}) {
		t.Errorf("%q, %v", fields, err)
	}
	if _, err := all(t, row)[0].Fields([]string{"file"}); err == nil {
		t.Error("columns were lost")
	}
}

// Lines of CSV end by LF, CR LF or CR alone, as the head's does, also where the head or the
// file has no more than that; inside quotes they end nothing.
func TestLineEnds(t *testing.T) {
	const text = "path,\"a\rb\"\nx.jpg,1\n\"y\rz.jpg\",2\n\nw.jpg,3\n"
	want := all(t, text)
	if len(want) != 3 || want[1].Path != "y\rz.jpg" {
		t.Fatalf("%+v", want)
	}
	for _, end := range []string{"\r\n", "\r", "\r\r\n"} {
		for _, text := range []string{strings.ReplaceAll(text, "\n", end), strings.TrimSuffix(strings.ReplaceAll(text, "\n", end), end)} {
			got := all(t, text)
			for i := range got {
				got[i].Line = want[min(i, 2)].Line // of \r\r\n every second one is blank
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %+v", text, got)
			}
		}
	}
	for _, text := range []string{"path", "path\n", "path\r\n", "path\r", "path\r\r", "\n", ""} {
		if rows := all(t, text); len(rows) != 0 {
			t.Errorf("%q: %+v", text, rows)
		}
	}
}

// TestRowsWithoutPath: such a row has an error, and its place among the others.
func TestRowsWithoutPath(t *testing.T) {
	rows := all(t, `{"path":"a"}`+"\n\n \n"+`{"path":""}`+"\n"+`{"path":null}`+"\n"+`{"path":7}`+"\n"+`{"other":"b"}`+"\n"+`{"path":"\ud800x"}`+"\n"+`{"path":"\uFFFD"}`)
	for i, want := range []string{"", "no path", "no path", "no text", "no path", "surrogate", ""} {
		if err := fmt.Sprint(rows[i].Err); (want == "") != (rows[i].Err == nil) || !strings.Contains(err, want) {
			t.Errorf("row %d: %s, want %q", i, err, want)
		}
	}
	// Where path is missing, null or empty, file is the photo.
	both := all(t, `{"file":"a"}`+"\n"+`{"path":null,"file":"a"}`+"\n"+`{"path":"","file":"a"}`+"\n"+`{"file":"b","path":"a"}`+"\n"+`{"path":"a","file":7}`)
	both = append(both, all(t, "file,path\na,\nb,a\n")...)
	for i, row := range both {
		want := "file"
		if i == 3 || i == 4 || i == 6 {
			want = "path"
		}
		if row.Path != "a" || row.Err != nil || row.Naming() != want {
			t.Errorf("row %d: %q by %s, %v", i, row.Path, row.Naming(), row.Err)
		}
	}
	if rows[1].Line != 4 {
		t.Errorf("line %d, want 4", rows[1].Line)
	}
	if rows := all(t, "path,x\n,1\n"); rows[0].Err == nil {
		t.Error("an empty field is a path")
	}
	if line, err := all(t, "path\n\xff\n")[0].JSON(result{}); err == nil {
		t.Errorf("%q is JSON", line)
	}
}

func TestBrokenLists(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`[{"path":"a"}]`, "jq"},
		{`{"uri":"a"}`, "uri"},
		{"uri\na", "no column is called path or file"},
		{"a.jpg\nb.jpg", "the columns are a.jpg; a list of paths is CSV if its first line is path"},
		{"path;x\na;b", "the columns are path;x; columns are separated by commas, and not by ; or tabs"},
		{"\x1f\x8b\x08...", "packed by gzip; gunzip -c FILE | mobilenet predict --from - reads what is in it"},
		{"\xff\xfep\x00a\x00t\x00h\x00\n\x00", "UTF-16, as Windows' programs write it; want UTF-8: iconv"},
		{"\xfe\xff\x00{", "UTF-16"},
		{"{\x00\"\x00", "UTF-16"},
		{"id,Path\n1,a", "the columns are id, Path; Path has to be written path"},
		{`{"FILE":"a"}`, "FILE has to be written file"},
		{"PAR1...", "a Parquet file, which mobilenet-spark reads; JSON lines and CSV are read here"},
		{"{\n  \"path\": \"a\"\n}", "line 1: not JSON: the object does not end in its line; want an object a line, as jq -c . makes of it"},
		{"path,path\na,b", "two columns"},
		{"path,,\na,b,c", `line 1: two columns are called ""`},
		{`{"path":"a","path":"b"}`, "line 1: two members"},
		{`{"path":"a"}` + "\n" + `{"path":"a"`, "line 2: not JSON"},
		{`{"path":"a"}` + "\n\n" + `{"path":"a"} {}`, "line 3: more than"},
		{`{"path":"a"}` + "\n" + `"b"`, "line 2: not a JSON object"},
		{`{"path":"a"}` + "\n{\"path\":\"\xff\"}", "line 2: not UTF-8"},
		{"path,x\n\"a\nb\",1\na,b,c", "line 4: 3 fields where the first line has 2"},
		{"path\n\"a", "line 2: a quote that nothing closes"},
		{"path\n\"a\"b", "line 2: a field goes on"},
		{"path\na\"b\"", "line 2: a quote in a field"},
		{"path\n\"" + strings.Repeat("a\n", maxRecord), "line 2: a row of more than 1 MiB"},
		{`{"path":"` + strings.Repeat("a", maxRecord), "a row of more than 1 MiB"},
	} {
		r, err := NewReader(strings.NewReader(c.text))
		if err == nil {
			for _, err = range (Job{Shard: Shard{0, 1}, Rows: 2}).Parts(r) {
			}
		}
		var f *fault.Error
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.want)
		}
	}
	for _, empty := range []string{"", "\n", "\ufeff", "  \n\n"} {
		if rows := all(t, empty); len(rows) > 0 {
			t.Errorf("%q: %v", empty, rows)
		}
	}
}

// TestFirstError: of several the first in the list is reported, with the rows before it.
func TestFirstError(t *testing.T) {
	long := `{"path":"` + strings.Repeat("a", maxRecord)
	for _, c := range []struct {
		text, want string
		rows       int
	}{
		{`{"path":"a"}` + "\nbad\n" + `{"path":"b"}` + "\n" + long, "line 2: not a JSON object", 1},
		{`{"path":"a"}` + "\n" + `{"path":"b"}` + "\n" + long, "line 3: a row of more than 1 MiB", 2},
		{`{"path":"a"}` + "\n" + `{"path":"b"}` + "\nbad\n", "line 3: not a JSON object", 2},
	} {
		r, err := NewReader(strings.NewReader(c.text))
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		var last error
		for part, err := range (Job{Shard: Shard{0, 1}, Rows: 1000}).Parts(r) {
			rows, last = rows+len(part.Rows), err
		}
		if rows != c.rows || last == nil || !strings.Contains(last.Error(), c.want) {
			t.Errorf("%d rows and %v, want %d and %s", rows, last, c.rows, c.want)
		}
	}
}

// TestShards: for any number of shards every row is one shard's, in the same parts.
func TestShards(t *testing.T) {
	for _, rows := range []int{0, 1, 9, 10, 11, 1003} {
		var text strings.Builder
		for i := range rows {
			fmt.Fprintf(&text, `{"path":"%d"}`+"\n", i)
		}
		var whole map[string]string
		for n := 1; n <= 97; n++ {
			parts, seen := map[string]string{}, map[string]int{}
			for i := range n {
				r, err := NewReader(strings.NewReader(text.String()))
				if err != nil {
					t.Fatal(err)
				}
				for part, err := range (Job{Shard: Shard{i, n}, Rows: 10}).Parts(r) {
					if err != nil {
						t.Fatal(err)
					}
					for _, row := range part.Rows {
						seen[row.Path]++
						parts[part.Name()] += row.Path + " "
					}
				}
			}
			if n == 1 {
				whole = parts
			}
			if len(seen) != rows || !reflect.DeepEqual(parts, whole) {
				t.Fatalf("%d rows in %d shards: %d seen, %d parts of %d", rows, n, len(seen), len(parts), len(whole))
			}
			for path, times := range seen {
				if times != 1 {
					t.Fatalf("%d rows in %d shards: row %s %d times", rows, n, path, times)
				}
			}
		}
	}
}

// TestNames: a part's name changes with its rows and with the settings, and with
// nothing else.
func TestNames(t *testing.T) {
	name := func(text, settings string) string {
		r, err := NewReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for part := range (Job{Shard: Shard{0, 1}, Rows: 2, Settings: settings}).Parts(r) {
			return part.Name()
		}
		return ""
	}
	const text = "path,x\na,1\nb,2\n"
	if a, b := name(text, "m"), name(text+"c,3\n", "m"); a != b {
		t.Errorf("%s became %s by a row of the next part", a, b)
	}
	names := []string{name(text, "m"), name(text, "n"), name("path,x\na,1\nb,3\n", "m"), name("path,x\na,1\n", "m"), name("path,x\na,\"1\nb,2\"", "m")}
	if slices.Sort(names); len(slices.Compact(names)) != 5 {
		t.Errorf("%q", names)
	}
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]string{
		"0/1": "", "15/16": "", "1": "want I/N", "": "want I/N", "1/2/3": "want I/N", "a/2": "want I/N", "2/2": "0/2 to 1/2", "-1/2": "0/2 to 1/2", "0/0": "0 shards", "0/99999999": "shards: want",
	} {
		s, err := ParseShard(text)
		if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) && err != nil || err == nil && s.String() != text {
			t.Errorf("%q: %v, %v; want %q", text, s, err, want)
		}
	}
}

func TestShardOf(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "0/1 "},
		{"JOB_COMPLETION_INDEX=3 JOB_COMPLETIONS=16", "3/16 JOB_COMPLETION_INDEX and JOB_COMPLETIONS"},
		{"JOB_COMPLETION_INDEX=3", "JOB_COMPLETIONS, how many there are, is not"},
		{"JOB_COMPLETION_INDEX=16 JOB_COMPLETIONS=16", "16 shards are 0/16 to 15/16"},
		{"JOB_COMPLETION_INDEX=-1 JOB_COMPLETIONS=16", "16 shards are 0/16 to 15/16"},
		{"JOB_COMPLETION_INDEX=0 JOB_COMPLETIONS=0", "0 shards: want 1 to"},
		{"AWS_BATCH_JOB_ARRAY_INDEX=2 AWS_BATCH_JOB_ARRAY_SIZE=2", "2 shards are 0/2 to 1/2"},
		{"AWS_BATCH_JOB_ARRAY_INDEX=1", "AWS_BATCH_JOB_ARRAY_SIZE, how many there are, is not"},
		{"AWS_BATCH_JOB_ARRAY_INDEX=1.0 AWS_BATCH_JOB_ARRAY_SIZE=2", "AWS_BATCH_JOB_ARRAY_INDEX=\"1.0\" is no number"},
		{"AWS_BATCH_JOB_ARRAY_INDEX=0 AWS_BATCH_JOB_ARRAY_SIZE=2", "0/2 AWS_BATCH_JOB_ARRAY_INDEX and AWS_BATCH_JOB_ARRAY_SIZE"},
		{"SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1", "0/4 SLURM"},
		{"SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1", "3/4 SLURM"},
		{"SLURM_ARRAY_TASK_ID=20 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=5", "2/3 SLURM"},
		{"SLURM_ARRAY_TASK_ID=11 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=5", "is none of 10, 15, 20"},
		{"SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1", "3 shards are 0/3 to 2/3"},
		// As Slurm 22.05 sets them: --array=0-9:2, --array=5, and of --array=0-4:2,5 the first and the last
		{"SLURM_ARRAY_TASK_ID=8 SLURM_ARRAY_TASK_COUNT=5 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=8 SLURM_ARRAY_TASK_STEP=2", "4/5 SLURM"},
		{"SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=1 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_STEP=1", "0/1 SLURM"},
		{"SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_STEP=2", "with gaps"},
		{"SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_STEP=2", "is none of 0, 2, 4"},
		// --array=1,3,7: also the tasks whose number would be one of a share refuse
		{"SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_STEP=1", "the 3 tasks of Slurm's array have the numbers 1 to 7, with gaps: which shares of the list they are, nobody says; want --array=1-3, or --shard"},
		{"SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_STEP=1", "with gaps"},
		{"SLURM_ARRAY_TASK_ID=20 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=20 SLURM_ARRAY_TASK_STEP=5", "2/3 SLURM"},
		{"SLURM_ARRAY_TASK_ID=20 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=x SLURM_ARRAY_TASK_STEP=5", "SLURM_ARRAY_TASK_MAX=\"x\" is no number"},
		{"SLURM_ARRAY_TASK_ID=x SLURM_ARRAY_TASK_COUNT=3", "is no number"},
		{"JOB_COMPLETION_INDEX=3 SLURM_ARRAY_TASK_ID=7", "both JOB_COMPLETION_INDEX of Kubernetes and SLURM_ARRAY_TASK_ID of Slurm"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		s, from, err := ShardOf(func(name string) string { return env[name] })
		got := s.String() + " " + from
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", c.env, got, c.want)
		}
	}
}

// A row of a megabyte of names takes no longer than one of a long text.
func TestManyNames(t *testing.T) {
	line := []byte(`{"path":"a"`)
	for i := range 90_000 {
		line = fmt.Appendf(line, `,"%x":0`, i)
	}
	began := testenv.CPU()
	for _, end := range []string{"}", "", `,"0":0}`} {
		if row, err := ParseObject(append(line[:len(line):len(line)], end...)); row.Path != "a" && end != "" || (err == nil) != (end == "}") {
			t.Errorf("%q: %v", end, err)
		}
	}
	if took := testenv.CPU() - began; testenv.TooLong(took, 100) {
		t.Errorf("%v", took)
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "results")
	parts := func(text, settings string) (out []Part) {
		r, err := NewReader(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for p := range (Job{Shard: Shard{0, 1}, Rows: 1, Settings: settings}).Parts(r) {
			out = append(out, p)
		}
		return out
	}
	open := func(ext string) *Folder {
		f, err := OpenFolder(dir, ext)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	p := parts("path\na\nb\n", "m")
	f := open(".jsonl")
	left := filepath.Join(dir, "."+p[1].Name()+".jsonl.123")
	os.WriteFile(left, []byte("half"), 0o666)
	if err := f.Write(p[0], []byte("x")); err != nil {
		t.Fatal(err)
	}
	f = open(".jsonl")
	has0, err0 := f.Has(p[0])
	has1, err1 := f.Has(p[1])
	if !has0 || has1 || err0 != nil || err1 != nil || f.Owned(Shard{0, 1}) != 1 || f.Owned(Shard{1, 2}) != 0 {
		t.Errorf("%v %v, %v %v, %d", has0, err0, has1, err1, f.Owned(Shard{0, 1}))
	}
	if err := f.Write(p[1], []byte("y")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file of a killed process is there: %v", err)
	}
	for _, c := range []struct {
		folder *Folder
		part   Part
		want   string
	}{
		{f, parts("path\na\n", "n")[0], "another model or other settings"},
		{f, parts("path\nc\n", "m")[0], "other rows"},
		{open(".csv"), p[0], "are to be .csv"},
	} {
		if has, err := c.folder.Has(c.part); has || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "part-000000") {
			t.Errorf("%v, %v; want %q", has, err, c.want)
		}
	}
	// What another process writes in the meantime, or a longer list has left, is found at the end.
	for _, c := range []struct{ list, settings, other, others, want string }{
		{"path\na\nb\n", "m", "", "", ""},
		{"path\na\nb\n", "m", "path\na\nb\nz\n", "m", "rows that the list doesn't have"},
		{"path\na\n", "m", "path\nc\n", "m", "of two lists"},
		{"path\na\n", "m", "path\na\n", "n", "other settings: delete the folder, or the files of one job, as part-*-"},
		{"path\na\nb\nc\nd\ne\n", "m", "path\na\nb\nc\nd\ne\n", "n", "and so are "},
		{"", "m", "path\na\n", "n", "rows that the list doesn't have"},
	} {
		f, err := OpenFolder(filepath.Join(t.TempDir()), ".jsonl")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts(c.list, c.settings) {
			f.Has(p)
			f.Write(p, nil)
		}
		for _, p := range parts(c.other, c.others) {
			f.Write(p, nil)
		}
		if err := f.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	f.Write(parts("path\na\n", "n")[0], nil)
	if _, err := OpenFolder(dir, ".jsonl"); err == nil || !strings.Contains(err.Error(), "the same part, of ") {
		t.Errorf("two results of a part: %v", err)
	}
}

// Parts of other shards are held against the list, too: with other settings, or another
// number of rows in a part, they would be mixed with this one's.
func TestOtherShards(t *testing.T) {
	dir := t.TempDir()
	run := func(shard Shard, rows int, settings string) error {
		r, err := NewReader(strings.NewReader("path\na\nb\nc\nd\ne\n"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := OpenFolder(dir, ".jsonl")
		if err != nil {
			return err
		}
		for part, err := range (Job{Shard: shard, Rows: rows, Settings: settings, Done: f.Has}).Parts(r) {
			if err != nil {
				return err
			}
			if err := f.Write(part, nil); err != nil {
				return err
			}
		}
		return f.Check()
	}
	for _, c := range []struct {
		index, rows int
		settings    string
		want        string
	}{
		{0, 1, "m", ""}, {1, 1, "n", "another model or other settings"}, {1, 2, "m", "other rows"}, {1, 1, "m", ""}, {0, 1, "m", ""},
	} {
		err := run(Shard{c.index, 2}, c.rows, c.settings)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A longList is a manifest that is never in memory.
type longList struct {
	rows, at int
	rest     []byte
}

func (l *longList) Read(b []byte) (int, error) {
	for len(l.rest) < len(b) && l.at < l.rows {
		l.rest = fmt.Appendf(l.rest, `{"path":"photos/%07d.jpg","label":"cat"}`+"\n", l.at)
		l.at++
	}
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, l.rest)
	l.rest = l.rest[:copy(l.rest, l.rest[n:])]
	return n, nil
}

// TestMemory: a million rows take no more memory than a part of them.
func TestMemory(t *testing.T) {
	r, err := NewReader(&longList{rows: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, most := 0, uint64(0)
	for part, err := range (Job{Shard: Shard{1, 4}, Rows: 1000}).Parts(r) {
		if err != nil {
			t.Fatal(err)
		}
		if rows += len(part.Rows); part.Number%40 == 1 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}
	if rows != 250_000 || most > before.HeapAlloc+4<<20 {
		t.Errorf("%d rows, %d bytes more", rows, int64(most-before.HeapAlloc))
	}
}

// FuzzReader: what is read and written as JSON lines is read as the same again.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"{\"path\":\"a\"}\n{\"file\":1}", "path,x\na,\"1\n\"\n", "\ufeff{}", "[", "path\r\na\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (rows []Row, err error) {
			r, err := NewReader(bytes.NewReader(data))
			if err != nil {
				return nil, err
			}
			for part, err := range (Job{Shard: Shard{0, 1}, Rows: 3}).Parts(r) {
				if err != nil {
					return nil, err
				}
				rows = append(rows, part.Rows...)
			}
			return rows, nil
		}
		rows, err := read(data)
		if err != nil || !utf8.Valid(data) {
			return
		}
		var out []byte
		for _, row := range rows {
			line, err := row.JSON(struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(out, line...), '\n')
		}
		again, err := read(out)
		if err != nil || len(again) != len(rows) {
			t.Fatalf("%q: %v, %d rows of %d", out, err, len(again), len(rows))
		}
		for i := range rows {
			if again[i].Path != rows[i].Path {
				t.Fatalf("%q became %q", rows[i].Path, again[i].Path)
			}
		}
	})
}

// A name is a URL or a path.
func TestScheme(t *testing.T) {
	for name, want := range map[string]string{
		"s3://b/x": "s3", "s3a:/x": "s3a", "file:///x": "file", "HTTPS://h": "HTTPS",
		"": "", "x": "", "/x": "", "./s3:/x": "", "C:/x": "", `C:\x`: "", "a:b": "", "a b:/c": "", "x/s3:/y": "", ":/x": "",
	} {
		if got := Scheme(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
