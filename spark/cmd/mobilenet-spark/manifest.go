package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/spark/job"
	"github.com/mobilenet-go/mobilenet/spark/store/shard"
)

// A localManifest is a list of photos on this machine: JSON lines or CSV, packed by gzip or
// not, a file of Parquet, or a folder of these.
type localManifest struct {
	path    string
	parquet []string // its files, if it is of Parquet
	csv     bool
	rows    int64
	columns []job.Column   // that are passed on
	halves  map[string]int // columns with texts that are none, and the first line of each
	before  []os.FileInfo  // of its files, when it was opened
}

// openLocal looks what a manifest is, and which of its columns are passed on.
func openLocal(path string, wanted job.Wanted) (*localManifest, error) {
	m := &localManifest{path: path, halves: map[string]int{}}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fault.In(path, err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, fault.In(path, fault.Unsupportedf("no file, but a pipe or a device: a list is read several times; write it to a file"))
	case info.IsDir():
		m.parquet, err = parquetOnly(path)
	case strings.HasSuffix(strings.ToLower(path), ".parquet"):
		m.parquet = []string{path}
	}
	if err == nil && info.Mode().IsRegular() {
		err = named(path)
	}
	if err == nil {
		m.before, err = m.stat()
	}
	if err == nil {
		var all []job.Column
		if all, err = m.all(); err == nil {
			m.columns, err = job.Choose(all, wanted)
		}
	}
	for _, c := range m.columns {
		if line := m.halves[c.Name]; line > 0 {
			err = &fault.Error{Kind: fault.Broken, Place: fmt.Sprintf("line %d", line),
				Reason: fmt.Sprintf("column %q has half of a surrogate pair, which is no text; --columns says which are passed on", c.Name)}
			break
		}
	}
	return m, fault.In(path, err)
}

