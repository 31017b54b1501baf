// Package rowjson reads the lines that name photos, and writes what every result of one
// begins with.
//
// It knows nothing of photos, so that it is small enough to be fuzzed.
package rowjson

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

// A Row names a photo: a file, an object, a URL; or a member of a tar shard that is one,
// by its name, or by where its bytes lie, or both.
type Row struct {
	Path   string `json:"path"`
	Member string `json:"member,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`

	// Columns are what else the row has: members of a JSON object without its braces. Its
	// result has them, too.
	Columns []byte `json:"-"`

	Line int `json:"-"` // that it was, if somebody counts
}

// InShard reports whether the photo is a member of an archive.
func (r Row) InShard() bool { return r.Member != "" || r.Offset > 0 }

// Check is an error of a place that no bytes lie at.
func (r Row) Check() error {
	if r.Offset < 0 || r.Size < 0 {
		return errors.New("offset or size is negative")
	}
	return nil
}

// ResultNames are the members of a result that no row may have: there would be two.
var ResultNames = []string{"predictions", "embedding", "explanation", "error", "model", "version"}

// Parse reads a row. Beside an error there is what could be read of it, so that its result
// can be told from others.
func Parse(line []byte) (Row, error) {
	columns, err := manifest.ParseObject(line)
	row := Row{Path: columns.Path}
	err = cmp.Or(err, columns.Err, columns.Unlike(ResultNames...),
		columns.Take("member", &row.Member), columns.Take("offset", &row.Offset), columns.Take("size", &row.Size))
	if err == nil {
		err = row.Check()
	}
	if err != nil {
		columns = columns.Without(func(name string) bool { return name == "path" || slices.Contains(ResultNames, name) })
	}
	others, e := columns.Others()
	row.Columns = others
	return row, cmp.Or(err, e)
}

// Append adds the beginning of a result's line to b: an object that is still open, with the
// row's path, member and columns.
func Append(b []byte, path, member string, columns []byte) []byte {
	b = append(b, `{"path":`...)
	b = AppendString(b, path)
	if member != "" {
		b = append(b, `,"member":`...)
		b = AppendString(b, member)
	}
	if len(columns) > 0 {
		b = append(append(b, ','), columns...)
	}
	return b
}

// AppendString writes a JSON string. What is no UTF-8 becomes the replacement character.
func AppendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string can't fail
	return append(b, quoted...)
}
