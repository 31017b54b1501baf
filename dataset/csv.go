package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
)

const (
	// maxList is how many bytes a list of images may have. That of ImageNet-21k's 14
	// million photos has about 700 MB.
	maxList   = 1 << 30
	maxRecord = 1 << 20 // bytes of a row: 22,000 classes as columns of 0 and 1 take 90 kB
	sampled   = 100     // rows that are looked at before the columns are understood
)

// errNoClasses is the cause where a table of images says nothing of their classes.
var errNoClasses = errors.New("no classes")

// separators of tables.
var separators = []rune{',', ';', '\t'}

// parseTable parses a table of images with their classes: lines of fields, the first
// of which may name the columns. The separator is the one that makes sense of it.
func parseTable(data []byte) (*listing, error) {
	if t, is := parseDivided(data); is {
		return t, nil
	}
	if kind, todo := foreign.Describe(data[:min(len(data), foreign.Head)]); kind != "" && kind != "a text file" {
		if todo != "" {
			todo += "; "
		}
		return nil, fault.Unsupportedf("%s: %s%s", kind, todo, wanted)
	}
	data, err := text(data)
	if err != nil {
		return nil, err
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, onLine(lineAt(data, i), "a zero byte: neither UTF-8 text nor UTF-16 with a byte order mark")
	}
	if first, _, _ := bytes.Cut(data, []byte("\n")); len(first) == len("sep=;") && bytes.HasPrefix(first, []byte("sep=")) {
		copy(data, "     ") // Excel's word for the separator, which shows all the same
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fault.Brokenf("blank: %s", wanted)
	}
	var failed error
	for _, sep := range separators {
		records, err := sampleOf(data, sep)
		if err == nil {
			var c columns
			if c, err = understand(records); err == nil {
				return c.parse(data, sep)
			}
		}
		// What is wrong with the separator that is in use.
		if failed == nil || sep != ',' && len(records) > 0 && len(records[0]) > 1 {
			failed = err
		}
	}
	if t, err := parsePairs(data, " \t"); err == nil && t.rows[0].path != "" {
		return t, nil // as Caffe has them
	}
	return nil, notUnderstood(data, failed)
}

// notUnderstood shows what a table begins with.
func notUnderstood(data []byte, err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Place != "" {
		return err
	}
	var first []string
	for line := range strings.Lines(string(data[:min(len(data), 400)])) {
		if line = strings.TrimSpace(line); line != "" && len(first) < 3 {
			first = append(first, fmt.Sprintf("%.100q", line))
		}
	}
	named := *e
	named.Reason = fmt.Sprintf("a table that can't be understood: %s; want columns of path and label, named so in the first line; it begins %s", e.Reason, strings.Join(first, ", "))
	return &named
}

// records reads the rows of a table.
type records struct {
	*csv.Reader
	from *metered
}

// metered hands out as many bytes as are left.
type metered struct {
	*bytes.Reader
	left int
}

var errLongRecord = errors.New("too long")

func (m *metered) Read(p []byte) (int, error) {
	if m.left <= 0 && m.Len() > 0 {
		return 0, errLongRecord
	}
	n, err := m.Reader.Read(p[:min(len(p), max(m.left, 0))])
	m.left -= n
	return n, err
}

func newRecords(data []byte, sep rune) records {
	from := &metered{Reader: bytes.NewReader(data)}
	r := csv.NewReader(from)
	r.Comma, r.FieldsPerRecord = sep, -1
	r.TrimLeadingSpace = sep != '\t' // which is space, too
	r.ReuseRecord = true
	return records{r, from}
}

// next returns the fields of the next row that isn't blank, without space around,
// and its line. They are overwritten by the next call.
func (r records) next() (fields []string, line int, err error) {
	for {
		r.from.left = maxRecord
		fields, err = r.Read()
		if errors.Is(err, io.EOF) {
			return nil, 0, io.EOF
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, 0, onLine(parse.StartLine, "%v", parse.Err)
		}
		if err != nil {
			return nil, 0, fault.TooLargef("a row of more than %d bytes; is a quotation mark left open?", maxRecord)
		}
		blank := true
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
			blank = blank && fields[i] == ""
		}
		if !blank {
			line, _ = r.FieldPos(0)
			return fields, line, nil
		}
	}
}