// stat looks at the manifest's files.
func (m *localManifest) stat() (infos []os.FileInfo, err error) {
	paths := m.parquet
	if paths == nil {
		paths = []string{m.path}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// changed reports whether something wrote to the manifest since it was opened, by sizes and
// times: numbers of files are others at each look in some network file systems.
func (m *localManifest) changed() bool {
	now, err := m.stat()
	return err != nil || !slices.EqualFunc(m.before, now, func(a, b os.FileInfo) bool {
		return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}

// named is an error if a file's name, which tells what it is, also to Spark, is another's.
func named(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [4]byte
	io.ReadFull(f, head[:]) // what is shorter is none of these
	ext := strings.ToLower(filepath.Ext(path))
	parquet, gzip := string(head[:]) == "PAR1", string(head[:2]) == "\x1f\x8b"
	switch {
	case parquet && ext != ".parquet":
		return fault.Unsupportedf("a Parquet file; its name has to end with .parquet")
	case gzip && ext != ".gz":
		return fault.Unsupportedf("packed by gzip; its name has to end with .gz, as .jsonl.gz or .csv.gz")
	case ext == ".gz" && !gzip:
		return fault.Brokenf("not packed by gzip, as its name says")
	case ext == ".parquet" && !parquet:
		return fault.Brokenf("not a Parquet file, as its name says")
	}
	return nil
}

// parquetOnly lists the files of a manifest that is a folder, which has no others: none is left
// out without a word.
func parquetOnly(dir string) ([]string, error) {
	paths, err := parquetIn(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch name := e.Name(); {
		case isHidden(name):
		case len(paths) > 0 && isFolder(dir, e):
			return nil, fault.Unsupportedf("a folder with others in it, as %s: --input of one folder with all files", fault.Shown(name))
		case isFolder(dir, e) && strings.Contains(name, "="):
			return nil, fault.Unsupportedf("a folder of partitions, as %s, which only Spark reads: --input of one of them", fault.Shown(name))
		case len(paths) > 0 && !strings.HasSuffix(name, ".parquet"):
			return nil, fault.Unsupportedf("a folder in which %s is no .parquet", fault.Shown(name))
		}
	}
	if err == nil && len(paths) == 0 {
		err = fault.Unsupportedf("a folder without files of Parquet; of photos mobilenet-spark list makes a manifest")
	}
	return paths, err
}

// isHidden reports whether Spark passes over a name.
func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") && !strings.Contains(name, "=")
}

// isFolder reports whether an entry is a folder, or a link to one.
func isFolder(dir string, e os.DirEntry) bool {
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// parquetIn lists the files of Parquet in a folder, but for hidden ones. A pattern wouldn't do:
// the folder's name may look like one.
func parquetIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".parquet") && !isHidden(name) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, nil
}

// all are the columns of the manifest, in its order, but for JSON's: objects have none.
func (m *localManifest) all() ([]job.Column, error) {
	if m.parquet != nil {
		return m.parquetColumns()
	}
	in, err := m.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	rows, err := manifest.NewReader(in)
	if err != nil {
		return nil, err
	}
	var all []job.Column
	if m.csv = rows.CSV(); m.csv {
		for _, name := range rows.Columns() {
			all = append(all, job.Column{Name: name, Type: "STRING"})
		}
		m.rows = rows.Count()
		return all, nil
	}
	types := map[string]*job.JSONType{}
	for part, err := range (manifest.Job{Shard: manifest.Shard{Count: 1}, Rows: 1000}).Parts(rows) {
		if err != nil {
			return nil, err
		}
		m.rows += int64(len(part.Rows))
		for _, row := range part.Rows {
			for name, value := range row.Values() {
				if types[name] == nil {
					types[name] = &job.JSONType{}
				}
				types[name].Add(value)
				if m.halves[name] == 0 && value[0] == '"' && manifest.HalfPair(value) { // others are passed on as they are written
					m.halves[name] = row.Line
				}
			}
		}
		if len(types) > maxNames {
			return nil, fault.TooLargef("more than %d names of columns", maxNames)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		all = append(all, job.Column{Name: name, Type: types[name].Type()})
	}
	return all, nil
}

// maxNames bounds the names of columns that are kept.
const maxNames = 10_000

// parquetColumns are those of the first file; the others must have them, too, in any order.
func (m *localManifest) parquetColumns() ([]job.Column, error) {
	var all []job.Column
	for i, path := range m.parquet {
		f, file, err := openParquet(path)
		if err != nil {
			return nil, err
		}
		var columns []job.Column
		for _, field := range file.Schema().Fields() {
			columns = append(columns, job.Column{Name: field.Name(), Type: typeOf(field)})
		}
		m.rows += file.NumRows()
		f.Close()
		if i == 0 {
			all = columns
		}
		if difference := unlike(all, columns); difference != "" {
			return nil, fault.Unsupportedf("%s has other columns than %s: %s", fault.Shown(filepath.Base(path)), fault.Shown(filepath.Base(m.parquet[0])), difference)
		}
	}
	return all, nil
}

// unlike says in what the columns of a file differ from those of the first, or nothing. Their
// order is no matter: they are read by their names.
func unlike(first, other []job.Column) string {
	for _, c := range first {
		at := slices.IndexFunc(other, func(o job.Column) bool { return o.Name == c.Name })
		switch {
		case at < 0:
			return fmt.Sprintf("%q is not among them", c.Name)
		case other[at].Type != c.Type:
			return fmt.Sprintf("%q is of type %s there, and of %s here", c.Name, c.Type, other[at].Type)
		}
	}
	for _, c := range other {
		if !slices.ContainsFunc(first, func(f job.Column) bool { return f.Name == c.Name }) {
			return fmt.Sprintf("%q is new", c.Name)
		}
	}
	return ""
}

func openParquet(path string) (*os.File, *parquet.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var file *parquet.File
		if file, err = parquet.OpenFile(f, info.Size()); err == nil {
			return f, file, nil
		}
	}
	f.Close()
	if _, stat := errors.AsType[*os.PathError](err); stat {
		return nil, nil, err
	}
	return nil, nil, fault.In(path, notParquet(err))
}

// notParquet is what is wrong with a file that package parquet can't read, in plain words for
// one that is cut off: its index is at its end.
func notParquet(err error) error {
	if text := err.Error(); strings.Contains(text, "magic footer") || strings.Contains(text, "EOF") || strings.Contains(text, "magic header") {
		return fault.Brokenf("cut off, or no Parquet file: it doesn't begin or end as one")
	}
	return fault.Brokenf("%v", err)
}

// typeOf is the type that Spark reads a column of Parquet as. Of one that isn't passed on it
// is Parquet's name.
func typeOf(n parquet.Node) string {
	if !n.Leaf() || n.Repeated() {
		return "a nested one"
	}
	var logical any
	if l := n.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case nil:
		plain := map[parquet.Kind]string{
			parquet.Boolean: "BOOLEAN", parquet.Int32: "INT", parquet.Int64: "BIGINT", parquet.Float: "FLOAT", parquet.Double: "DOUBLE",
		}[n.Type().Kind()]
		return cmp.Or(plain, n.Type().String())
	case *format.StringType, *format.EnumType, *format.JsonType:
		return "STRING"
	case *format.DecimalType:
		return fmt.Sprintf("DECIMAL(%d,%d)", l.Precision, l.Scale)
	case *format.IntType: // those without a sign become the next larger ones
		if l.IsSigned {
			return map[int8]string{8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT"}[l.BitWidth]
		}
		return map[int8]string{8: "SMALLINT", 16: "INT", 32: "BIGINT", 64: "DECIMAL(20,0)"}[l.BitWidth]
	}
	return n.Type().String()
}

// open opens the list as JSON lines or CSV.
func (m *localManifest) open() (io.ReadCloser, error) {
	if m.parquet != nil {
		return m.lines(), nil
	}
	f, err := os.Open(m.path)
	if err != nil || !strings.HasSuffix(strings.ToLower(m.path), ".gz") {
		return f, err
	}
	z, err := shard.NewGunzip(bufio.NewReader(f))
	if err != nil {
		f.Close()
		return nil, fault.Brokenf("%v", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{ended{z}, f}, nil
}

// ended is a packed list, of which an end that comes too early isn't that of a row.
type ended struct{ r io.Reader }

func (e ended) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err == io.ErrUnexpectedEOF {
		err = fault.Brokenf("cut off: what gzip packed has no end")
	}
	return n, err
}

// lines makes JSON lines of Parquet: of the columns that the job reads or passes on.
func (m *localManifest) lines() io.ReadCloser {
	pipe, lines := io.Pipe()
	go func() {
		for _, path := range m.parquet {
			if err := m.linesOf(path, lines); err != nil {
				lines.CloseWithError(err)
				return
			}
		}
		lines.Close()
	}()
	return pipe
}

func (m *localManifest) linesOf(path string, out io.Writer) error {
	f, file, err := openParquet(path)
	if err != nil {
		return err
	}
	defer f.Close()
	wanted := map[int]source{} // by the numbers of columns
	for _, field := range file.Schema().Fields() {
		name := field.Name()
		leaf, ok := file.Schema().Lookup(name)
		if ok && ((name == "file" || slices.Contains(job.OwnColumns, name)) || slices.ContainsFunc(m.columns, func(c job.Column) bool { return c.Name == name })) {
			wanted[leaf.ColumnIndex] = newSource(field)
		}
	}
	buffer := make([]parquet.Row, 100)
	number := 0
	for _, group := range file.RowGroups() {
		if group.NumRows() == 0 { // as a file without rows has one
			continue
		}
		rows := group.Rows()
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				number++
				line, err := lineOf(row, wanted)
				if err != nil {
					rows.Close()
					return fault.In(path, fault.Brokenf("row %d: %v", number, err))
				}
				if _, err := out.Write(line); err != nil {
					rows.Close()
					return err
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				rows.Close()
				return fault.In(path, fault.Brokenf("%v", err))
			}
		}
		rows.Close()
	}
	return nil
}

// A source is a column of Parquet that values are read of.
type source struct {
	name              string
	unsigned, decimal bool
	scale             int // of decimals
}

func newSource(f parquet.Field) source {
	s := source{name: f.Name()}
	if logical := f.Type().LogicalType(); logical != nil {
		switch l := logical.Value.(type) {
		case *format.IntType:
			s.unsigned = !l.IsSigned
		case *format.DecimalType:
			s.decimal, s.scale = true, int(l.Scale)
		}
	}
	return s
}

// lineOf is a row of Parquet as a line of JSON.
func lineOf(row parquet.Row, wanted map[int]source) ([]byte, error) {
	line := []byte{'{'}
	for _, v := range row {
		s, ok := wanted[v.Column()]
		if !ok || v.IsNull() {
			continue
		}
		if len(line) > 1 {
			line = append(line, ',')
		}
		key, err := json.Marshal(s.name)
		if err != nil {
			return nil, err
		}
		if line, err = s.append(append(append(line, key...), ':'), v); err != nil {
			return nil, err
		}
	}
	return append(line, '}', '\n'), nil
}

// append adds a value to a line.
func (s source) append(line []byte, v parquet.Value) ([]byte, error) {
	switch {
	case s.decimal && (s.scale < 0 || s.scale > 38): // which nobody writes, and takes long to write out
		return nil, fmt.Errorf("column %q is of decimals with %d digits behind the point", s.name, s.scale)
	case s.decimal:
		return append(line, decimalText(v, s.scale)...), nil
	}
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(line, v.Boolean()), nil
	case parquet.Int32:
		if s.unsigned {
			return strconv.AppendUint(line, uint64(uint32(v.Int32())), 10), nil
		}
		return strconv.AppendInt(line, int64(v.Int32()), 10), nil
	case parquet.Int64:
		if s.unsigned {
			return strconv.AppendUint(line, uint64(v.Int64()), 10), nil
		}
		return strconv.AppendInt(line, v.Int64(), 10), nil
	case parquet.Float:
		return appendNumber(line, float64(v.Float()), 32), nil
	case parquet.Double:
		return appendNumber(line, v.Double(), 64), nil
	case parquet.ByteArray:
		if !utf8.Valid(v.ByteArray()) {
			return nil, fmt.Errorf("column %q is not UTF-8", s.name)
		}
		text, err := json.Marshal(string(v.ByteArray()))
		return append(line, text...), err
	}
	return nil, errors.New("a value of type " + v.Kind().String())
}

// appendNumber writes a number, and in quotes what JSON has no number for.
func appendNumber(b []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 0):
		return strconv.AppendQuote(b, strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, bits), "+"))
	}
	return strconv.AppendFloat(b, v, 'g', -1, bits)
}

// passed is a row with what the job reads of it and what is passed on.
func (m *localManifest) passed(row manifest.Row) manifest.Row {
	naming := row.Naming()
	return row.Without(func(name string) bool {
		read := name == naming || slices.Contains(job.OwnColumns, name)
		return !read && !slices.ContainsFunc(m.columns, func(c job.Column) bool { return c.Name == name })
	})
}
