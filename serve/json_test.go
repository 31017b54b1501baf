package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzJSON: what is read as JSON, and what strings in it mean, is what encoding/json says.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, -0.5e+3, true, null, {"b\/é😀": "x"}], "a": ""}`, `[]`, `{}`, ` "\ud800" `, `"\ud800A"`, `"\""`, `"\\"`, `"\"`, `"\x"`, `"\u12"`, "\"\n\"", "\"\x7f\"",
		`01`, `-`, `1.`, `.5`, `1e`, `1e+`, `-0`, `0e5`, `+1`, `0x1`, `1_000`, `Infinity`, `nul`, `nulll`, `[1,]`, `[,1]`, `{"a":1,}`, `{"a" 1}`, `{1:2}`, `[1 2]`, `[1`, `{"a"`, `1 2`, ``, ` `, `"a`, `]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &jsonReader{data: data}
		raw := r.raw()
		r.end()
		var want any
		err := json.Unmarshal(data, &want)
		if r.err != nil && strings.Contains(r.err.Error(), "arrays in arrays") || len(data) > maxSmall {
			return
		}
		// Escapes are looked at where a string is read.
		if (err == nil) != (r.err == nil) && !(r.err == nil && bytes.Contains(data, []byte(`\`))) {
			t.Fatalf("%q: %v, and encoding/json says %v", data, r.err, err)
		}
		if r.err == nil && !bytes.Equal(raw, bytes.Trim(data, " \n\t\r")) {
			t.Fatalf("%q of %q", raw, data)
		}
		if text, ok := want.(string); err == nil && ok && utf8.Valid(data) {
			again := &jsonReader{data: data}
			if got := again.string(maxSmall); got != text || again.err != nil {
				t.Fatalf("%q, want %q: %v", got, text, again.err)
			}
		}
		if err != nil && r.err == nil { // then for an escape
			again := &jsonReader{data: bytes.Clone(data)}
			var strings func()
			strings = func() {
				switch again.next() {
				case '"':
					again.string(maxSmall)
				case '[':
					again.array(strings)
				case '{':
					again.object(func(string) { strings() })
				default:
					again.skip()
				}
			}
			if strings(); again.err == nil {
				t.Fatalf("%q is taken, and encoding/json says %v", data, err)
			}
		}
	})
}

// TestDecodeText: base64 becomes bytes in its own memory, whatever is escaped in it and
// wherever lines are broken.
func TestDecodeText(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 3000 {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		text := base64.StdEncoding.EncodeToString(want)
		switch n % 4 {
		case 1:
			text = strings.ReplaceAll(text, "/", `\/`) // as PHP writes it
		case 2:
			text = strings.NewReplacer("+", `\u002B`, "/", `\u002f`).Replace(text) // as .NET does
		case 3:
			for i := 76; i < len(text); i += 80 {
				text = text[:i] + `\r\n` + text[i:]
			}
		}
		if got, err := decodeText([]byte(text)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for _, text := range []string{"?", "A", "AAA", "AA=A", "AAAA=", `\x`, `\u00`, "data:x,AAAA"} {
		if got, err := decodeText([]byte(text)); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestJSONDeadline: the reading of JSON ends at its time, wherever that is.
func TestJSONDeadline(t *testing.T) {
	for _, data := range []string{
		strings.Repeat(" ", 1<<20) + "1",
		"[" + strings.Repeat("0,", 1<<20) + "0]",
		`{"inputs": [{"data": [` + strings.Repeat(`"",`, 1<<20) + `""]}]}`,
	} {
		r := &jsonReader{data: []byte(data), until: time.Now()}
		if r.raw(); !errors.Is(r.err, errJSONSlowly) || r.at > 64<<10 {
			t.Errorf("%.20s: %v, at byte %d", data, r.err, r.at)
		}
	}
}
