package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A finder finds the files that a table means: its paths may be relative to it or to
// a folder beside it, have a beginning that was true on another machine, have
// backslashes, accents in the other form, or no ending.
type finder struct {
	list  string
	bases []string // folders that paths are relative to; the first with the file has it
	strip int      // how many leading parts of a path are left out
	note  string   // what had to be assumed

	stems map[string]map[string]string // by folder: the name of the image of each name without ending
}

// probes is how many paths are looked for before it is known where they are.
const probes = 64

// newFinder finds out where the files of a table's rows are, which lies in dir.
func newFinder(dir, list string, rows []row) (*finder, error) {
	f := &finder{list: list, stems: map[string]map[string]string{}}
	if len(rows) == 0 {
		return nil, fault.Brokenf("no images: %s", wanted)
	}
	if scheme, _, ok := strings.Cut(rows[0].path, "://"); ok && !strings.ContainsAny(scheme, `/\`) {
		return nil, &fault.Error{Kind: fault.Unsupported, Place: fmt.Sprintf("line %d", rows[0].line), Reason: fmt.Sprintf("%.100q is an address; want paths of files", rows[0].path)}
	}
	var some []row // spread over all of them
	for i := range min(probes, len(rows)) {
		some = append(some, rows[i*len(rows)/min(probes, len(rows))])
	}
	deepest := 0
	for _, r := range some {
		deepest = max(deepest, len(parts(r.path)))
	}
	for f.strip = 0; f.strip < deepest; f.strip++ {
		var err error
		if f.found(dir, some) > 0 {
			f.bases = []string{dir}
		} else if f.bases, err = f.among(dir, some); err != nil {
			return nil, err
		}
		if f.bases != nil {
			f.note = f.describe(dir, some)
			return f, nil
		}
	}
	return nil, &fault.Error{
		Place: fmt.Sprintf("line %d", rows[0].line), Err: fs.ErrNotExist,
		Reason: fmt.Sprintf("there is no image %.100q beside the table or in a folder beside it, nor are those of other lines", rows[0].path),
	}
}

// found counts the rows that have a file below base.
func (f *finder) found(base string, rows []row) int {
	n := 0
	for _, r := range rows {
		if name, _ := f.at(base, r.path); name != "" {
			n++
		}
	}
	return n
}

// among returns those of the folders in dir that hold files of rows. The folder that
// is called as the table (train.csv and train_images/) comes before others.
func (f *finder) among(dir string, rows []row) (bases []string, err error) {
	beside, err := look(dir)
	if err != nil {
		return nil, err
	}
	list := filepath.Base(f.list)
	part := partOf(strings.TrimSuffix(list, filepath.Ext(list)))
	for _, own := range []bool{true, false} {
		for _, name := range beside.folders {
			base := filepath.Join(dir, name)
			if is := part != "" && partOf(name) == part; is == own && f.found(base, rows) > 0 {
				bases = append(bases, base)
			}
		}
		if own && bases != nil {
			return bases, nil
		}
	}
	for _, r := range rows {
		var in []string
		for _, base := range bases {
			if name, _ := f.at(base, r.path); name != "" {
				in = append(in, base)
			}
		}
		if len(in) > 1 {
			return nil, &fault.Error{Kind: fault.Unsupported, Place: fmt.Sprintf("line %d", r.line), Reason: fmt.Sprintf("%s is in %s: move the table into the folder that it is about", r.path, strings.Join(in, " and in "))}
		}
	}
	return bases, nil
}

// describe says where the files are, unless that is where the table says.
func (f *finder) describe(dir string, some []row) string {
	var text []string
	if f.strip > 0 {
		text = append(text, fmt.Sprintf("the beginning of the paths (%s) is not on this machine and left out", f.left(some[0].path)))
	}
	if f.bases[0] != dir {
		text = append(text, "the paths are those of files in "+strings.Join(f.bases, " and "))
	}
	for _, r := range some {
		for _, base := range f.bases {
			if name, ended := f.at(base, r.path); name != "" && ended {
				text = append(text, fmt.Sprintf("names without endings are those of images such as %s", name))
				return strings.Join(text, "; ")
			}
		}
	}
	return strings.Join(text, "; ")
}

// left returns the part of a path that is left out, as it stands there.
func (f *finder) left(path string) string {
	at := 0
	for range f.strip {
		at += len(path[at:]) - len(strings.TrimLeft(path[at:], `/\`))
		if next := strings.IndexAny(path[at:], `/\`); next >= 0 {
			at += next
		}
	}
	return path[:at]
}

// find returns the file of a row. One that isn't there keeps its name, so that
// reading it says so.
func (f *finder) find(r row) (string, error) {
	for _, base := range f.bases {
		name, _ := f.at(base, r.path)
		if name == severalFiles {
			return "", &fault.Error{Kind: fault.Unsupported, Place: fmt.Sprintf("line %d", r.line), Reason: fmt.Sprintf("%s may be any of several images of that name with different endings", r.path)}
		}
		if name != "" {
			return name, nil
		}
	}
	if filepath.IsAbs(r.path) && f.strip == 0 {
		return filepath.Clean(r.path), nil
	}
	return filepath.Join(f.bases[0], r.path), nil
}

// severalFiles is in place of a name that several files share.
const severalFiles = "\x00"

// at returns the file at path below base, or "". ended reports whether its ending had
// to be added.
func (f *finder) at(base, path string) (name string, ended bool) {
	var tried []string
	for _, form := range []func(string) string{f.stripped, f.slashed, norm.NFC.String, norm.NFD.String} {
		if path = form(path); path == "" || slices.Contains(tried, path) {
			continue
		}
		tried = append(tried, path)
		full := f.join(base, path)
		if isFile(full) { // as nearly always, in the first form
			return full, false
		}
		if looksLikeImage(path) {
			continue
		}
		switch name := f.images(filepath.Dir(full))[filepath.Base(full)]; name {
		case "":
		case severalFiles:
			return severalFiles, true
		default:
			return filepath.Join(filepath.Dir(full), name), true
		}
	}
	return "", false
}

// stripped leaves out the beginning of a path; "" is left of a short one.
func (f *finder) stripped(path string) string {
	if f.strip == 0 {
		return path
	}
	all := parts(path)
	return filepath.Join(all[min(f.strip, len(all)):]...)
}

// slashed has slashes in place of Windows' separators.
func (f *finder) slashed(path string) string { return strings.ReplaceAll(path, `\`, "/") }

func (f *finder) join(base, path string) string {
	if filepath.IsAbs(path) && f.strip == 0 {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// images returns the names of a folder's images by their names without ending.
func (f *finder) images(dir string) map[string]string {
	if names, ok := f.stems[dir]; ok {
		return names
	}
	names := map[string]string{}
	entries(dir, func(e fs.DirEntry) bool {
		name := e.Name()
		if vision.IsImage(name) && e.Type()&^fs.ModeSymlink == 0 {
			stem := strings.TrimSuffix(name, filepath.Ext(name))
			if _, twice := names[stem]; twice {
				name = severalFiles
			}
			names[stem] = name
		}
		return true
	})
	f.stems[dir] = names
	return names
}

// parts splits a path, of this system or of Windows.
func parts(path string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }), func(s string) bool { return s == "." })
}
