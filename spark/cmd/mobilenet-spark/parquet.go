package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/mobilenet-go/mobilenet/spark/job"
	"github.com/mobilenet-go/mobilenet/spark/worker"
)

// A parquetRow is a result without the columns of the manifest.
type parquetRow struct {
	Path        string              `parquet:"path"`
	Member      *string             `parquet:"member,optional"`
	Predictions []prediction        `parquet:"predictions,list,optional"`
	Embedding   []float32           `parquet:"embedding,list,optional"`
	Explanation *worker.Explanation `parquet:"explanation,optional"`
	Error       *string             `parquet:"error,optional"`
	Model       string              `parquet:"model,optional"`
	Version     string              `parquet:"version,optional"`
}

// manifestAt is where the manifest's columns stand among these: behind path and member.
const manifestAt = 2

type prediction struct {
	Index       int32   `parquet:"index"`
	Label       string  `parquet:"label"`
	Probability float32 `parquet:"probability"`
}

func newParquetRow(r *worker.Result) parquetRow {
	row := parquetRow{Path: r.Path, Embedding: r.Embedding, Explanation: r.Explanation, Model: r.Model, Version: r.Version}
	if r.Member != "" {
		row.Member = &r.Member
	}
	if r.Error != "" {
		row.Error = &r.Error
	}
	if r.Predictions != nil {
		row.Predictions = []prediction{}
	}
	for _, p := range r.Predictions {
		row.Predictions = append(row.Predictions, prediction{int32(p.Index), p.Label, p.Probability})
	}
	return row
}

// A table is what Parquet files of a job are: parquetRow and the columns of the manifest, in
// the types that Spark writes, in which everything may be NULL.
type table struct {
	columns []job.Column
	noEmpty bool // of the manifest's strings, which are NULL then
	base    *parquet.Schema
	schema  *parquet.Schema
	levels  [][]int // of each column of base: definition levels there to those here
}

func newTable(columns []job.Column, noEmpty bool) *table {
	t := &table{columns: columns, noEmpty: noEmpty, base: parquet.SchemaOf(parquetRow{})}
	var fields []parquet.Field
	for _, f := range t.base.Fields() {
		fields = append(fields, nullable(f))
		t.levels = append(t.levels, levelsOf(f, nil)...)
	}
	var own []parquet.Field
	for _, c := range columns {
		own = append(own, field{nullableNode{Node: leafOf(c.Type)}, c.Name})
	}
	t.schema = parquet.NewSchema("spark_schema", nullableNode{Node: t.base, root: true, fields: slices.Insert(fields, manifestAt, own...)})
	return t
}

// leafOf is what Spark makes of a type in Parquet.
func leafOf(kind string) parquet.Node {
	switch kind {
	case "BOOLEAN":
		return parquet.Leaf(parquet.BooleanType)
	case "TINYINT":
		return parquet.Int(8)
	case "SMALLINT":
		return parquet.Int(16)
	case "INT":
		return parquet.Leaf(parquet.Int32Type)
	case "BIGINT":
		return parquet.Leaf(parquet.Int64Type)
	case "FLOAT":
		return parquet.Leaf(parquet.FloatType)
	case "DOUBLE":
		return parquet.Leaf(parquet.DoubleType)
	}
	if precision, scale, ok := job.Decimal(kind); ok {
		return decimalLeaf(precision, scale)
	}
	return parquet.String()
}

// A nullableNode is a node of which nothing is required.
type nullableNode struct {
	parquet.Node
	root   bool
	fields []parquet.Field
}

func (n nullableNode) Optional() bool          { return !n.root && !n.Repeated() }
func (n nullableNode) Required() bool          { return n.root }
func (n nullableNode) Fields() []parquet.Field { return n.fields }

// A field is a node and its name. Values are not taken from it: rows are.
type field struct {
	parquet.Node
	name string
}

func (f field) Name() string { return f.name }

func (f field) Value(base reflect.Value) reflect.Value { panic("rows are written, not values") }

// nullable is a field of which nothing is required.
func nullable(f parquet.Field) parquet.Field {
	n := nullableNode{Node: f}
	for _, child := range f.Fields() {
		n.fields = append(n.fields, nullable(child))
	}
	return field{n, f.Name()}
}

