package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// maxList is how many bytes a list of images may have. That of ImageNet's 1.3
// million photos has about 60 MB.
const maxList = 1 << 30

// A row is a line of a CSV.
type row struct{ path, label string }

// openCSV opens a CSV of path and label. Paths are relative to the file. Labels
// are what classes has, or if that is nothing, the labels in their order. A first
// line whose path is no image's is a header.
func openCSV(path string, classes names) (*Set, error) {
	data, err := boundedfile.Read(path, maxList)
	if err != nil {
		return nil, err
	}
	rows, err := readCSV(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if classes.labels == nil {
		classes.labels = labelsOf(rows)
	}
	s := &Set{Classes: classes.labels}
	for _, r := range rows {
		label, err := classes.find(r.label)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, r.path, err)
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
	b := bufio.NewReader(f)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" { // spreadsheets write it
		b.Discard(3)
	}
	r := csv.NewReader(b)
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
			return nil, fmt.Errorf("line %d: want path and label, with a comma between", line)
		}
		path, label := strings.TrimSpace(record[0]), strings.TrimSpace(record[1])
		if first && !vision.IsImage(path) {
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
			return cmp.Compare(x, y)
		})
	}
	return labels
}
