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
}

// OpenFolder makes dir, if it is not there, and looks what it has. ext is the ending of
// the files: ".jsonl".
func OpenFolder(dir, ext string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir, ext, map[int]string{}, map[int][]string{}}
	for _, name := range names {
		rest, temporary := strings.CutPrefix(name, ".")
		number, ok := partNumber(rest)
		switch {
		case !ok:
		case temporary:
			f.left[number] = append(f.left[number], name)
		case f.there[number] != "":
			return nil, fmt.Errorf("%s: %s and %s are results of the same photos: delete the folder or one of them", dir, f.there[number], name)
		default:
			f.there[number] = name
		}
	}
	return f, nil
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
		if s.owns(number) {
			n++
		}
	}
	return n
}

// Has reports whether a part is there. What is there in its place is an error: results
// of other photos, of another model.
func (f *Folder) Has(p Part) (bool, error) {
	name, ok := f.there[p.Number]
	if !ok || name == p.Name()+f.ext {
		return ok, nil
	}
	other := func(reason string) error {
		return &fault.Error{Kind: fault.Unsupported, File: filepath.Join(f.dir, name), Reason: reason}
	}
	ends := strings.Split(strings.TrimSuffix(name, filepath.Ext(name)), "-")
	switch {
	case filepath.Ext(name) != f.ext:
		return false, other("there are results already, and these are to be " + f.ext)
	case len(ends) == 4 && ends[2] == p.rows:
		return false, other("these are results of another model or other settings")
	}
	return false, other("these are results of other rows: the list changed, or the number of rows in a part")
}

// Write writes a part's results; the file is whole or absent.
func (f *Folder) Write(p Part, results []byte) error {
	err := atomicfile.Write(filepath.Join(f.dir, p.Name()+f.ext), func(w io.Writer) error {
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
