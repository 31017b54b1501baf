package dataset

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
)

// What a label file may hold. The largest in use, ImageNet-21k's, has 21,843
// names in about 2 MB.
const (
	maxLabelBytes = 16 << 20
	maxLabels     = 1 << 20
)

// labelForms are what errors say that a label file may be.
const labelForms = "want a label on each line, a table of index and name, or a list or map of labels in JSON or Python"

// ReadLabels reads a list of labels from a file in UTF-8, or in UTF-16 with a byte
// order mark, which is one of
//
//   - text with a label on each line, blank lines at the end aside;
//   - a table of index and name, such as "0,tench" or "0: tench", with or without a
//     line that names its columns;
//   - a list of labels in JSON or Python;
//   - a map from class indices to labels, {"0": "tench"}, or to ImageNet's pairs,
//     {"0": ["n01440764", "tench"]}, in JSON or as a Python dict, {0: 'tench'};
//   - a map from labels to class indices, as torchvision's class_to_idx;
//   - JSON in which such a map or list is the value of id2label, label2id,
//     class_to_idx, idx_to_class, classes, labels or names: Hugging Face's
//     config.json.
//
// JSON and Python are told by their first character. Every class from 0 on needs a
// name, and names are printable. What is wrong is a *[fault.Error] with the line.
func ReadLabels(path string) ([]string, error) {
	data, err := boundedfile.Read(path, maxLabelBytes)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(data)
	return labels, fault.In(path, err)
}

func parseLabels(data []byte) ([]string, error) {
	if kind, todo := foreign.Describe(data[:min(len(data), foreign.Head)]); len(data) > 0 && kind != "" && kind != "a text file" {
		if todo != "" {
			todo += "; "
		}
		return nil, fault.Unsupportedf("%s: %s%s", kind, todo, labelForms)
	}
	data, err := text(data)
	if err != nil {
		return nil, err
	}
	parse := parseLines
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) > 0 && bytes.IndexByte([]byte("[{("), trimmed[0]) >= 0:
		parse = parseLiteral
	case numbered(numberFirst).matches(trimmed):
		parse = numbered(numberFirst).parse
	case numbered(numberLast).matches(trimmed):
		parse = numbered(numberLast).parse
	case isYAML(trimmed):
		return nil, fault.Unsupportedf("YAML: %s", labelForms)
	default:
		if t, ok := labelTable(data); ok {
			parse = t.parse
		}
	}
	labels, err := parse(data)
	if err == nil && len(labels) == 0 {
		return nil, onLine(lineAt(data, len(data)), "no labels")
	}
	return labels, err
}

func parseLines(data []byte) ([]string, error) {
	var labels []string
	for line := range strings.Lines(strings.TrimRightFunc(string(data), unicode.IsSpace)) {
		label := strings.TrimSpace(line)
		if err := checkLabel(label, len(labels)); err != nil {
			return nil, onLine(len(labels)+1, "%v", err)
		}
		labels = append(labels, label)
	}
	return labels, nil
}

// checkLabel returns an error if class has no name that can be shown.
func checkLabel(label string, class int) error {
	if class >= maxLabels {
		return fmt.Errorf("more than %d labels", maxLabels)
	}
	if strings.TrimSpace(label) == "" {
		return fmt.Errorf("class %d has a blank name", class)
	}
	for _, r := range label {
		if unicode.IsControl(r) {
			return fmt.Errorf("the name of class %d has the control character %U", class, r)
		}
	}
	return nil
}

// isYAML recognises the description of a data set, as Ultralytics has it, by its names.
func isYAML(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); bytes.Equal(line, []byte("names:")) || bytes.HasPrefix(line, []byte("names: [")) {
			return true
		}
	}
	return false
}

// A numbering collects the names of classes by their indices.
type numbering map[int]string

// add names a class.
func (n numbering) add(class int, name string) error {
	if err := checkLabel(name, class); err != nil {
		return err
	}
	if _, twice := n[class]; twice {
		return fmt.Errorf("class %d has two names", class)
	}
	n[class] = name
	return nil
}

// labels returns the names in the order of the classes.
func (n numbering) labels() ([]string, error) {
	labels := make([]string, len(n))
	for class := range labels {
		name, ok := n[class]
		if !ok {
			return nil, fmt.Errorf("no name for class %d, but %d names", class, len(n))
		}
		labels[class] = name
	}
	return labels, nil
}

