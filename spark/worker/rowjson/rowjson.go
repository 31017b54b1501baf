// Package rowjson reads the lines that name photos, and writes what every result of one
// begins with.
//
// It knows nothing of photos, so that it is small enough to be fuzzed.
package rowjson

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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

// MemberName is the name of the member in a result: where the row names none, its place, as
// OFFSET+SIZE.
func (r Row) MemberName() string {
	if r.Member == "" && r.Offset > 0 {
		return fmt.Sprintf("%d+%d", r.Offset, r.Size)
	}
	return r.Member
}

// InShard reports whether the photo is a member of an archive.
func (r Row) InShard() bool { return r.Member != "" || r.Offset > 0 }

// place sets the member, and where its bytes lie: numbers, which CSV has as texts. Values
// are nil where the row has none.
func (r *Row) place(member, offset, size json.RawMessage) error {
	if member != nil && json.Unmarshal(member, &r.Member) != nil {
		return errors.New("member is no text")
	}
	if manifest.HalfPair(member) { // of which encoding/json makes U+FFFD: the name of another one
		return errors.New("member has half of a surrogate pair, which is no text")
	}
	at, err1 := whole(offset)
	n, err2 := whole(size)
	switch {
	case err1 != nil || err2 != nil:
		return errors.New("offset and size are whole numbers")
	case at < 0 || n < 0:
		return errors.New("offset or size is negative")
	}
	r.Offset, r.Size = at, n
	if r.Member == (Row{Offset: at, Size: n}).MemberName() { // which Spark tells it from others by
		r.Member = ""
	}
	return nil
}

// whole reads a whole number. Of what isn't there it is 0. The statements of Spark take the
// same texts for numbers.
func whole(value json.RawMessage) (int64, error) {
	text := string(value)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(value, &text); err != nil {
			return 0, err
		}
	}
	if text == "" || text == "null" {
		return 0, nil
	}
	if text[0] == '+' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(text, 10, 64)
}

// ResultNames are the members of a result that no row may have: there would be two.
var ResultNames = []string{"predictions", "embedding", "explanation", "error", "model", "version"}

// Parse reads a row. Beside an error there is what could be read of it, so that its result
// can be told from others.
func Parse(line []byte) (Row, error) {
	columns, err := manifest.ParseObject(line)
	row := Row{Path: columns.Path}
	err = cmp.Or(err, columns.Err, columns.Unlike(ResultNames...), row.place(columns.Take("member"), columns.Take("offset"), columns.Take("size")))
	if err != nil {
		columns = columns.Without(func(name string) bool { return slices.Contains(ResultNames, name) })
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
