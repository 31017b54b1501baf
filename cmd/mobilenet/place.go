package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A keeper keeps photos by what a model says of them: copies in a folder per class,
// or pictures with the classes written below.
type keeper struct {
	sortInto, annotated string   // folders, "" for neither
	folders             []string // of the classes
	held                sync.Map // of photos on their way: a held by its number
}

// held is what can't be had again when the result is there, or not cheaply.
type held struct {
	data  []byte        // of a photo that is not a file: a URL, a pipe
	small *vision.Image // to write on
}

// annotatedSide bounds the pictures, which are for people: a screen has no more.
const annotatedSide = 1280

// outputs are the folders that it writes to.
func (k *keeper) outputs() []string {
	return slices.DeleteFunc([]string{k.sortInto, k.annotated}, func(dir string) bool { return dir == "" })
}

// name names the folders of the classes, if there are to be any: a thousand names take
// a third of a millisecond.
func (k *keeper) name(labels []string) {
	if k.sortInto != "" {
		k.folders = classFolders(labels)
	}
}

// wantsPixels reports whether hold wants to see the photo itself.
func (k *keeper) wantsPixels() bool { return k.annotated != "" }

// hold keeps what will be needed of photo i.
func (k *keeper) hold(i int, name string, data []byte, img *vision.Image) {
	var h held
	if info, err := os.Stat(name); k.sortInto != "" && (err != nil || !info.Mode().IsRegular()) {
		h.data = data
	}
	if k.wantsPixels() {
		h.small = img
		if scale := annotatedSide / float64(max(img.W, img.H)); scale < 1 {
			h.small = vision.Resize(img, max(1, int(scale*float64(img.W))), max(1, int(scale*float64(img.H))), model.Bilinear)
		}
	}
	if h.data != nil || h.small != nil {
		k.held.Store(i, h)
	}
}

// keep keeps photo i. best are its classes, shown those that are probable enough.
func (k *keeper) keep(i int, name string, best, shown []mobilenet.Prediction) error {
	v, _ := k.held.LoadAndDelete(i)
	h, _ := v.(held)
	if k.sortInto != "" {
		data := h.data
		if data == nil {
			var err error
			if data, err = boundedfile.Read(name, vision.MaxFile); err != nil {
				return err
			}
		}
		folder := unsure
		if len(shown) > 0 {
			folder = k.folders[best[0].Index]
		}
		if _, err := place(filepath.Join(k.sortInto, folder), fileName(name), data); err != nil {
			return err
		}
	}
	if k.annotated != "" {
		picture, err := report.Annotated(h.small, captions(shown), annotatedSide)
		if err != nil {
			return err
		}
		_, err = place(k.annotated, fileName(name)+".jpg", picture)
		return err
	}
	return nil
}

func captions(p []mobilenet.Prediction) []string {
	if len(p) == 0 {
		return []string{"no class is probable enough"}
	}
	var lines []string
	for _, v := range p {
		lines = append(lines, percent(float64(v.Probability))+"  "+shown(v.Label))
	}
	return lines
}

// unsure is the folder for photos whose best class is below the threshold.
const unsure = "_unsure"

// classFolders names a folder for each class. Labels may hold what names of files
// may not, and two classes may share one: ImageNet has two cranes.
func classFolders(labels []string) []string {
	folders := make([]string, len(labels))
	count := map[string]int{strings.ToLower(unsure): 1}
	for i, l := range labels {
		folders[i] = folderName(l)
		count[strings.ToLower(folders[i])]++ // file systems may ignore case
	}
	for i, f := range folders {
		if count[strings.ToLower(f)] > 1 {
			folders[i] = fmt.Sprintf("%s (%d)", f, i)
		}
	}
	return folders
}

// longestName is what Linux, macOS and Windows allow, less room for what is added.
const longestName = 200

// folderName turns a label into a name that every system allows.
func folderName(label string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, label)
	if len(name) > longestName { // and what is left of a cut rune
		name = strings.TrimRightFunc(name[:longestName], func(r rune) bool { return r == unicode.ReplacementChar })
	}
	// Windows drops dots and spaces at the end, and hides or knows better what to do
	// with the rest.
	name = strings.TrimRight(name, ". ")
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	switch {
	case name == "", strings.HasPrefix(name, "."):
		return "_" + name
	case base == "con" || base == "prn" || base == "aux" || base == "nul":
		return "_" + name
	case len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt")):
		return "_" + name
	}
	return name
}

// place writes data to dir under a name, and returns the file's path. A file that is there
// already is left alone: if it is another one, a number is added to the name.
func place(dir, name string, data []byte) (path string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	ext := filepath.Ext(name)
	path = filepath.Join(dir, name)
	for n := 2; ; n++ {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, atomicfile.Write(path, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			})
		}
		if err != nil {
			return path, err
		}
		// Cameras call thousands of photos alike, so they are read only if they may be
		// the same.
		if info.Mode().IsRegular() && info.Size() == int64(len(data)) {
			if old, err := os.ReadFile(path); err != nil || bytes.Equal(old, data) {
				return path, err
			}
		}
		path = filepath.Join(dir, fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext))
	}
}

// fileName is what a photo is called in a folder.
func fileName(name string) string {
	if name == "-" {
		return "stdin"
	}
	if isURL(name) {
		if u, err := url.Parse(name); err == nil {
			name = u.Path
		}
	}
	return folderName(filepath.Base(name))
}