// A numbered line has an index in front of its name or behind it.
type numbered func(line string) (class int, name string, sure, ok bool)

// numberFirst splits "0,tench". Behind a space alone it may be a name with a number in
// front: then the line isn't sure.
func numberFirst(line string) (class int, name string, sure, ok bool) {
	digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
	class, err := strconv.Atoi(line[:digits])
	rest := line[digits:]
	name = strings.TrimLeft(rest, " \t,;:")
	if err != nil || name == rest || name == "" {
		return 0, "", false, false
	}
	return class, name, strings.ContainsAny(rest[:len(rest)-len(name)], "\t,;:"), true
}

// numberLast splits "tench,0". It may be a name with a number in it.
func numberLast(line string) (class int, name string, sure, ok bool) {
	at := strings.LastIndexAny(line, "\t,;:")
	if at <= 0 {
		return 0, "", false, false
	}
	class, err := strconv.Atoi(strings.TrimSpace(line[at+1:]))
	return class, strings.TrimSpace(line[:at]), false, err == nil && class >= 0
}

// matches reports whether all lines are numbered so, and if that may be by chance,
// with every number from 0 on.
func (split numbered) matches(data []byte) bool {
	n, sure := 0, true
	seen := map[int]bool{}
	for line := range bytes.Lines(data) {
		class, _, s, ok := split(strings.TrimSpace(string(line)))
		if !ok {
			return false
		}
		n, sure, seen[class] = n+1, sure && s, true
	}
	for class := range n {
		if !sure && !seen[class] {
			return false
		}
	}
	return n > 0
}

func (split numbered) parse(data []byte) ([]string, error) {
	n := numbering{}
	number := 0
	for line := range bytes.Lines(bytes.TrimRightFunc(data, unicode.IsSpace)) {
		number++
		class, name, _, ok := split(strings.TrimSpace(string(line)))
		if !ok {
			return nil, onLine(number, "no index and name")
		}
		if err := n.add(class, unquote(name)); err != nil {
			return nil, onLine(number, "%v", err)
		}
	}
	labels, err := n.labels()
	if err != nil {
		return nil, onLine(number, "%v", err)
	}
	return labels, nil
}

// unquote takes off the quotation marks of a CSV.
func unquote(name string) string {
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}

// A table of labels has these columns.
type labelColumns struct {
	sep         rune
	index, name int
}

// labelTable finds the columns of index and name in a table that names them.
func labelTable(data []byte) (labelColumns, bool) {
	for _, sep := range separators {
		rows, err := sampleOf(data, sep)
		if err != nil || len(rows) < 2 {
			continue
		}
		t := sample{rows[1:], make([]string, len(rows[0]))}
		for i, name := range rows[0] {
			t.keys[i] = key(name)
		}
		numbers := func(i int) bool { return t.all(i, isNumber) }
		index := t.called([]string{"index", "idx", "classindex", "classidx", "classid", "labelid", "labelidx", "id", "number", "label", "class", "target", ""})
		index = slices.DeleteFunc(index, func(i int) bool { return !numbers(i) })
		name := t.called([]string{"name", "classname", "labelname", "label", "class", "category", "categoryname", "title", "description", "species", "breed"})
		name = slices.DeleteFunc(name, numbers)
		if len(index) > 0 && len(name) > 0 {
			return labelColumns{sep, index[0], name[0]}, true
		}
	}
	return labelColumns{}, false
}

func (c labelColumns) parse(data []byte) ([]string, error) {
	n := numbering{}
	r := newRecords(data, c.sep)
	r.next() // the header
	for last := 1; ; {
		fields, line, err := r.next()
		if err == io.EOF {
			labels, err := n.labels()
			if err != nil {
				return nil, onLine(last, "%v", err)
			}
			return labels, nil
		}
		if err != nil {
			return nil, err
		}
		last = line
		if len(fields) <= max(c.index, c.name) {
			return nil, onLine(line, "%d columns: want an index and a name", len(fields))
		}
		class, err := strconv.Atoi(fields[c.index])
		if err != nil || class < 0 {
			return nil, onLine(line, "%.40q is not the index of a class", fields[c.index])
		}
		if err := n.add(class, fields[c.name]); err != nil {
			return nil, onLine(line, "%v", err)
		}
	}
}
