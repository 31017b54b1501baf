package dataset

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// openFlat opens a folder of photos with a file of their classes.
func openFlat(dir, truth string, n names) (*Set, error) {
	files, skipped, err := Images(dir)
	if err != nil {
		return nil, err
	}
	data, err := boundedfile.Read(truth, maxList)
	if err != nil {
		return nil, err
	}
	s, err := judge(dir, files, truth, data, n)
	if err != nil {
		return nil, fault.In(truth, err)
	}
	s.Skipped = skipped
	return s, nil
}

// judge gives the images in a folder their classes.
func judge(dir string, files []string, truth string, data []byte, n names) (*Set, error) {
	t, err := parseTruth(data)
	if err != nil {
		return nil, err
	}
	inOrder := t.rows[0].path == ""
	if inOrder && len(t.rows) != len(files) {
		return nil, fault.Brokenf("%d classes for the %d images of %s", len(t.rows), len(files), dir)
	}
	deep := slices.IndexFunc(files, func(f string) bool { return filepath.Dir(f) != filepath.Clean(dir) })
	if inOrder && deep >= 0 {
		return nil, fault.Unsupportedf("classes in the order of the photos go with a flat folder, but there is %s", files[deep])
	}
	if isILSVRC(truth, t, n.classes) {
		if err := toWordNet(t.labels); err != nil {
			return nil, err
		}
	}
	if !inOrder {
		f, err := newFinder(dir, truth, t.rows)
		if err != nil {
			return nil, err
		}
		s, err := t.set(t.rows, f)
		if err == nil && f.note != "" {
			s.note("%s: %s", truth, f.note)
		}
		return s, err
	}
	for i := range t.rows {
		t.rows[i].path = files[i]
	}
	return t.set(t.rows, &finder{list: truth, bases: []string{"."}})
}

// parseTruth parses lines of a class, or of an image's name and a class, or a table
// with a header.
func parseTruth(data []byte) (*listing, error) {
	data, err := text(data)
	if err != nil {
		return nil, err
	}
	if t, err := parseTable(slices.Clone(data)); err == nil && t.header {
		t.firstWords()
		return t, nil
	}
	return parsePairs(data, " \t,")
}

// firstWords leaves the classes of Kaggle's LOC_val_solution.csv, which have the
// corners of boxes behind them: "n03995372 85 1 499 272".
func (t *listing) firstWords() {
	ids := synsets()
	for i, l := range t.labels {
		if id, _, more := strings.Cut(l, " "); more {
			if _, known := slices.BinarySearch(ids, id); known {
				t.labels[i] = id
			}
		}
	}
}

// parsePairs parses lines of a class, or of an image's name and a class with one of
// the characters between between.
func parsePairs(data []byte, between string) (*listing, error) {
	t := &listing{}
	labels := map[string]int32{}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		path, label := pair(line, between)
		if len(t.rows) > 0 && (path == "") != (t.rows[0].path == "") {
			return nil, onLine(number, "%.100q: some lines have the name of an image, others not", line)
		}
		t.add(labels, row{path: path, line: int32(number)}, compose(label))
	}
	if len(t.rows) == 0 {
		return nil, fault.Brokenf("no classes")
	}
	return t, nil
}

// pair finds the name of an image, which may have spaces, at the beginning of a line,
// with one of the characters between behind it.
func pair(line, between string) (path, label string) {
	for i, c := range line {
		if strings.ContainsRune(between, c) && vision.IsImage(line[:i]) {
			if label := strings.TrimLeft(line[i:], between); label != "" {
				return line[:i], label
			}
		}
	}
	return "", line
}

// isILSVRC reports whether the rows are the ground truth of ILSVRC2012, which
// numbers the classes from 1 in an order of its own. Beside the name of the file it
// is the number 1000 that tells, for a model whose indices end at 999.
func isILSVRC(file string, t *listing, classes int) bool {
	if strings.HasPrefix(filepath.Base(file), "ILSVRC2012_validation_ground_truth") {
		return true
	}
	return classes == len(ilsvrc()) && t.rows[0].path == "" && slices.Contains(t.labels, "1000") && !slices.Contains(t.labels, "0")
}

// toWordNet replaces ILSVRC2012's numbers by WordNet ids.
func toWordNet(labels []string) error {
	for i, l := range labels {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > len(ilsvrc()) {
			return fault.Unsupportedf("class %q is none of ILSVRC2012's: want 1 to %d", l, len(ilsvrc()))
		}
		labels[i] = ilsvrc()[n-1]
	}
	return nil
}
