package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
)

// A listing is a manifest with columns of all kinds that are passed on.
type listing struct {
	name string
	make func(t *testing.T, file string, photos []string)
}

var listings = []listing{
	{"list.jsonl", func(t *testing.T, file string, photos []string) {
		text := fmt.Sprintf(`{"path":%q,"shop":17,"price":1.5,"sold":true,"name":"a\t\"b\"\n😀","mixed":"x","nested":{"b": [1,null], "a":2},"long":12345678901234567890,"some":3,"odd `+"`"+`name' \\":"q","file":"passed on","nothing":null,"empty":1,"big":9007199254740993,"mass":12345678901234567890,"kilo":9007199254740993,"huge":1e400,"exact":9007199254740992,"many":123456789012345678901234567890123456789}
{"shop":-9223372036854775808,"path":%q,"price":3,"sold":false,"name":"","mixed":1.50,"nested":[],"long":1,"empty":"","mass":1.0,"kilo":0.5,"huge":1,"exact":-0.5,"many":1}
{"path":%q,"price":1e-7,"mixed":false}
`, photos[0], photos[1], photos[2])
		put(t, file, text)
	}},
	{"list.csv", func(t *testing.T, file string, photos []string) {
		put(t, file, fmt.Sprintf("shop,path,\"odd `name' \"\"\",note\n17,%s,q,\"a\nb, \"\"c\"\"\"\n018,%s,,\"\"\n,%s,x, y \n", photos[0], photos[1], photos[2]))
	}},
	{"list.parquet", func(t *testing.T, file string, photos []string) {
		type row struct {
			Path   string   `parquet:"path"`
			Tiny   int8     `parquet:"tiny"`
			Small  *int16   `parquet:"small"`
			Int    int32    `parquet:"int"`
			Long   *int64   `parquet:"long"`
			Byte   uint8    `parquet:"byte"`
			Uint   uint32   `parquet:"uint"`
			Float  float32  `parquet:"float"`
			Double *float64 `parquet:"double"`
			Sold   *bool    `parquet:"sold"`
			Name   *string  `parquet:"name"`
			Ulong  uint64   `parquet:"ulong"`
			Few    *int32   `parquet:"few,decimal(2:9)"`
			More   int64    `parquet:"more,decimal(18:18)"`
			Many   [9]byte  `parquet:"many,decimal(5:20)"`
		}
		some, small, long, double, sold, few := "b\x00c", int16(-32768), int64(math.MinInt64), math.NaN(), true, int32(-123456789)
		rows := []row{
			{photos[0], -128, &small, math.MinInt32, &long, 255, math.MaxUint32, 0.1, &double, &sold, &some, math.MaxUint64, &few, 999999999999999999, [9]byte{0, 1}},
			{Path: photos[1], Float: float32(math.Inf(-1)), Ulong: 1 << 63, More: -1, Many: [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255}}, {Path: photos[2], Float: math.MaxFloat32},
		}
		if err := parquet.WriteFile(file, rows); err != nil {
			t.Fatal(err)
		}
	}},
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// listed makes a manifest of two photos and one that is not there.
func listed(t *testing.T, l listing) string {
	t.Helper()
	dir := t.TempDir()
	photos := []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), filepath.Join(dir, "none.png")}
	photo(t, photos[0], 1)
	photo(t, photos[1], 2)
	file := filepath.Join(dir, l.name)
	l.make(t, file, photos)
	return file
}