// levelsOf are, for each column in a field, the definition levels that those of a schema with
// required nodes become. A level counts the nodes on the way that are there, of those that
// might not be, or are repeated; all may be missing here.
func levelsOf(f parquet.Field, above []bool) (columns [][]int) {
	path := append(slices.Clone(above), !f.Required())
	if f.Leaf() {
		levels := []int{0}
		for i, counts := range path {
			if counts {
				levels[len(levels)-1] = i // of what ends before this node
				levels = append(levels, 0)
			}
		}
		levels[len(levels)-1] = len(path)
		return [][]int{levels}
	}
	for _, child := range f.Fields() {
		columns = append(columns, levelsOf(child, path)...)
	}
	return columns
}

// row is a result as a row of the table.
func (t *table) row(r *worker.Result) (parquet.Row, error) {
	extra, err := t.extra(r.Columns)
	if err != nil {
		return nil, err
	}
	whole := newParquetRow(r)
	row := t.base.Deconstruct(nil, &whole)
	first := 0
	for i, v := range row {
		c := v.Column()
		level := t.levels[c][v.DefinitionLevel()]
		if c < manifestAt {
			first = i + 1
		} else {
			c += len(t.columns)
		}
		row[i] = v.Level(v.RepetitionLevel(), level, c)
	}
	return slices.Insert(row, first, extra...), nil
}

// extra are the values of the manifest's columns, of which a result has the text.
func (t *table) extra(members []byte) ([]parquet.Value, error) {
	if len(t.columns) == 0 {
		return nil, nil
	}
	texts := map[string]json.RawMessage{}
	if err := json.Unmarshal(slices.Concat([]byte("{"), members, []byte("}")), &texts); err != nil {
		return nil, err
	}
	values := make([]parquet.Value, len(t.columns))
	for i, c := range t.columns {
		v, err := valueOf(c.Type, texts[c.Name])
		if err != nil {
			return nil, fmt.Errorf("column %q is no %s: %.100s", c.Name, c.Type, texts[c.Name])
		}
		level := 1
		if v.IsNull() || t.noEmpty && c.Type == "STRING" && len(v.ByteArray()) == 0 {
			v, level = parquet.NullValue(), 0
		}
		values[i] = v.Level(0, level, manifestAt+i)
	}
	return values, nil
}

// valueOf is a value of JSON as one of a type.
func valueOf(kind string, text json.RawMessage) (parquet.Value, error) {
	if len(text) == 0 || string(text) == "null" {
		return parquet.NullValue(), nil
	}
	plain := string(text)
	if text[0] == '"' { // also NaN and Infinity, which JSON doesn't have
		if err := json.Unmarshal(text, &plain); err != nil {
			return parquet.Value{}, err
		}
	}
	switch kind {
	case "BOOLEAN":
		v, err := strconv.ParseBool(plain)
		return parquet.BooleanValue(v), err
	case "TINYINT", "SMALLINT", "INT":
		v, err := strconv.ParseInt(plain, 10, map[string]int{"TINYINT": 8, "SMALLINT": 16, "INT": 32}[kind])
		return parquet.Int32Value(int32(v)), err
	case "BIGINT":
		v, err := strconv.ParseInt(plain, 10, 64)
		return parquet.Int64Value(v), err
	case "FLOAT", "DOUBLE":
		bits := map[string]int{"FLOAT": 32, "DOUBLE": 64}[kind]
		v, err := strconv.ParseFloat(plain, bits)
		if bits == 32 {
			return parquet.FloatValue(float32(v)), err
		}
		return parquet.DoubleValue(v), err
	}
	if precision, scale, ok := job.Decimal(kind); ok {
		return decimalValue(plain, precision, scale)
	}
	return parquet.ByteArrayValue([]byte(plain)), nil
}

// write is a file of results.
func (t *table) write(rows []parquet.Row) ([]byte, error) {
	var file bytes.Buffer
	out := parquet.NewWriter(&file, t.schema, parquet.Compression(&parquet.Snappy))
	_, err := out.WriteRows(rows)
	err = errors.Join(err, out.Close())
	return file.Bytes(), err
}
