package dataset

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// A row is an image of a table.
type row struct {
	path  string
	label int32 // of rows.labels
	line  int32
	part  byte // 't', 'v', 'e' or 0
}

// A listing is what a table says.
type listing struct {
	rows   []row
	labels []string // in the order of their first rows
	parts  bool     // the table divides its images
	header bool     // it names its columns
	note   string   // what had to be assumed
}

// surveyTable reads a table of images and the parts that it divides them into.
func surveyTable(path string) (*layout, error) {
	l := &layout{path: path}
	t, err := readTable(path)
	if err != nil {
		return nil, err
	}
	f, err := newFinder(filepath.Dir(path), path, t.rows)
	if err != nil {
		return nil, fault.In(path, err)
	}
	open := func(rows []row) func(bool) (*Set, error) {
		return func(bool) (*Set, error) {
			s, err := t.set(rows, f)
			return s, fault.In(path, err)
		}
	}
	if t.note != "" {
		l.note("%s", t.note)
	}
	if f.note != "" {
		l.note("%s", f.note)
	}
	if !t.parts {
		l.train = &source{"the whole", path, open(t.rows)}
		return l, nil
	}
	l.divided = true
	byPart := map[byte][]row{}
	for _, r := range t.rows {
		byPart[r.part] = append(byPart[r.part], r)
	}
	for name, at := range map[string]**source{"train": &l.train, "val": &l.val, "test": &l.test} {
		if rows := byPart[partByte(name)]; rows != nil {
			*at = &source{"the rows for " + name, path, open(rows)}
		}
	}
	return l, nil
}

// openList opens a table that is a part itself, whatever parts it may name.
func openList(path string) (*Set, error) {
	t, err := readTable(path)
	if err != nil {
		return nil, err
	}
	f, err := newFinder(filepath.Dir(path), path, t.rows)
	if err != nil {
		return nil, fault.In(path, err)
	}
	s, err := t.set(t.rows, f)
	if err != nil {
		return nil, fault.In(path, err)
	}
	for _, note := range []string{t.note, f.note} {
		if note != "" {
			s.note("%s: %s", path, note)
		}
	}
	return s, nil
}

func readTable(path string) (*listing, error) {
	data, err := boundedfile.Read(path, maxList)
	if err != nil {
		return nil, err
	}
	t, err := parseTable(data)
	return t, fault.In(path, err)
}

// set makes a Set of some of the rows. Its classes are the labels of these in the
// order of their names, or of their numbers if all are numbers.
func (t *listing) set(rows []row, f *finder) (*Set, error) {
	order, lines := t.classes(rows)
	s := &Set{form: inTable, file: f.list, lines: lines, Items: make([]Item, 0, len(rows))}
	place := make([]int, len(t.labels)) // of each label among the classes
	for i, l := range order {
		place[l] = i
		s.Classes = append(s.Classes, t.labels[l])
	}
	seen := make(map[uint64]int32, len(rows)) // of paths' hashes: the row
	seed := maphash.MakeSeed()
	repeated := 0
	for i, r := range rows {
		path, err := f.find(r)
		if err != nil {
			return nil, err
		}
		rows[i].path = path // and not what it was found by: a list may be long
		hash := maphash.String(seed, path)
		if j, twice := seen[hash]; twice && rows[j].path == path {
			if rows[j].label != r.label {
				return nil, &fault.Error{Kind: fault.Unsupported, Place: fmt.Sprintf("line %d", r.line), Reason: fmt.Sprintf(
					"%s is %q here and %q on line %d: an image has one class", r.path, t.labels[r.label], t.labels[rows[j].label], rows[j].line)}
			}
			repeated++
			continue
		}
		seen[hash] = int32(i)
		s.Items = append(s.Items, Item{Name: path, Label: place[r.label]})
	}
	if repeated > 0 {
		s.note("%s: rows that repeat an image, which counts once: %d", f.list, repeated)
	}
	return s, nil
}

// classes returns the labels that rows have, sorted, and the line each is first on.
func (t *listing) classes(rows []row) (order []int32, lines []int) {
	first := make([]int32, len(t.labels))
	numbers := true
	for _, r := range rows {
		if first[r.label] == 0 {
			first[r.label] = r.line
			order = append(order, r.label)
			numbers = numbers && isNumber(t.labels[r.label])
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		byName := cmp.Compare(t.labels[a], t.labels[b])
		if !numbers {
			return byName
		}
		x, _ := strconv.Atoi(t.labels[a])
		y, _ := strconv.Atoi(t.labels[b])
		return cmp.Or(cmp.Compare(x, y), byName)
	})
	for _, l := range order {
		lines = append(lines, int(first[l]))
	}
	return order, lines
}
