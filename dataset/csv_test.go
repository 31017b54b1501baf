package dataset

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/fault"
)

// toUTF16 encodes text with a byte order mark.
func toUTF16(text string, order binary.AppendByteOrder) string {
	out := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, u)
	}
	return string(out)
}

// TestTables opens tables as people have them, of the same four photos: cat/1.png and
// cat/2.png, dog/3.png and dog/4.png.
func TestTables(t *testing.T) {
	four := []string{"cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"}
	const plain = "path,label\ncat/1.png,cat\ncat/2.png,cat\ndog/3.png,dog\ndog/4.png,dog\n"
	replaced := func(old, new string) string { return strings.ReplaceAll(plain, old, new) }
	for name, test := range map[string]struct {
		text  string
		train []string // four if nil
		val   []string
		note  string
		err   string
	}{
		"plain":             {text: plain},
		"without header":    {text: strings.TrimPrefix(plain, "path,label\n")},
		"without last end":  {text: strings.TrimSpace(plain)},
		"semicolons":        {text: replaced(",", ";")},
		"Excel":             {text: "sep=;\r\n" + replaced(",", ";")},
		"tabs":              {text: replaced(",", "\t")},
		"spaces":            {text: strings.TrimPrefix(replaced(",", " "), "path label\n")},
		"Windows":           {text: "\ufeff" + replaced("\n", "\r\n")},
		"old Mac":           {text: replaced("\n", "\r")},
		"UTF-16":            {text: toUTF16(plain, binary.LittleEndian)},
		"UTF-16 high first": {text: toUTF16(replaced(",", "\t"), binary.BigEndian)},
		"blank lines":       {text: "\n" + replaced("\n", "\n\n , \n")},
		"quotation marks":   {text: replaced("dog\n", "\"dog\"\n")},
		"spaces around":     {text: replaced(",", " , ")},
		"label first":       {text: "label,path\ncat,cat/1.png\ncat,cat/2.png\ndog,dog/3.png\ndog,dog/4.png\n"},
		"pandas":            {text: ",filename,class\n0,cat/1.png,cat\n1,cat/2.png,cat\n2,dog/3.png,dog\n3,dog/4.png,dog\n"},
		"pandas without header": {
			text: "0,cat/1.png,cat\n1,cat/2.png,cat\n2,dog/3.png,dog\n3,dog/4.png,dog\n",
		},
		"pandas of tabs": {text: "\tfilename\tclass\n0\tcat/1.png\tcat\n1\tcat/2.png\tcat\n2\tdog/3.png\tdog\n3\tdog/4.png\tdog\n"},
		"backslashes":    {text: replaced("/", `\`)},
		"dots":           {text: replaced("cat/", "./cat/../cat/")},
		"no endings":     {text: replaced(".png", ""), note: "names without endings are those of images such as cat/1.png"},
		"ids":            {text: "id,breed\ncat/1,cat\ncat/2,cat\ndog/3,dog\ndog/4,dog\n", note: "names without endings are those of images such as cat/1.png"},
		"all of another machine": {
			text: strings.ReplaceAll(replaced("cat/", "/content/data/cat/"), "dog/", "/content/data/dog/"),
			note: "the beginning of the paths (/content/data) is not on this machine and left out",
		},
		"a Windows machine": {
			text: strings.ReplaceAll(replaced("cat/", `C:\data\cat\`), "dog/", `C:\data\dog\`),
			note: `the beginning of the paths (C:\data) is not on this machine and left out`,
		},
		"bare names": {
			text: strings.ReplaceAll(replaced("cat/", ""), "dog/", ""),
			note: "the paths are those of files in cat and dog",
		},
		"one-hot": {
			text: "filename,dog,cat\ncat/1.png,0,1\ncat/2.png,0,1\ndog/3.png,1,0\ndog/4.png,1,0\n",
			note: `the paths are in column "filename", the classes are the columns of 0 and 1 (dog, cat)`,
		},
		"one-hot with more": {
			text: "age;image;cat;cow;dog\n3;cat/1.png;1.0;0.0;0.0\n7;cat/2.png;1.0;0.0;0.0\n8;dog/3.png;0.0;0.0;1.0\n9;dog/4.png;0.0;0.0;1.0\n",
			note: `the paths are in column "image", the classes are the columns of 0 and 1 (cat, cow, dog)`,
		},
		"unknown names": {
			text: "foto,tier\ncat/1.png,cat\ncat/2.png,cat\ndog/3.png,dog\ndog/4.png,dog\n",
			note: `the paths are in column "foto", the classes in column "tier"`,
		},
		"two columns of classes": {
			text: "class id,filepaths,labels\n0,cat/1.png,cat\n0,cat/2.png,cat\n1,dog/3.png,dog\n1,dog/4.png,dog\n",
			note: `the paths are in column "filepaths", the classes in column "labels"`,
		},
		"sizes and boxes":  {text: "Filename;Width;Height;Roi.X1;Roi.Y1;ClassId\ncat/1.png;3;2;0;0;7\ndog/3.png;3;2;0;0;10\n", train: []string{"7/1.png", "10/3.png"}},
		"pandas with gaps": {text: "path,target\ncat/1.png,0.0\ndog/3.png,1.0\n", train: []string{"0/1.png", "1/3.png"}},
		"parts": {
			text:  "path,label,Split\ncat/1.png,cat,Train\ncat/2.png,cat,valid\ndog/3.png,dog,training\ndog/4.png,dog,validation\n",
			train: []string{"cat/1.png", "dog/3.png"}, val: []string{"cat/2.png", "dog/4.png"},
		},
		"parts with test": {
			text:  "path,label,data set\ncat/1.png,cat,train\ncat/2.png,cat,valid\ndog/3.png,dog,train\ndog/4.png,dog,test\n",
			train: []string{"cat/1.png", "dog/3.png"}, val: []string{"cat/2.png"}, note: "not used: the rows for test",
		},
		"fastai": {
			text:  "fname,labels,is_valid\ncat/1.png,cat,False\ncat/2.png,cat,True\ndog/3.png,dog,False\ndog/4.png,dog,True\n",
			train: []string{"cat/1.png", "dog/3.png"}, val: []string{"cat/2.png", "dog/4.png"},
		},
		"flag of training": {
			text:  "path,label,is_train\ncat/1.png,cat,1\ncat/2.png,cat,0\ndog/3.png,dog,1\ndog/4.png,dog,0\n",
			train: []string{"cat/1.png", "dog/3.png"}, val: []string{"cat/2.png", "dog/4.png"},
		},
		"a row twice": {text: plain + "cat/1.png,cat\n", note: "rows that repeat an image, which counts once: 1"},
		"a comma in a label": {
			text: "path,label\ncat/1.png,\"tench, Tinca tinca\"\ndog/3.png,dog\n", train: []string{"tench, Tinca tinca/1.png", "dog/3.png"},
		},

		"two classes of an image": {text: plain + "cat/1.png,dog\n", err: `line 6: cat/1.png is "dog" here and "cat" on line 2: an image has one class`},
		"several ones":            {text: "path,cat,dog\ncat/1.png,1,1\n", err: "line 2: 2 of the 2 classes have a 1: want one"},
		"no ones":                 {text: "path,cat,dog\ncat/1.png,1,0\ndog/3.png,0,0\n", err: "line 3: 0 of the 2 classes have a 1: want one"},
		"a comma too many":        {text: "cat/1.png,cat\ndog/3.png,dog, big\n", err: "rows of 2 and of 3 columns (a comma in a name needs quotes around that)"},
		"a comma too many later":  {text: strings.Repeat("cat/1.png,cat\n", sampled) + "dog/3.png,dog, big\n", err: "line 101: 3 columns, but 2 in the first line"},
		"no label":                {text: plain + "cat/1.png,\n", err: "line 6: the path or the label is empty"},
		"no column of classes":    {text: "path\ncat/1.png\n", err: `a table that can't be understood: one column; want columns of path and label, named so in the first line; it begins "path", "cat/1.png"`},
		"several columns":         {text: "path,a,b\ncat/1.png,x,y\n", err: `a table that can't be understood: no column that is called as one of classes is;`},
		"several paths":           {text: "a,b,c\nx.png,y.png,z\n", err: "several columns with paths of images"},
		"pixels":                  {text: "label,pixel1,pixel2\n0,1,2\n", err: "no column with paths of images"},
		"escape sequences":        {text: "foo,\x1b[31mbar,x\n1,2,3\n", err: `it begins "foo,\x1b[31mbar,x", "1,2,3"`},
		"an escape sequence":      {text: "path,label\ncat/1.png,\x1b[31mcat\n", err: `line 2: "\x1b[31mcat" has a control character`},
		"an open quotation mark":  {text: "path,label\ncat/1.png,\"cat\n", err: "line 2: extraneous or missing \" in quoted-field"},
		"no rows":                 {text: "path,label\n", err: "a header and no rows"},
		"nothing":                 {text: "", err: "an empty file"},
		"blanks":                  {text: " \n\n", err: "blank: want a folder per class"},
		"no such files":           {text: "path,label\ncat/9.png,cat\n", err: `line 2: there is no image "cat/9.png" beside the table or in a folder beside it`},
		"addresses":               {text: "url,label\nhttps://example.org/1.png,cat\n", err: `line 2: "https://example.org/1.png" is an address; want paths of files`},
		"Latin-1":                 {text: "path,label\ncat/1.png,B\xe4r\n", err: "line 2: not UTF-8 text"},
		"UTF-16 without mark":     {text: toUTF16(plain, binary.LittleEndian)[2:], err: "line 1: a zero byte: neither UTF-8 text nor UTF-16 with a byte order mark"},
		"zip":                     {text: "PK\x03\x04", err: "a zip archive: unpack it"},
		"unknown parts":           {text: "path,label,split\ncat/1.png,cat,1\n", err: `the column "split" should have train, val or test`},
		"an unknown part":         {text: "path,label,split\n" + strings.Repeat("cat/1.png,cat,train\n", sampled) + "dog/3.png,dog,fold1\n", err: `line 102: "fold1" in the column of parts: want train, val or test`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{"cat/1.png": "", "cat/2.png": "", "dog/3.png": "", "dog/4.png": "", "list.csv": test.text + " "})
			path := filepath.Join(dir, "list.csv")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			train, val, err := Open(path, Options{})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.HasPrefix(err.Error(), path+": ") {
					t.Fatalf("error %v, want the file and %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := test.train
			if want == nil {
				want = four
			}
			if d := cmp.Diff(want, listed(train)); d != "" {
				t.Error(d)
			}
			if val == nil && test.val != nil || val != nil && !slices.Equal(test.val, listed(val)) {
				t.Errorf("val: %v, want %q", val, test.val)
			}
			got := notes(dir, train, val)
			if test.note != "" {
				if d := cmp.Diff([]string{"list.csv: " + test.note}, got); d != "" {
					t.Error("notes:", d)
				}
			} else if got != nil {
				t.Errorf("notes %q, want none", got)
			}
			for i := range train.Items {
				if img, err := train.Image(t.Context(), i); err != nil || img.W != 3 {
					t.Error(err)
				}
			}
		})
	}
}

// TestMissingFile leaves an image that is not there in the set, so that reading it
// says so.
func TestMissingFile(t *testing.T) {
	dir := tree(t, map[string]string{"1.png": "", "list.csv": "1.png,cat\n9.png,dog\n"})
	s, _, err := Open(filepath.Join(dir, "list.csv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(t.Context(), 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "9.png")) {
		t.Errorf("error %v", err)
	}
}

// TestTablesInAnyForm writes the same rows with their columns in any order, with any
// separator, encoding, ends of lines and normal form, and expects the same set.
func TestTablesInAnyForm(t *testing.T) {
	files := map[string]string{}
	classes := []string{"cat", "Dog, big", "café", "7", `the "x"`}
	for i := range 8 {
		files[fmt.Sprintf("photos/caf\u00e9 %d.png", i)] = ""
	}
	dir := tree(t, files)
	rapid.Check(t, func(t *rapid.T) {
		type column struct {
			name  string
			value func(i int) string
		}
		n := rapid.IntRange(2, 8).Draw(t, "rows")
		labels := rapid.SliceOfN(rapid.SampledFrom(classes), n, n).Draw(t, "labels")
		names := slices.Compact(slices.Sorted(slices.Values(labels)))
		path := func(i int) string { return fmt.Sprintf("photos/caf\u00e9 %d.png", i) }
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"train", "Training"}), n, n).Draw(t, "parts")
		columns := []column{{rapid.SampledFrom([]string{"path", "File", "file_name", "Image Path", "filepaths", "image"}).Draw(t, "path"), path}}
		if rapid.Bool().Draw(t, "one-hot") && len(names) > 1 {
			for _, class := range names {
				columns = append(columns, column{class, func(i int) string { return map[bool]string{true: "1", false: "0"}[labels[i] == class] }})
			}
		} else {
			columns = append(columns, column{rapid.SampledFrom([]string{"label", "Class", "category", "TARGET", "breed"}).Draw(t, "label"), func(i int) string { return labels[i] }})
		}
		if rapid.Bool().Draw(t, "index") {
			columns = append(columns, column{rapid.SampledFrom([]string{"", "Unnamed: 0", "index"}).Draw(t, "index name"), func(i int) string { return fmt.Sprint(i) }})
		}
		if rapid.Bool().Draw(t, "split") {
			columns = append(columns, column{"split", func(i int) string { return parts[i] }})
		}
		if rapid.Bool().Draw(t, "sizes") {
			columns = append(columns, column{"width", func(int) string { return "3" }}, column{"height", func(int) string { return "2" }})
		}
		columns = rapid.Permutation(columns).Draw(t, "columns")

		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Comma = rapid.SampledFrom([]rune{',', ';', '\t'}).Draw(t, "separator")
		for i := -1; i < n; i++ {
			var fields []string
			for _, c := range columns {
				if i < 0 {
					fields = append(fields, c.name)
				} else {
					fields = append(fields, c.value(i))
				}
			}
			w.Write(fields)
		}
		w.Flush()
		text := b.String()
		if rapid.Bool().Draw(t, "decomposed") {
			text = norm.NFD.String(text)
		}
		if rapid.Bool().Draw(t, "backslashes") {
			text = strings.ReplaceAll(text, "/", `\`)
		}
		if rapid.Bool().Draw(t, "no endings") {
			text = strings.ReplaceAll(text, ".png", "")
		}
		text = strings.ReplaceAll(text, "\n", rapid.SampledFrom([]string{"\n", "\r\n", "\r", "\n\n"}).Draw(t, "end"))
		switch rapid.IntRange(0, 3).Draw(t, "encoding") {
		case 1:
			text = "\ufeff" + text
		case 2:
			text = toUTF16(text, binary.LittleEndian)
		case 3:
			text = toUTF16(text, binary.BigEndian)
		}
		list := filepath.Join(dir, "list.csv")
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, val, err := Open(list, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if d := cmp.Diff(names, s.Classes); d != "" || val != nil {
			t.Fatalf("%s%v\n%s", d, val, b.String())
		}
		for i := range n {
			if it := s.Items[i]; it.Name != filepath.Join(dir, path(i)) || s.Classes[it.Label] != labels[i] {
				t.Fatalf("row %d is %q of %q, want %q\n%s", i, it.Name, s.Classes[it.Label], labels[i], b.String())
			}
		}
	})
}

// TestHostileTables bounds what a table may cost.
func TestHostileTables(t *testing.T) {
	const size = 8 << 20
	for name, test := range map[string]struct {
		text string
		err  string
	}{
		"an open quotation mark": {"path,label\na.png,\"" + strings.Repeat("x", size), "a row of more than 1048576 bytes"},
		"a long line":            {strings.Repeat("a,", size/2), "a row of more than 1048576 bytes"},
		"one long line without":  {strings.Repeat("a", size), "a row of more than 1048576 bytes"},
		"many columns":           {"path," + strings.Repeat("a,", 500_000) + "\n", "a header and no rows"},
		"nothing but line ends":  {strings.Repeat("\n", size), "blank"},
		"nothing but carriages":  {strings.Repeat("\r", size), "blank"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseTable([]byte(test.text))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %.300v, want %q", name, err, test.err)
		}
		if n := len(fmt.Sprint(err)); n > 1000 {
			t.Errorf("%s: an error of %d bytes", name, n)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 200 {
			t.Errorf("%s: %d MB", name, took)
		}
	}
}

// TestMemory bounds what is allocated for each image while a set is opened, which is
// more than is held at once: a million must not take gigabytes.
func TestMemory(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	rows := []byte("path,label\n")
	for i := range n {
		name := fmt.Sprintf("class%d/photo_%08d.jpg", i%10, i)
		os.Mkdir(filepath.Join(dir, filepath.Dir(name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		rows = fmt.Appendf(rows, "%s,class%d\n", name, i%10)
	}
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, bytes.ReplaceAll(rows, []byte("class"), []byte(dir+"/class")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, list} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, _, err := Open(path, Options{})
		runtime.ReadMemStats(&after)
		if err != nil || len(s.Items) != n {
			t.Fatal(s, err)
		}
		// A row of the list has the folder twice, and so have what is made of it.
		if each := int(after.TotalAlloc-before.TotalAlloc) / n; each > 1000+6*len(dir) {
			t.Errorf("%s: %d bytes an image", path, each)
		}
	}
}

// TestErrorKinds tells a broken table from one that isn't read.
func TestErrorKinds(t *testing.T) {
	for text, want := range map[string]fault.Kind{
		"path,label\na.png,\"x\n":  fault.Broken,
		"label,pixel\n1,2\n":       fault.Unsupported,
		"PK\x03\x04":               fault.Unsupported,
		"path,label\na.png,\xff\n": fault.Broken,
	} {
		_, err := parseTable([]byte(text))
		if e, ok := err.(*fault.Error); !ok || e.Kind != want {
			t.Errorf("%q: %v (%T), want it %v", text, err, err, want)
		}
	}
}
