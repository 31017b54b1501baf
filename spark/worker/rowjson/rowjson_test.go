package rowjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

// Places are numbers or texts of digits, and what has no name is called by its place.
func TestPlace(t *testing.T) {
	for text, want := range map[string]string{
		`"offset":512,"size":7`:                          "512+7 512 7",
		`"offset":"512","size":"7","member":"a"`:         "a 512 7",
		`"offset":512,"size":7,"member":"512+7"`:         "512+7 512 7",
		`"offset":512,"member":null`:                     "512+0 512 0",
		`"offset":"","size":null,"member":""`:            " 0 0",
		`"offset":9223372036854775807`:                   "9223372036854775807+0 9223372036854775807 0",
		`"offset":9223372036854775808`:                   "offset and size are whole numbers",
		`"offset":512.0`:                                 "offset and size are whole numbers",
		`"offset":5e2`:                                   "offset and size are whole numbers",
		`"offset":" 512"`:                                "offset and size are whole numbers",
		`"offset":"+512"`:                                "offset and size are whole numbers",
		`"offset":"512","size":[]`:                       "offset and size are whole numbers",
		`"offset":-1`:                                    "offset or size is negative",
		`"offset":512,"size":-1`:                         "offset or size is negative",
		`"member":7`:                                     "member is no text",
		`"member":"\udead.png"`:                          "member has half of a surrogate pair, which is no text",
		`"file":"b","path":null,"predictions":1,"x":[]`:  "column predictions has the name of one of the results",
		`"offset":512,"size":7,"member":"513+7","x":[1]`: "513+7 512 7",
	} {
		row, err := Parse([]byte(`{"path":"a",` + text + `}`))
		if strings.Contains(text, `"path"`) {
			row, err = Parse([]byte(`{` + text + `}`))
			if row.Path != "b" || string(row.Columns) != `"x":[]` {
				t.Errorf("%s: %q, %s", text, row.Path, row.Columns)
			}
		}
		got := fmt.Sprintf("%s %d %d", row.MemberName(), row.Offset, row.Size)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// FuzzLine: a row that is read gives a result that is JSON, with the row's columns.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{`{"path":"a"}`, `{"member":"b","path":"a","x":[1e9],"offset":7,"size":1}`, `{"file":"\ud83d\ude00","":null}`, `{"path":"a","path":"b"}`, "[", `{"path":"a","error":1}`, "{\"path\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		row, bad := Parse(line)
		text := append(Append(nil, row.Path, row.Member, row.Columns), `,"error":"x"}`...)
		if bad != nil {
			if _, err := manifest.ParseObject(text); err != nil {
				t.Fatalf("%q became %q: %v", line, text, err)
			}
			return
		}
		again := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &again); err != nil || bytes.ContainsRune(text, '\n') && !bytes.ContainsRune(line, '\n') {
			t.Fatalf("%q became %q: %v", line, text, err)
		}
		var path string
		if json.Unmarshal(again["path"], &path); path != row.Path {
			t.Errorf("%q became %q", row.Path, path)
		}
		var before map[string]json.RawMessage
		json.Unmarshal(line, &before)
		for name, value := range before {
			switch name {
			case "path", "file", "member", "offset", "size":
				continue
			}
			if !bytes.Equal(again[name], value) {
				t.Errorf("%q: %q became %q", name, value, again[name])
			}
		}
	})
}
