package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Column is one of the manifest's that is passed on to the results. Its type is one of
// Spark's: STRING, BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE or DECIMAL(P,S).
type Column struct{ Name, Type string }

// Wanted are the manifest's columns that are to be passed on: all others than the job's own,
// unless there is a list of them.
type Wanted struct {
	Listed bool
	Names  []string
}

// OwnColumns are the manifest's that the job reads itself, and file where a row has no path.
var OwnColumns = []string{"path", "member", "offset", "size"}

// resultColumns are those that the job adds.
var resultColumns = []string{"predictions", "embedding", "explanation", "error", "model", "version"}

// maxColumns is more than anybody passes on knowingly; lists in which every object has names
// of its own have more.
const maxColumns = 1000

// Choose picks the columns that are passed on from those of a manifest. Types other than a
// Column has are errors. Spark tells names apart without their case, and so does Choose.
func Choose(all []Column, wanted Wanted) ([]Column, error) {
	const way = "; --columns says which are passed on"
	var chosen []Column
	if len(all) > 0 && !slices.ContainsFunc(all, func(c Column) bool { return c.Name == "path" || c.Name == "file" }) {
		return nil, errors.New("no column of the manifest is called path or file")
	}
	hasPath := slices.ContainsFunc(all, func(c Column) bool { return c.Name == "path" })
	there := map[string]string{}
	for _, c := range all {
		lower := strings.ToLower(c.Name)
		own := slices.Contains(OwnColumns, c.Name) || c.Name == "file" && !hasPath
		other, twice := there[lower]
		if twice && other == c.Name {
			return nil, fmt.Errorf("two columns of the manifest are called %q", c.Name)
		}
		if twice {
			return nil, fmt.Errorf("columns %q and %q of the manifest differ in case alone, and Spark takes them for one", other, c.Name)
		}
		there[lower] = c.Name
		switch {
		case own, wanted.Listed && !slices.Contains(wanted.Names, c.Name):
			continue
		case slices.Contains(OwnColumns, lower):
			return nil, fmt.Errorf("column %q of the manifest differs from %s in case alone: rename it", c.Name, lower)
		case slices.Contains(resultColumns, lower):
			return nil, fmt.Errorf("column %q of the manifest has the name of one of the results: rename it%s", c.Name, way)
		case c.Name == "":
			return nil, errors.New("a column of the manifest has no name" + way)
		case strings.Contains(c.Name, "${"):
			return nil, fmt.Errorf("column %q of the manifest has ${, for which Spark writes the value of a variable: rename it%s", c.Name, way)
		case !isPassed(c.Type):
			return nil, fmt.Errorf("column %q of the manifest is of type %s, and strings, numbers and booleans are passed on%s", c.Name, c.Type, way)
		}
		chosen = append(chosen, c)
	}
	for _, name := range wanted.Names {
		if !slices.ContainsFunc(all, func(c Column) bool { return c.Name == name }) {
			return nil, fmt.Errorf("--columns %s: the manifest has no such column", name)
		}
	}
	if len(chosen) > maxColumns {
		return nil, fmt.Errorf("the manifest has %d other columns, and at most %d are passed on%s", len(chosen), maxColumns, way)
	}
	return chosen, nil
}

var columnTypes = []string{"STRING", "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE"}

func isPassed(kind string) bool {
	_, _, ok := Decimal(kind)
	return ok || slices.Contains(columnTypes, kind)
}

// Decimal takes the type DECIMAL(P,S) apart: the digits, and how many of them stand behind
// the point. Spark has up to 38 of them.
func Decimal(kind string) (precision, scale int, ok bool) {
	_, err := fmt.Sscanf(kind, "DECIMAL(%d,%d)", &precision, &scale)
	return precision, scale, err == nil && precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision
}

// FindColumns asks Spark which of the manifest's columns are passed on.
func FindColumns(ctx context.Context, s *Spec, session *Session) error {
	r := &run{Spec: s, session: session}
	if err := r.exec(ctx, r.settings()...); err != nil {
		return err
	}
	return r.columns(ctx)
}

// columns finds out which columns the manifest has, and which of them are passed on.
//
// Of JSON lines Spark looks at every row, and at every name. What it makes objects, arrays or
// decimals of is a string here, the text as it is written. An empty string it takes for
// nothing where all else are numbers, and then fails to read it: such a column is one of
// strings. Of fractions it makes doubles, also where whole numbers are among them that no double
// is: such a column, too, is one of strings.
func (r *run) columns(ctx context.Context) error {
	kind := kindOf(r.Input)
	head, err := r.head(ctx)
	if err != nil {
		return err
	}
	if r.Wanted.Listed && len(r.Wanted.Names) == 0 {
		return nil
	}
	view := r.input()
	if kind == "json" {
		view = r.inferred()
	}
	if err := r.exec(ctx, view); err != nil {
		return err
	}
	all, err := r.session.Describe(ctx, "mobilenet_input")
	if err != nil {
		return err
	}
	for i := range all {
		all[i].Type = sparkType(all[i].Type, kind)
		if i < len(head) && head[i] == "" {
			all[i].Name = ""
		}
	}
	if r.Columns, err = Choose(all, r.Wanted); err != nil || kind != "json" {
		return err
	}
	slices.SortFunc(r.Columns, func(a, b Column) int { return strings.Compare(a.Name, b.Name) })
	return r.asTexts(ctx)
}