// read reads the columns of Parquet files that T has, by the file's name of the photo.
func read[T any](t *testing.T, dir string, name func(T) string) map[string]T {
	t.Helper()
	all := map[string]T{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.parquet"))
	for _, f := range files {
		rows, err := parquet.ReadFile[T](f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			all[filepath.Base(name(r))] = r
		}
	}
	return all
}

// What else a manifest has results have, in types of their own: also those of photos that
// failed.
func TestPassedColumns(t *testing.T) {
	model := fashion(t)
	run := func(i int, flags ...string) string {
		out := t.TempDir()
		args := append([]string{"predict", "--local", "-i", listed(t, listings[i]), "-o", out, "-m", model, "-k", "1", "--max-errors", "1"}, flags...)
		if _, _, err := command(args...); err != nil {
			t.Fatal(err)
		}
		return out
	}
	type ofJSON struct {
		Path   string   `parquet:"path"`
		Shop   *int64   `parquet:"shop"`
		Price  *float64 `parquet:"price"`
		Sold   *bool    `parquet:"sold"`
		Name   *string  `parquet:"name"`
		Mixed  *string  `parquet:"mixed"`
		Nested *string  `parquet:"nested"`
		Long   *string  `parquet:"long"`
		Empty  *string  `parquet:"empty"`
		File   *string  `parquet:"file"`
		Big    *int64   `parquet:"big"`
		Mass   *string  `parquet:"mass"`
		Kilo   *string  `parquet:"kilo"`
		Huge   *string  `parquet:"huge"`
		Exact  *float64 `parquet:"exact"`
		Many   *string  `parquet:"many"`
		Error  *string  `parquet:"error"`
	}
	none := "no such file or directory"
	want := map[string]ofJSON{
		"a.png": {Shop: new(int64(17)), Price: new(1.5), Sold: new(true), Name: new("a\t\"b\"\n😀"), Mixed: new("x"), Nested: new(`{"b": [1,null], "a":2}`), Long: new("12345678901234567890"),
			Empty: new("1"), File: new("passed on"), Big: new(int64(9007199254740993)),
			Mass: new("12345678901234567890"), Kilo: new("9007199254740993"), Huge: new("1e400"), Exact: new(9007199254740992.0), Many: new("123456789012345678901234567890123456789")},
		"b.png": {Shop: new(int64(math.MinInt64)), Price: new(3.0), Sold: new(false), Name: new(""), Mixed: new("1.50"), Nested: new("[]"), Long: new("1"), Empty: new(""),
			Mass: new("1.0"), Kilo: new("0.5"), Huge: new("1"), Exact: new(-0.5), Many: new("1")},
		"none.png": {Price: new(1e-7), Mixed: new("false"), Error: &none},
	}
	if d := cmp.Diff(want, read(t, run(0), func(r ofJSON) string { return r.Path }), cmpopts.IgnoreFields(ofJSON{}, "Path")); d != "" {
		t.Errorf("JSON lines: (-want +got)\n%s", d)
	}
	type ofCSV struct {
		Path  string  `parquet:"path"`
		Shop  *string `parquet:"shop"`
		Note  *string `parquet:"note"`
		Error *string `parquet:"error"`
	}
	wantCSV := map[string]ofCSV{"a.png": {Shop: new("17"), Note: new("a\nb, \"c\"")}, "b.png": {Shop: new("018")}, "none.png": {Note: new(" y "), Error: &none}}
	if d := cmp.Diff(wantCSV, read(t, run(1), func(r ofCSV) string { return r.Path }), cmpopts.IgnoreFields(ofCSV{}, "Path")); d != "" {
		t.Errorf("CSV: (-want +got)\n%s", d)
	}
	type ofParquet struct {
		Path   string   `parquet:"path"`
		Tiny   *int8    `parquet:"tiny"`
		Small  *int16   `parquet:"small"`
		Byte   *int16   `parquet:"byte"`
		Uint   *int64   `parquet:"uint"`
		Long   *int64   `parquet:"long"`
		Float  *float32 `parquet:"float"`
		Double *float64 `parquet:"double"`
		Name   *string  `parquet:"name"`
		Ulong  [9]byte  `parquet:"ulong,decimal(0:20)"`
		Few    *int32   `parquet:"few,decimal(2:9)"`
		More   int64    `parquet:"more,decimal(18:18)"`
		Many   [9]byte  `parquet:"many,decimal(5:20)"`
	}
	got := read(t, run(2), func(r ofParquet) string { return r.Path })
	wantParquet := map[string]ofParquet{
		"a.png": {Tiny: new(int8(-128)), Small: new(int16(-32768)), Byte: new(int16(255)), Uint: new(int64(math.MaxUint32)), Long: new(int64(math.MinInt64)), Float: new(float32(0.1)),
			Double: new(math.NaN()), Name: new("b\x00c"), Ulong: [9]byte{0, 255, 255, 255, 255, 255, 255, 255, 255}, Few: new(int32(-123456789)), More: 999999999999999999, Many: [9]byte{0, 1}},
		"b.png": {Tiny: new(int8(0)), Byte: new(int16(0)), Uint: new(int64(0)), Float: new(float32(math.Inf(-1))),
			Ulong: [9]byte{0, 128}, More: -1, Many: [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255}},
		"none.png": {Tiny: new(int8(0)), Byte: new(int16(0)), Uint: new(int64(0)), Float: new(float32(math.MaxFloat32))},
	}
	if d := cmp.Diff(wantParquet, got, cmpopts.IgnoreFields(ofParquet{}, "Path"), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("Parquet: (-want +got)\n%s", d)
	}
	// Some of them, or none.
	for flag, want := range map[string]string{"--columns=sold,shop": "path member shop sold predictions", "--columns=": "path member predictions"} {
		files, _ := filepath.Glob(filepath.Join(run(0, flag), "*.parquet"))
		f, file, err := openParquet(files[0])
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		var names []string
		for _, field := range file.Schema().Fields() {
			names = append(names, field.Name())
		}
		if got := strings.Join(names, " "); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", flag, got)
		}
	}
}

