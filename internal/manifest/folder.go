package manifest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
)

// A Folder holds the results of a job, a file a part.
type Folder struct {
	dir, ext string
	there    map[int]string   // the names of parts' files
	left     map[int][]string // temporary files of processes that were killed

	list     []string // the digests of the list's parts, of which Has was asked
	settings string   // and that of the settings
}

// Scheme is the scheme of a name that is a URL, such as s3 of s3://bucket/list.csv, which is no
// file or folder to open. It is empty for paths: also for C:/photos, and ./s3:/photos.
func Scheme(name string) string {
	scheme, rest, _ := strings.Cut(name, ":")
	strange := strings.ContainsFunc(scheme, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '-')
	})
	if len(scheme) < 2 || strange || !strings.HasPrefix(rest, "/") {
		return ""
	}
	return scheme
}

// OpenFolder makes dir, if it is not there, and looks what it has. ext is the ending of
// the files: ".jsonl".
func OpenFolder(dir, ext string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, ext: ext}
	return f, f.look()
}

// look looks what is in the folder.
func (f *Folder) look() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	f.there, f.left = map[int]string{}, map[int][]string{}
	var first [2]string
	pairs := 0
	for _, name := range names {
		rest, temporary := strings.CutPrefix(name, ".")
		number, ok := partNumber(rest)
		switch {
		case !ok:
		case temporary:
			f.left[number] = append(f.left[number], name)
		case f.there[number] != "":
			pairs++
			if pair := [2]string{min(f.there[number], name), max(f.there[number], name)}; pairs == 1 || pair[0] < first[0] {
				first = pair
			}
		default:
			f.there[number] = name
		}
	}
	if pairs > 0 {
		return f.twice(first, pairs)
	}
	return nil
}

// twice is the error of parts that are there twice, of which pair is one: they are of jobs that
// wrote at the same time.
func (f *Folder) twice(pair [2]string, pairs int) error {
	rows1, settings1 := digests(pair[0])
	rows2, settings2 := digests(pair[1])
	reason, way := "of two jobs", "delete the folder, or one file of each pair"
	switch {
	case filepath.Ext(pair[0]) != filepath.Ext(pair[1]):
		reason = "in two formats"
	case rows1 == rows2 && settings1 != settings2:
		reason = "of two models, or of two jobs with other settings"
		way = fmt.Sprintf("delete the folder, or the files of one job, as part-*-%s%s", settings2, filepath.Ext(pair[1]))
	case rows1 != rows2:
		reason = "of two lists, or of one in parts of other sizes"
	}
	others := ""
	if pairs > 1 {
		others = fmt.Sprintf(", and so are %d other pairs", pairs-1)
	}
	return fmt.Errorf("%s: %s and %s are results of the same part, %s%s: %s", f.dir, pair[0], pair[1], reason, others, way)
}

// digests are those in a part's name, of its rows and of the settings.
func digests(name string) (rows, settings string) {
	ends := strings.Split(strings.TrimSuffix(name, filepath.Ext(name)), "-")
	if len(ends) != 4 {
		return "", ""
	}
	return ends[2], ends[3]
}

// IsPart reports whether a file's name is that of a part.
func IsPart(name string) bool {
	_, ok := partNumber(name)
	return ok
}

// partNumber is the number in a part's name.
func partNumber(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, "part-")
	digits, _, _ := strings.Cut(rest, "-")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// Numbers are those of the parts that are there.
func (f *Folder) Numbers() []int { return slices.Sorted(maps.Keys(f.there)) }

// Owned is how many parts of a shard are there.
func (f *Folder) Owned(s Shard) int {
	n := 0
	for number := range f.there {
		if s.Owns(number) {
			n++
		}
	}
	return n
}

// Has reports whether a part is there. What is there in its place is an error: results
// of other photos, of another model. It is asked of all parts of the list in their order.
func (f *Folder) Has(p Part) (bool, error) {
	f.list, f.settings = append(f.list[:p.Number], p.rows), p.settings // from the first one anew, if it is asked again
	name, ok := f.there[p.Number]
	if !ok || name == p.Name()+f.ext {
		return ok, nil
	}
	return false, f.other(name, p.rows)
}

// other is the error of a file that is there for a part with these rows.
func (f *Folder) other(name, rows string) error {
	reason := "these are results of other rows: the list changed, or the number of rows in a part"
	there, _ := digests(name)
	switch {
	case filepath.Ext(name) != f.ext:
		reason = "there are results already, and these are to be " + f.ext
	case there == rows:
		reason = "these are results of another model or other settings"
	}
	return &fault.Error{Kind: fault.Unsupported, File: filepath.Join(f.dir, name), Reason: reason}
}

// Check looks again what is in the folder when all is done: another process may have
// written results of another list, or with other settings, in the meantime; and what a
// longer list has left is not of this one.
func (f *Folder) Check() error {
	if err := f.look(); err != nil {
		return err
	}
	for _, number := range f.Numbers() {
		name := f.there[number]
		if number >= len(f.list) {
			return &fault.Error{Kind: fault.Unsupported, File: filepath.Join(f.dir, name), Reason: "these are results of rows that the list doesn't have"}
		}
		p := Part{Number: number, rows: f.list[number], settings: f.settings}
		if name != p.Name()+f.ext {
			return f.other(name, p.rows)
		}
	}
	return nil
}

// Path is where a part's results are, or will be.
func (f *Folder) Path(p Part) string { return filepath.Join(f.dir, p.Name()+f.ext) }

// Write writes a part's results; the file is whole or absent.
func (f *Folder) Write(p Part, results []byte) error {
	err := atomicfile.Write(f.Path(p), func(w io.Writer) error {
		_, err := w.Write(results)
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range f.left[p.Number] {
		os.Remove(filepath.Join(f.dir, name)) // its process is dead, or too late
	}
	return nil
}
