package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A row is a line of a CSV.
type row struct{ path, label string }

// openCSV opens a CSV of path and label. Paths are relative to the file. Labels
// are names, or numbers of the classes from 0. A first line whose path is no
// image's is a header. known, if not nil, are the classes that there may be;
// otherwise they are the labels in order.
func openCSV(path string, known []string) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := readCSV(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if known == nil {
		known = labelsOf(rows)
	}
	s := &Set{Classes: known}
	for _, r := range rows {
		label := index(known, r.label)
		if n, err := strconv.Atoi(r.label); label < 0 && err == nil {
			label = n
		}
		if label < 0 || label >= len(known) {
			return nil, fmt.Errorf("%s: %s has label %q, which is none of the %d classes", path, r.path, r.label, len(known))
		}
		at := r.path
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(path), at)
		}
		s.Items = append(s.Items, Item{Name: at, Label: label, path: at})
	}
	return s, nil
}

// readCSV reads the rows of images.
func readCSV(f io.Reader) ([]row, error) {
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	var rows []row
	for first := true; ; first = false {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if len(record) < 2 {
			return nil, fmt.Errorf("line %d: want path and label", line)
		}
		path, label := strings.TrimSpace(record[0]), strings.TrimSpace(record[1])
		if first && !isImage(filepath.Base(path)) {
			continue
		}
		if path == "" || label == "" {
			return nil, fmt.Errorf("line %d: the path or the label is empty", line)
		}
		rows = append(rows, row{path, label})
	}
	if len(rows) == 0 {
		return nil, errors.New("no images: want lines of path and label")
	}
	return rows, nil
}

// labelsOf are the labels in the order of their names, or of their numbers if
// all are numbers.
func labelsOf(rows []row) []string {
	var labels []string
	seen := map[string]bool{}
	numbers := true
	for _, r := range rows {
		if !seen[r.label] {
			seen[r.label] = true
			labels = append(labels, r.label)
		}
		if _, err := strconv.Atoi(r.label); err != nil {
			numbers = false
		}
	}
	slices.Sort(labels)
	if numbers {
		slices.SortStableFunc(labels, func(a, b string) int {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return x - y
		})
	}
	return labels
}