// A manifest whose columns can't be passed on is refused before anything is written.
func TestRefusedColumns(t *testing.T) {
	model, dir := fashion(t), t.TempDir()
	for text, want := range map[string]string{
		"path,error\na,b\n":                                `column "error" of the manifest has the name of one of the results`,
		"path,Model\na,b\n":                                `column "Model" of the manifest has the name of one of the results`,
		"path,x,X\na,b,c\n":                                `columns "x" and "X" of the manifest differ in case alone`,
		"path,Path\na,b\n":                                 `columns "path" and "Path" of the manifest differ in case alone`,
		"path,Size\na,b\n":                                 `column "Size" of the manifest differs from size in case alone`,
		"path,${user.name}\na,b\n":                         `column "${user.name}" of the manifest has ${, for which Spark writes the value of a variable`,
		",path\n0,a\n":                                     `a column of the manifest has no name`,
		`{"path":"a","predictions":null}`:                  `column "predictions" of the manifest has the name of one of the results`,
		"{\"path\":\"a\"}\n{\"path\":\"b\",\"version\":1}": `column "version" of the manifest has the name of one of the results`,
		"{\"path\":\"a\"}\n{\"path\":":                     "line 2: not JSON",
	} {
		list, out := filepath.Join(dir, "list"), filepath.Join(dir, "out")
		put(t, list, text)
		args := []string{"predict", "--local", "-i", list, "-o", out, "-m", model}
		_, stderr, err := command(args...)
		if err == nil || !strings.Contains(err.Error(), want) || exists(out) || stderr != "" {
			t.Errorf("%q: %v %s, want %s", text, err, stderr, want)
		}
		if strings.Contains(want, "line 2") {
			continue
		}
		if _, _, err := command(append(args, "--columns=", "--max-errors=2")...); (err == nil) == strings.HasPrefix(want, "columns ") {
			t.Errorf("%q and no columns: %v", text, err)
		}
		os.RemoveAll(out)
	}
	list := filepath.Join(dir, "dates.parquet")
	type row struct {
		Path string `parquet:"path"`
		When int64  `parquet:"when,timestamp"`
	}
	if err := parquet.WriteFile(list, []row{{"a", 1}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := command("predict", "--local", "-i", list, "-o", filepath.Join(dir, "out"), "-m", model); err == nil || !strings.Contains(err.Error(), "--columns says which are passed on") {
		t.Errorf("a column of times: %v", err)
	}
	if _, _, err := command("predict", "--local", "-i", list, "-o", filepath.Join(dir, "out"), "-m", model, "--columns=shop"); err == nil || !strings.Contains(err.Error(), "--columns shop: the manifest has no such column") {
		t.Errorf("a column that isn't there: %v", err)
	}
}

// A folder is read whole, or refused.
func TestFolderManifest(t *testing.T) {
	model := fashion(t)
	type row struct {
		Path string `parquet:"path"`
	}
	for want, names := range map[string][]string{
		"": {"a.parquet", "b.parquet", "_SUCCESS", ".a.parquet.crc", "_mobilenet/c.json"},
		"a folder with others in it, as k=1: --input of one folder with all files":           {"a.parquet", "k=1/b.parquet"},
		"a folder with others in it, as more: --input of one folder with all files":          {"a.parquet", "more/b.parquet"},
		"a folder of partitions, as k=1, which only Spark reads: --input of one of them":     {"k=1/a.parquet", "k=2/b.parquet"},
		"a folder in which b.PARQUET is no .parquet":                                         {"a.parquet", "b.PARQUET"},
		"a folder without files of Parquet; of photos mobilenet-spark list makes a manifest": {"a.png", "more/b.png"},
	} {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		for _, name := range names {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := parquet.WriteFile(file, []row{{name}}); err != nil {
				t.Fatal(err)
			}
		}
		_, stderr, err := command("predict", "--local", "-i", dir, "-o", out, "-m", model, "--max-errors=2")
		switch {
		case want == "" && (err != nil || !strings.Contains(stderr, "rows                 2\n")):
			t.Errorf("%v: %v: %s", names, err, stderr)
		case want != "" && (err == nil || err.Error() != dir+": "+want || exists(out)):
			t.Errorf("%v: %v, want %s", names, err, want)
		}
	}
}

// A list is what its name says, which is all that Spark knows of it.
func TestManifestNames(t *testing.T) {
	model := fashion(t)
	zero, err := os.ReadFile("testdata/zero.parquet")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "path\na\n")
	z.Close()
	for _, c := range []struct{ name, text, want string }{
		{"a.parquet", string(zero), ""},
		{"a.PARQUET", string(zero), ""},
		{"a.csv", string(zero), "a Parquet file; its name has to end with .parquet"},
		{"a.parquet", "path\na\n", "not a Parquet file, as its name says"},
		{"a.parquet", string(zero[:20]), "cut off, or no Parquet file: it doesn't begin or end as one"},
		{"a.csv.gz", packed.String(), ""},
		{"a.csv.gz", packed.String() + "junk\n", "what lies behind the end of what gzip packed is something else"},
		{"a.csv.gz", packed.String()[:packed.Len()-3], "cut off: what gzip packed has no end"},
		{"a.csv", packed.String(), "packed by gzip; its name has to end with .gz, as .jsonl.gz or .csv.gz"},
		{"a.csv.gz", "path\na\n", "not packed by gzip, as its name says"},
		{"a.csv", "", ""},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		put(t, file, c.text)
		_, stderr, err := command("predict", "--local", "-i", file, "-o", t.TempDir(), "-m", model, "--max-errors", "1")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), file+": "+c.want)) {
			t.Errorf("%s: %v: %s, want %s", c.name, err, stderr, c.want)
		}
	}
}

// Results of Spark are nothing that --local goes on with.
func TestSparksOutput(t *testing.T) {
	model := fashion(t)
	for _, name := range []string{"_mobilenet/a.json", "part-00000-e6cc5d1b-a944-454c-84a8-4c5e6c3f3808-c000.snappy.parquet"} {
		out := t.TempDir()
		file := filepath.Join(out, name)
		os.MkdirAll(filepath.Dir(file), 0o777)
		put(t, file, "")
		_, _, err := command("predict", "--local", "--resume", "-i", write(t, []string{"a"}), "-o", out, "-m", model)
		if err == nil || !strings.Contains(err.Error(), "these are results of a Spark job: go on with --remote or --spark-home") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
