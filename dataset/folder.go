package dataset

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/vision"
)

// openFolder opens a folder with a folder per class: torchvision's ImageFolder,
// with classes and files in the order of their names. known, if not nil, are the
// classes that there may be.
func openFolder(dir string, known []string) (*Set, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Set{Classes: known}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !isFolder(dir, e) {
			continue
		}
		label := len(s.Classes)
		if known == nil {
			s.Classes = append(s.Classes, e.Name())
		} else if label = index(known, e.Name()); label < 0 {
			return nil, fmt.Errorf("%s: class %q is not among the %d of the training images", dir, e.Name(), len(known))
		}
		files, err := imagesIn(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 && known == nil {
			return nil, fmt.Errorf("%s: class %q has no images (%s)", dir, e.Name(), strings.Join(vision.Extensions, " "))
		}
		for _, f := range files {
			s.Items = append(s.Items, Item{Name: f, Label: label, path: f})
		}
	}
	if len(s.Items) == 0 {
		return nil, fmt.Errorf("%s: no images: want a folder per class with photos in it, train/ and val/ of such, IDX files, or a CSV", dir)
	}
	return s, nil
}

// isFolder follows links, as torchvision does.
func isFolder(dir string, e fs.DirEntry) bool {
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// imagesIn lists the images in a folder and then those of the folders in it, in
// torchvision's order: by folder, then by name.
func imagesIn(dir string) ([]string, error) {
	var files []string
	// The separator makes WalkDir follow dir itself if that is a link.
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error {
		switch path = filepath.Clean(path); {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != filepath.Clean(dir):
			return fs.SkipDir // thumbnails, checkpoints of notebooks
		case vision.IsImage(path) && e.Type()&^fs.ModeSymlink == 0:
			files = append(files, path)
		}
		return nil
	})
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(filepath.Dir(a), filepath.Dir(b)), cmp.Compare(a, b))
	})
	return files, err
}