func sampleOf(data []byte, sep rune) (rows [][]string, err error) {
	r := newRecords(data, sep)
	for len(rows) < sampled {
		fields, _, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, slices.Clone(fields))
	}
	if len(rows) == 0 {
		return nil, fault.Brokenf("no rows")
	}
	return rows, nil
}

// parse reads all rows.
func (c columns) parse(data []byte, sep rune) (*listing, error) {
	t := &listing{header: c.header, parts: c.part >= 0 || len(c.flags) > 0, note: c.describe()}
	labels := map[string]int32{}
	r := newRecords(data, sep)
	for first := true; ; first = false {
		fields, line, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if first && c.header {
			continue
		}
		path, label, part, err := c.image(fields)
		if err != nil {
			return nil, onLine(line, "%v", err)
		}
		t.add(labels, row{path: path, line: int32(min(line, math.MaxInt32)), part: part}, label)
	}
	t.wholeNumbers()
	return t, nil
}

// add appends a row; labels are those that the list has.
func (t *listing) add(labels map[string]int32, r row, label string) {
	i, ok := labels[label]
	if !ok {
		i = int32(len(t.labels))
		label = strings.Clone(label) // and not the row it is a part of
		labels[label], t.labels = i, append(t.labels, label)
	}
	r.label = i
	t.rows = append(t.rows, r)
}

// image reads a row.
func (c columns) image(fields []string) (path, label string, part byte, err error) {
	if len(fields) > c.width && strings.Join(fields[c.width:], "") != "" {
		return "", "", 0, fmt.Errorf("%d columns, but %d in the first line (a comma in a name needs quotes around that)", len(fields), c.width)
	}
	field := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		return fields[i]
	}
	path, label = field(c.path), compose(field(c.label))
	if c.hot != nil {
		if label, err = c.hottest(field); err != nil {
			return "", "", 0, err
		}
	}
	if path == "" || label == "" {
		return "", "", 0, errors.New("the path or the label is empty")
	}
	for _, s := range []string{path, label} {
		if strings.ContainsFunc(s, unicode.IsControl) {
			return "", "", 0, fmt.Errorf("%.60q has a control character", s)
		}
	}
	part, err = c.partIn(field)
	return path, label, part, err
}

// hottest returns the name of the one column of classes that has a 1.
func (c columns) hottest(field func(int) string) (string, error) {
	var ones []string
	for _, i := range c.hot {
		switch truth[strings.ToLower(field(i))] {
		case 2:
			ones = append(ones, c.names[i])
		case 0:
			return "", fmt.Errorf("%.40q in the column of class %q: want 0 or 1", field(i), c.names[i])
		}
	}
	if len(ones) != 1 {
		return "", fmt.Errorf("%d of the %d classes have a 1: want one, for a network tells one class from the others", len(ones), len(c.hot))
	}
	return compose(ones[0]), nil
}

// partIn returns the part that a row belongs to, or 0 if the table has no parts.
func (c columns) partIn(field func(int) string) (byte, error) {
	if c.part >= 0 {
		if part := partOf(field(c.part)); part != "" {
			return partByte(part), nil
		}
		return 0, fmt.Errorf("%.40q in the column of parts: want train, val or test", field(c.part))
	}
	if len(c.flags) == 0 {
		return 0, nil
	}
	yes := func(part string) bool {
		i, ok := c.flags[part]
		return ok && truth[strings.ToLower(field(i))] == 2
	}
	_, says := c.flags["train"]
	switch {
	case yes("test"):
		return partByte("test"), nil
	case yes("val"), len(c.flags) == 1 && says && !yes("train"):
		return partByte("val"), nil
	}
	return partByte("train"), nil
}

func partByte(part string) byte { return map[string]byte{"train": 't', "val": 'v', "test": 'e'}[part] }

// wholeNumbers takes the .0 off labels that are all numbers with it, as pandas writes
// indices in a column that had gaps.
func (t *listing) wholeNumbers() {
	for _, l := range t.labels {
		if whole, ok := strings.CutSuffix(l, ".0"); !ok || !isNumber(whole) {
			return
		}
	}
	for i, l := range t.labels {
		t.labels[i] = strings.TrimSuffix(l, ".0")
	}
}
