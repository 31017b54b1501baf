package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// EvalOptions say what the images of OpenEval are measured against.
type EvalOptions struct {
	Truth  string   // file with the class of each image of a flat folder
	Labels []string // the model's classes
}

// OpenEval opens images to evaluate a model with. Their classes are the model's:
// names as in Labels (upper and lower case alike), or indices from 0.
//
//   - a folder with a folder of photos per class, or with val/ of such
//   - ImageNet's validation folders, one per WordNet id: all 1000, which stand in
//     the order of the classes, or any of them beside a file synsets.txt or
//     LOC_synset_mapping.txt that lists the 1000 in order
//   - a flat folder with Truth: a class per line in the order of the file names,
//     or file name and class. Indices begin at 0: ILSVRC2012's own ground truth,
//     which numbers the classes otherwise, has to be translated first
//   - a CSV of path and label
//   - a folder with the IDX files of the MNIST family: the test part
func OpenEval(path string, o EvalOptions) (*Set, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case o.Truth != "" && !info.IsDir():
		return nil, fmt.Errorf("%s: a ground-truth file goes with a folder of photos", path)
	case o.Truth != "":
		return openFlat(path, o)
	case !info.IsDir():
		return openCSV(path, o.Labels)
	case hasIDX(path):
		train, test, err := openMNIST(path)
		if err != nil {
			return nil, err
		}
		if test == nil {
			test = train
		}
		return test.as(path, o.Labels)
	}
	if val := filepath.Join(path, "val"); exists(val) {
		path = val
	}
	s, err := openFolder(path, nil)
	if err != nil {
		return nil, err
	}
	return s.as(path, o.Labels)
}

// as translates the set's classes to a model's.
func (s *Set) as(path string, labels []string) (*Set, error) {
	to := make([]int, len(s.Classes))
	synsets, err := synsetsOf(path, s.Classes, len(labels))
	if err != nil {
		return nil, err
	}
	for i, c := range s.Classes {
		if to[i] = index(labels, c); to[i] < 0 && synsets != nil {
			to[i] = index(synsets, c)
		}
		if n, err := strconv.Atoi(c); to[i] < 0 && err == nil && n >= 0 && n < len(labels) {
			to[i] = n
		}
		if to[i] < 0 || to[i] >= len(labels) {
			return nil, fmt.Errorf("%s: class %q is none of the model's %d (%s)", path, c, len(labels), some(labels))
		}
	}
	for i := range s.Items {
		s.Items[i].Label = to[s.Items[i].Label]
	}
	s.Classes = labels
	return s, nil
}

func some(labels []string) string {
	if len(labels) > 5 {
		return strings.Join(labels[:5], ", ") + ", ..."
	}
	return strings.Join(labels, ", ")
}

var wordNetID = regexp.MustCompile(`^n\d{8}$`)

// synsetsOf returns the WordNet ids in the order of n classes, or nil if classes
// aren't WordNet ids.
func synsetsOf(path string, classes []string, n int) ([]string, error) {
	for _, c := range classes {
		if !wordNetID.MatchString(c) {
			return nil, nil
		}
	}
	if len(classes) == n {
		return classes, nil
	}
	for _, name := range []string{"synsets.txt", "LOC_synset_mapping.txt"} {
		for _, dir := range []string{path, filepath.Dir(filepath.Clean(path))} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			var ids []string
			for line := range strings.Lines(string(data)) {
				if f := strings.Fields(line); len(f) > 0 {
					ids = append(ids, f[0])
				}
			}
			return ids, nil
		}
	}
	return nil, fmt.Errorf("%s: %d folders of WordNet ids, the model has %d classes: put synsets.txt beside them, with all ids in the order of the classes", path, len(classes), n)
}

// openFlat opens a folder of photos with a file of their classes.
func openFlat(dir string, o EvalOptions) (*Set, error) {
	files, err := imagesIn(dir)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(o.Truth)
	if err != nil {
		return nil, err
	}
	rows, err := parseTruth(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Truth, err)
	}
	if rows[0].path == "" && len(rows) != len(files) {
		return nil, fmt.Errorf("%s: %d classes for the %d images of %s", o.Truth, len(rows), len(files), dir)
	}
	s := &Set{Classes: o.Labels}
	for i, r := range rows {
		path := filepath.Join(dir, r.path)
		if r.path == "" {
			path = files[i]
		}
		label := index(o.Labels, r.label)
		if n, err := strconv.Atoi(r.label); label < 0 && err == nil {
			label = n
		}
		if label < 0 || label >= len(o.Labels) {
			return nil, fmt.Errorf("%s: %s has class %q, which is none of the model's %d", o.Truth, path, r.label, len(o.Labels))
		}
		s.Items = append(s.Items, Item{Name: path, Label: label, path: path})
	}
	return s, nil
}

// parseTruth parses lines of a class, or of an image's name and a class.
func parseTruth(data []byte) ([]row, error) {
	var rows []row
	scan := bufio.NewScanner(bytes.NewReader(data))
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		if line == "" {
			continue
		}
		r := row{label: line}
		if name, rest, ok := strings.Cut(line, " "); ok && isImage(name) {
			r = row{path: name, label: strings.TrimSpace(rest)}
		}
		if len(rows) > 0 && (r.path == "") != (rows[0].path == "") {
			return nil, errors.New("some lines have the name of an image, others not")
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, errors.New("no classes")
	}
	return rows, scan.Err()
}
