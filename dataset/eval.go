package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// EvalOptions say what the images of OpenEval are measured against.
type EvalOptions struct {
	Truth  string   // file with the class of each image of a flat folder
	Labels []string // the model's classes
}

// OpenEval opens images to evaluate a model with. Their classes are the model's:
// names as in Labels (upper and lower case alike), ImageNet's WordNet ids
// (n01440764), or indices from 0.
//
//   - a folder with a folder of photos per class, or with val/ of such:
//     ImageNet's validation folders too, all of them or some
//   - a flat folder with Truth: a class per line in the order of the file names,
//     or file name and class. ILSVRC2012's ground truth is told by its name or by
//     its numbers, from 1 to 1000
//   - a CSV of path and label, or a folder with val.csv
//   - a folder with the IDX files of the MNIST family: the test part
//
// A file synsets.txt or LOC_synset_mapping.txt beside the images lists the WordNet
// ids of a model whose classes aren't ImageNet's 1000, in the order of its classes.
func OpenEval(path string, o EvalOptions) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if o.Truth != "" && !info.IsDir() {
		return nil, fmt.Errorf("%s: a ground-truth file goes with a folder of photos", path)
	}
	classes, err := readNames(path, o.Labels)
	if err != nil {
		return nil, err
	}
	list := filepath.Join(path, "val.csv")
	var s *Set
	switch {
	case o.Truth != "":
		return openFlat(path, o.Truth, classes)
	case !info.IsDir():
		return openCSV(path, classes)
	case exists(list):
		return openCSV(list, classes)
	case hasIDX(path):
		if s, err = openMNISTTest(path); err != nil {
			return nil, err
		}
	default:
		if val := validation(path); val != "" {
			path = val
		}
		if s, err = openFolder(path, nil); err != nil {
			return nil, err
		}
	}
	to := make([]int, len(s.Classes))
	for i, c := range s.Classes {
		if to[i], err = classes.find(c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for i := range s.Items {
		s.Items[i].Label = to[s.Items[i].Label]
	}
	s.Classes = o.Labels
	return s, nil
}

// openFlat opens a folder of photos with a file of their classes.
func openFlat(dir, truth string, classes names) (*Set, error) {
	files, err := imagesIn(dir)
	if err != nil {
		return nil, err
	}
	data, err := boundedfile.Read(truth, maxList)
	if err != nil {
		return nil, err
	}
	rows, err := parseTruth(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", truth, err)
	}
	if rows[0].path == "" && len(rows) != len(files) {
		return nil, fmt.Errorf("%s: %d classes for the %d images of %s", truth, len(rows), len(files), dir)
	}
	if i := slices.IndexFunc(files, func(f string) bool { return filepath.Dir(f) != filepath.Clean(dir) }); i >= 0 && rows[0].path == "" {
		return nil, fmt.Errorf("%s: classes in the order of the photos go with a flat folder, but there is %s", truth, files[i])
	}
	if isILSVRC(truth, rows, classes.labels) {
		if err := toWordNet(rows); err != nil {
			return nil, fmt.Errorf("%s: %w", truth, err)
		}
	}
	s := &Set{Classes: classes.labels}
	for i, r := range rows {
		path := filepath.Join(dir, r.path)
		if r.path == "" {
			path = files[i]
		}
		label, err := classes.find(r.label)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", truth, path, err)
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
		r := parseTruthLine(line)
		if len(rows) > 0 && (r.path == "") != (rows[0].path == "") {
			return nil, fmt.Errorf("%q: some lines have the name of an image, others not", line)
		}
		rows = append(rows, r)
	}
	if err := scan.Err(); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("no classes")
	}
	return rows, nil
}

// parseTruthLine finds the name of an image, which may have spaces, at the
// beginning of the line.
func parseTruthLine(line string) row {
	for i, c := range line {
		if strings.ContainsRune(" \t,", c) && vision.IsImage(line[:i]) {
			return row{path: line[:i], label: strings.TrimLeft(line[i:], " \t,")}
		}
	}
	return row{label: line}
}

// isILSVRC reports whether the rows are the ground truth of ILSVRC2012, which
// numbers the classes from 1 in an order of its own. Beside the name of the file
// it is the number 1000 that tells, for a model whose indices end at 999.
func isILSVRC(file string, rows []row, labels []string) bool {
	if strings.HasPrefix(filepath.Base(file), "ILSVRC2012_validation_ground_truth") {
		return true
	}
	is := func(label string) bool {
		return slices.ContainsFunc(rows, func(r row) bool { return r.label == label })
	}
	return len(labels) == len(ilsvrc()) && rows[0].path == "" && is("1000") && !is("0")
}

// toWordNet replaces ILSVRC2012's numbers by WordNet ids.
func toWordNet(rows []row) error {
	for i, r := range rows {
		n, err := strconv.Atoi(r.label)
		if err != nil || n < 1 || n > len(ilsvrc()) {
			return fmt.Errorf("class %q is none of ILSVRC2012's: want 1 to %d", r.label, len(ilsvrc()))
		}
		rows[i].label = ilsvrc()[n-1]
	}
	return nil
}
