package rowjson

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

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
