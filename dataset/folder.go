package dataset

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
)

// Skipped are files of a kind that is recognised but not read.
type Skipped struct {
	Kind  string // "HEIC image", "PDF document"
	Count int
	First string // the path of one of them
}

func (s Skipped) String() string {
	if s.Count == 1 {
		return fmt.Sprintf("%s: %s, which is not read", s.First, s.Kind)
	}
	return fmt.Sprintf("%d files such as %s: %s, which is not read", s.Count, s.First, s.Kind)
}

// skip counts a file.
func skip(list []Skipped, kind string, count int, path string) []Skipped {
	for i := range list {
		if list[i].Kind == kind {
			list[i].Count += count
			return list
		}
	}
	return append(list, Skipped{kind, count, path})
}

// Images lists the images in a folder and in those below it, in the order of
// torchvision's ImageFolder: by folder, then by name. Links are followed. A file's
// name says what it is, or where that ends as no image's does, its first bytes.
// Hidden files and folders, and what systems leave in folders, don't count (see
// [Hidden]).
//
// Folders that can't be read don't end the search; err names all of them.
func Images(dir string) (paths []string, skipped []Skipped, err error) {
	var w Walk
	paths = slices.Collect(w.Images(dir))
	return paths, w.Skipped, w.Err()
}

// Hidden reports whether a file or folder is left out wherever folders are read:
// names with a dot in front, and the folders of thumbnails and lost files that
// macOS, Synology and Windows make.
func Hidden(name string) bool {
	switch name {
	case "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found":
		return true
	}
	return strings.HasPrefix(name, ".")
}

// A Walk is a search for images that gives them as it finds them. The zero value is
// ready.
type Walk struct {
	Skipped []Skipped // so far
	errs    []error
	seen    map[string]bool // what links lead to
	below   folders
}

// Err names the folders that could not be read, nil if there are none.
func (w *Walk) Err() error { return errors.Join(w.errs...) }

// Images yields the images in a folder as [Images] lists them. In memory is what the
// names of one folder need, twenty or thirty bytes a file, and the folders to come.
func (w *Walk) Images(dir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		w.below = folders{filepath.Clean(dir)}
		for len(w.below) > 0 {
			// What is below a folder comes behind it, so the least is the next: not that of a
			// walk, as "a b" comes before "a/c".
			dir := heap.Pop(&w.below).(string)
			images := w.folder(dir)
			for i := range images.at {
				if !yield(filepath.Join(dir, images.name(i))) {
					return
				}
			}
		}
	}
}

// folder returns the images in a folder, sorted. The folders in it are to come.
func (w *Walk) folder(dir string) (images fileNames) {
	err := entries(dir, func(e fs.DirEntry) bool {
		path := filepath.Join(dir, e.Name())
		switch {
		case isFolder(dir, e):
			if e.Type() == 0 || e.IsDir() || w.first(path) {
				heap.Push(&w.below, path)
			}
		case e.Type()&^fs.ModeSymlink != 0:
			if vision.IsImage(path) {
				w.Skipped = skip(w.Skipped, special(e.Type()), 1, path)
			}
		case vision.IsImage(path):
			images.add(e.Name())
		default:
			switch kind, read := kindOf(path); {
			case read:
				images.add(e.Name())
			case kind != "":
				w.Skipped = skip(w.Skipped, kind, 1, path)
			}
		}
		return true
	})
	if err != nil {
		w.errs = append(w.errs, err)
	}
	images.sort()
	return images
}

// special names what is neither file, folder nor link. It is not opened: that may wait for ever.
func special(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// folders are a heap: the first is the least.
type folders []string

func (f folders) Len() int           { return len(f) }
func (f folders) Less(i, j int) bool { return f[i] < f[j] }
func (f folders) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *folders) Push(path any)     { *f = append(*f, path.(string)) }

func (f *folders) Pop() any {
	last := len(*f) - 1
	path := (*f)[last]
	*f = (*f)[:last]
	return path
}

// fileNames are names in a few long texts: a million strings of their own would be three
// times the memory, and one text twice as much while it grows.
type fileNames struct {
	texts [][]byte // of up to nameText bytes
	at    []uint64 // which text, where in it, and how long
}

const (
	nameText = 1 << 20
	nameBits = 20 // for a place in a text, and as many for a length
)

func (n *fileNames) add(name string) {
	last := len(n.texts) - 1
	if last < 0 || len(n.texts[last])+len(name) > nameText {
		n.texts = append(n.texts, nil)
		last++
	}
	n.at = append(n.at, uint64(last)<<(2*nameBits)|uint64(len(n.texts[last]))<<nameBits|uint64(len(name)))
	n.texts[last] = append(n.texts[last], name...)
}

func (n *fileNames) bytes(at uint64) []byte {
	const mask = 1<<nameBits - 1
	return n.texts[at>>(2*nameBits)][at>>nameBits&mask:][:at&mask]
}

