package rfc4180

import (
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestCut reads back what encoding/csv writes, of any bytes, on lines that end either way.
func TestCut(t *testing.T) {
	rows := [][]string{
		{"a", "b"}, {"", ""}, {"a\nb", "\"q\","}, {"a\rb", "x"}, {"a\r\nb", "\r\n"}, {"\xff", " c "}, {"\n\n", "\"\n\""}, {"last", ""},
	}
	for _, end := range []string{"\n", "\r\n"} {
		var text []byte
		for _, row := range rows {
			var line bytes.Buffer
			w := csv.NewWriter(&line)
			w.Write(row)
			w.Flush()
			text = append(append(text, bytes.TrimSuffix(line.Bytes(), []byte("\n"))...), end...)
		}
		all := bytes.Count(text, []byte("\n"))
		for rest, i := text, 0; len(rest) > 0; i++ {
			var record []byte
			var lines int
			record, rest, lines = Cut(rest)
			got, err := Fields(record)
			if err != nil || i >= len(rows) || !slices.Equal(got, rows[i]) {
				t.Fatalf("row %d: %q, %v", i, got, err)
			}
			all -= lines
		}
		if all != 0 {
			t.Errorf("%q: %d lines are missing", end, all)
		}
	}
	for text, want := range map[string]string{"": "", "a": "a", "a\r": "a", "\"a\nb": "\"a\nb", "a\n\n": "a"} {
		if record, _, _ := Cut([]byte(text)); string(record) != want {
			t.Errorf("%q: %q, want %q", text, record, want)
		}
	}
}

// FuzzFields compares with encoding/csv, which agrees but for "\r\n" in quotes and for
// records that it can't tell apart: an empty line is none.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{"a,b", `"a","b""c"`, "", ",", `"`, `a"b`, "\"a\nb\",", `"a"b`, `""""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r") || strings.Trim(text, "\n") == "" || strings.Count(text, `"`) == 0 && strings.Contains(text, "\n") {
			return
		}
		got, err := Fields([]byte(text))
		r := csv.NewReader(strings.NewReader(text))
		want, wantErr := r.Read()
		if _, more := r.Read(); more != io.EOF { // several records: the reader cuts them before
			return
		}
		if strings.HasSuffix(text, "\n") || strings.HasPrefix(text, "\n") {
			return
		}
		if (err == nil) != (wantErr == nil) || err == nil && !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; encoding/csv %q, %v", text, got, err, want, wantErr)
		}
	})
}