// head is the names of a CSV file's columns as they are written. Spark has others for what
// has none, and for those that are there twice, so that none may be called path any more.
func (r *run) head(ctx context.Context) ([]string, error) {
	if kindOf(r.Input) != "csv" {
		return nil, nil
	}
	if err := r.exec(ctx, r.headless()); err != nil {
		return nil, err
	}
	rows, err := r.session.Query(ctx, "SELECT to_json(array(*)) FROM mobilenet_input LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var names []string // those of nothing are null
	if err := json.Unmarshal([]byte(rows[0]), &names); err != nil {
		return nil, err
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("two columns of the manifest are called %s", cmp.Or(fault.Shown(name), `""`))
		}
	}
	return names, nil
}

// sparkType is the type of a column that Spark describes.
func sparkType(described, kind string) string {
	name, _, _ := strings.Cut(described, "(")
	switch name = strings.ToUpper(name); {
	case name == "VARCHAR", name == "CHAR":
		return "STRING"
	case slices.Contains(columnTypes, name):
		return name
	case kind == "json":
		return "STRING"
	case name == "DECIMAL":
		return strings.ToUpper(described)
	}
	return described
}

// asTexts makes strings of columns that have empty ones, and of those of fractions that also
// have numbers which no double is.
func (r *run) asTexts(ctx context.Context) error {
	var found []string
	asText := *r.Spec
	asText.Columns = slices.Clone(r.Columns)
	for i, c := range r.Columns {
		asText.Columns[i].Type = "STRING"
		switch c.Type {
		case "STRING":
		case "DOUBLE":
			found = append(found, "coalesce(bool_or("+noDouble(name(c.Name))+"), false)")
		default:
			found = append(found, fmt.Sprintf("coalesce(bool_or(%s = ''), false)", name(c.Name)))
		}
	}
	if len(found) == 0 {
		return nil
	}
	if err := r.exec(ctx, asText.input()); err != nil {
		return err
	}
	rows, err := r.session.Query(ctx, "SELECT to_json(array("+strings.Join(found, ", ")+")) FROM mobilenet_input")
	if err != nil {
		return err
	}
	var texts []bool
	if len(rows) != 1 || json.Unmarshal([]byte(rows[0]), &texts) != nil || len(texts) != len(found) {
		return errors.New("no answer to a question about columns")
	}
	for i := range r.Columns {
		if r.Columns[i].Type == "STRING" {
			continue
		}
		if texts[0] {
			r.Columns[i].Type = "STRING"
		}
		texts = texts[1:]
	}
	return nil
}

// noDouble is a condition of SQL for what [JSONType.Add] says of a text: that it is empty, a
// whole number that doubles skip, or larger than them.
func noDouble(c string) string {
	return fmt.Sprintf("%[1]s = '' OR %[1]s RLIKE '^-?[0-9]+$' AND coalesce(abs(try_cast(%[1]s AS DECIMAL(38, 0))) > %[2]d, true) OR abs(try_cast(%[1]s AS DOUBLE)) = double('Infinity')", c, int64(maxWhole))
}

// maxWhole is up to where doubles have every whole number.
const maxWhole = 1 << 53

// A JSONType gathers what the values of a column of JSON lines are, to the type that
// [run.columns] gives it.
type JSONType struct{ text, boolean, whole, long, fraction, noDouble bool }

// Add takes a value in.
func (t *JSONType) Add(value []byte) {
	switch value[0] {
	case 'n':
	case 't', 'f':
		t.boolean = true
	case '"', '{', '[':
		t.text = true
	default:
		digits := strings.TrimPrefix(string(value), "-")
		switch {
		case strings.ContainsAny(digits, ".eE"):
			_, err := strconv.ParseFloat(digits, 64)
			t.fraction, t.noDouble = true, t.noDouble || err != nil
			return
		case len(digits) < 19, len(digits) == 19 && (digits <= "9223372036854775807" || string(value) == "-9223372036854775808"):
			t.whole = true
		default:
			t.long = true
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		t.noDouble = t.noDouble || err != nil || n > maxWhole
	}
}

// Type is that of the column.
func (t *JSONType) Type() string {
	number := t.whole || t.long || t.fraction
	switch {
	case t.text, t.boolean && number, t.long, t.fraction && t.noDouble:
		return "STRING"
	case t.boolean:
		return "BOOLEAN"
	case t.fraction:
		return "DOUBLE"
	case t.whole:
		return "BIGINT"
	}
	return "STRING" // of nothing but null
}