func (n *fileNames) name(i int) string { return string(n.bytes(n.at[i])) }

func (n *fileNames) sort() {
	slices.SortFunc(n.at, func(a, b uint64) int { return bytes.Compare(n.bytes(a), n.bytes(b)) })
}

// first reports whether a link to a folder leads to one that no other link did and
// that it isn't in itself: links may form circles.
func (w *Walk) first(link string) bool {
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	target, err := filepath.EvalSymlinks(link)
	if err != nil || w.seen[target] {
		return false
	}
	w.seen[target] = true
	return !circular(link)
}

// circular reports whether path leads to a folder that it lies in.
func circular(path string) bool {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	at, err := filepath.EvalSymlinks(filepath.Dir(path))
	return err == nil && (at == target || strings.HasPrefix(at, strings.TrimSuffix(target, string(filepath.Separator))+string(filepath.Separator)))
}

// entries calls f with what is visible in a folder, in no order, until it returns
// false. It reads in parts: a folder may hold a million files.
func entries(dir string, f func(fs.DirEntry) bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		some, err := d.ReadDir(1024)
		for _, e := range some {
			if !Hidden(e.Name()) && !f(e) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isFolder follows links, as torchvision does.
func isFolder(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// openClasses opens a folder with a folder per class, as torchvision's ImageFolder
// does: classes and files are in the order of their names. For training every class
// needs an image.
func openClasses(dir string, folders []string, training bool) (*Set, error) {
	s := &Set{}
	if training && len(folders) == 1 {
		if err := notAbove(dir, folders[0]); err != nil {
			return nil, err
		}
	}
	folders = slices.Clone(folders)
	slices.SortFunc(folders, func(a, b string) int { return cmp.Compare(compose(a), compose(b)) })
	for _, name := range folders {
		class := compose(name)
		if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, fault.In(dir, fault.Unsupportedf("the folder %q would be a class whose name can't be shown: rename it", name))
		}
		if path := filepath.Join(dir, name); circular(path) {
			return nil, fault.In(path, fault.Unsupportedf("a link to the folder that it is in, or to one above, whose photos would be a class of their own: remove it"))
		}
		if n := len(s.Classes); n > 0 && s.Classes[n-1] == class {
			return nil, fault.In(dir, fault.Brokenf("two folders are called %q, with the accents composed in one and not in the other: move their images together", class))
		}
		paths, skipped, err := Images(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for _, k := range skipped {
			s.Skipped = skip(s.Skipped, k.Kind, k.Count, k.First)
		}
		if len(paths) == 0 {
			if training {
				return nil, noImages(dir, class, skipped)
			}
			s.note("%s: class %q has no images", dir, class)
		}
		if err := s.below(dir, name, paths); err != nil {
			return nil, err
		}
		for _, path := range paths {
			s.Items = append(s.Items, Item{Name: path, Label: len(s.Classes)})
		}
		s.Classes = append(s.Classes, class)
	}
	if len(s.Items) == 0 {
		return nil, fault.In(dir, fault.Unsupportedf("no images: %s", wanted))
	}
	return s, nil
}

// notAbove refuses a lone folder that has what was meant in it: one class is nothing
// to train with.
func notAbove(dir, name string) error {
	path := filepath.Join(dir, name)
	in, err := look(path)
	if err != nil || in.images > 0 || len(in.folders) < 2 {
		return err
	}
	return fault.In(dir, fault.Unsupportedf("one folder, %s/, with others in it (%s): give %s", name, some(in.folders), path))
}

func noImages(dir, class string, skipped []Skipped) error {
	if len(skipped) == 0 {
		return fault.In(dir, fault.Unsupportedf("class %q has no images (%s)", class, strings.Join(vision.Extensions, " ")))
	}
	k := skipped[0]
	return fault.In(dir, fault.Unsupportedf("class %q has no images that are read, but others: %v", class, k))
}

// below looks at a class whose images are all in folders further down. These count
// for it, which is said, unless they are parts of the data, train and val: then the
// folder above is meant.
func (s *Set) below(dir, class string, paths []string) error {
	var inner []string
	above := filepath.Join(dir, class) + string(filepath.Separator)
	for _, path := range paths {
		first, _, deeper := strings.Cut(path[len(above):], string(filepath.Separator))
		if !deeper {
			return nil
		}
		if len(inner) == 0 || inner[len(inner)-1] != first {
			inner = append(inner, first)
		}
	}
	slices.Sort(inner)
	if inner = slices.Compact(inner); len(inner) == 0 {
		return nil
	}
	if !slices.ContainsFunc(inner, func(name string) bool { return partOf(name) == "" }) {
		return fault.In(filepath.Join(dir, class), fault.Unsupportedf("a class that holds parts of a data set (%s): want them above the classes, train/%s/ and val/%s/", some(inner), class, class))
	}
	s.note("%s: class %q has its images in folders of its own (%s)", dir, class, some(inner))
	return nil
}

// images counts images for messages.
func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprint(n, " images")
}
