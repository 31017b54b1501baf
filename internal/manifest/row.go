package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Row is a photo of a manifest and what the manifest says of it besides.
type Row struct {
	Path    string
	Err     error // why there is no path; the row has a result all the same
	Line    int   // of the manifest
	columns []column
}

// A column is a value of a row: a JSON text, or the text of a CSV field.
type column struct {
	name string
	json json.RawMessage // nil of CSV
	text string
}

// ParseObject reads a row of JSON lines. Values other than the path stay as they are
// written. Of an object that ends too early, or has a name twice, there is a row beside the
// error: what it has once.
func ParseObject(line []byte) (Row, error) {
	var row Row
	if !utf8.Valid(line) {
		return row, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return row, errors.New("not a JSON object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return row.once(), notJSON(err)
		}
		c := column{name: key.(string)}
		if err := d.Decode(&c.json); err != nil {
			return row.once(), notJSON(err)
		}
		row.columns = append(row.columns, c)
	}
	if _, err := d.Token(); err != nil { // the brace
		return row.once(), notJSON(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return row.once(), errors.New("more than a JSON object in a line")
	}
	names := row.Names()
	if name, twice := firstTwice(names); twice {
		once := row.once()
		if slices.Contains(names, "path") == slices.Contains(once.Names(), "path") { // else nobody knows which
			once.Path, _ = once.photo()
		}
		return once, fmt.Errorf("two members are called %s", cmp.Or(fault.Shown(name), `""`))
	}
	row.Path, row.Err = row.photo()
	return row, nil
}

// once is the row without the columns that it has twice: nobody knows which of them counts.
func (r Row) once() Row {
	counts := map[string]int{}
	for _, c := range r.columns {
		counts[c.name]++
	}
	return r.Without(func(name string) bool { return counts[name] > 1 })
}

// Without is the row without the columns whose names drop is true of.
func (r Row) Without(drop func(name string) bool) Row {
	r.columns = slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool { return drop(c.name) })
	return r
}

func notJSON(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("not JSON: the object does not end in its line; want an object a line, as jq -c . makes of it")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// Naming is the name of the column that says which photo it is: path, or where that is
// missing, null or empty, file. It is "" if none does.
func (r Row) Naming() string {
	if i := r.naming(); i >= 0 {
		return r.columns[i].name
	}
	return ""
}

func (r Row) naming() int {
	for _, name := range pathColumns {
		i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
		if i >= 0 && !r.columns[i].empty() {
			return i
		}
	}
	return -1
}

func (c column) empty() bool {
	if c.json == nil {
		return c.text == ""
	}
	return string(c.json) == "null" || string(c.json) == `""`
}

// photo is the photo's path.
func (r Row) photo() (string, error) {
	i := r.naming()
	if i < 0 {
		return "", errNoPath
	}
	name, value := r.columns[i].name, r.columns[i].json
	if value == nil {
		return r.columns[i].text, nil
	}
	var path string
	if err := json.Unmarshal(value, &path); err != nil {
		return "", fmt.Errorf("%s is no text", name)
	}
	if HalfPair(value) { // of which encoding/json makes U+FFFD: the name of another file
		return "", fmt.Errorf("%s has half of a surrogate pair, which is no text", name)
	}
	return path, nil
}

// HalfPair reports whether a JSON value has an escape of half of a surrogate pair, which is no
// text in any encoding.
func HalfPair(value []byte) bool {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 || i+1 >= len(value) {
			return false
		}
		first, escaped := surrogate(value[i:])
		if !escaped {
			value = value[i+2:]
			continue
		}
		second, _ := surrogate(value[min(i+6, len(value)):])
		if utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		value = value[i+12:]
	}
}

// surrogate is the half of a pair that text begins with, as an escape.
func surrogate(text []byte) (half rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil && utf16.IsSurrogate(rune(n))
}

// Unlike returns an error if the row has a column of one of these names, which are
// those of the results.
func (r Row) Unlike(results ...string) error {
	for _, c := range r.columns {
		if slices.Contains(results, c.name) {
			return r.fault("column %s has the name of one of the results", c.name)
		}
	}
	return nil
}

func (r Row) fault(format string, args ...any) error {
	e := fault.Unsupportedf(format, args...)
	if r.Line > 0 { // which a row that stands alone doesn't have
		e.Place = fmt.Sprintf("line %d", r.Line)
	}
	return e
}

// Values yields the names of a JSON row's columns and their values as they are written.
func (r Row) Values() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, c := range r.columns {
			if !yield(c.name, c.json) {
				return
			}
		}
	}
}

// Names are the names of the row's columns, in its order.
func (r Row) Names() []string {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.name
	}
	return names
}

// JSON is a line of results: the row's columns as they were, and after them the members
// of result, which is a struct. It does not end in a line end.
func (r Row) JSON(result any) ([]byte, error) {
	line := []byte{'{'}
	for _, c := range r.columns {
		name, err := marshal(c.name)
		if err != nil {
			return nil, err
		}
		value := []byte(c.json)
		if value == nil {
			if !utf8.ValidString(c.text) {
				return nil, r.fault("column %s is not UTF-8, which JSON has to be", fault.Shown(c.name))
			}
			if value, err = marshal(c.text); err != nil {
				return nil, err
			}
		}
		line = append(append(append(append(line, name...), ':'), value...), ',')
	}
	members, err := marshal(result)
	if err != nil {
		return nil, err
	}
	if len(members) > len("{}") {
		return append(line, members[1:]...), nil
	}
	return append(bytes.TrimSuffix(line, []byte{','}), '}'), nil
}

// Take removes a column from a JSON row and returns its value, nil where the row doesn't
// have the column.
func (r *Row) Take(name string) json.RawMessage {
	i := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	value := r.columns[i].json
	r.columns = slices.Delete(r.columns, i, i+1)
	return value
}

// Others is the row's columns but for those of the photo's path, as members of a JSON
// object without its braces: file is among them only beside a path.
func (r Row) Others() ([]byte, error) {
	naming := r.Naming()
	members, err := r.Without(func(name string) bool { return name == "path" || name == "file" && naming != "path" }).JSON(struct{}{})
	if err != nil {
		return nil, err
	}
	return members[1 : len(members)-1], nil
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// Fields are the row's values in the order of columns, which are the reader's: texts as
// they are, other JSON values as JSON, and nothing for null and for what the row does
// not have.
func (r Row) Fields(columns []string) ([]string, error) {
	fields := make([]string, len(columns))
	for _, c := range r.columns {
		i := slices.Index(columns, c.name)
		switch {
		case i < 0:
			return nil, r.fault("column %s is not in the first row: a CSV file has the same ones in all", fault.Shown(c.name))
		case c.json == nil:
			fields[i] = c.text
		case c.json[0] == '"':
			if err := json.Unmarshal(c.json, &fields[i]); err != nil {
				return nil, err
			}
		case string(c.json) != "null":
			fields[i] = string(c.json)
		}
	}
	return fields, nil
}
