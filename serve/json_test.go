package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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

// TestBase64Faults: what is no base64 is told with its place, wherever that is.
func TestBase64Faults(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("mobilenet"), 2000)) // 24000 characters
	for _, at := range []int{0, 1, 2, 3, 50, 51, 1023, 1024, 5001, 23998, 23999} {
		for _, c := range "!\u00e9-_=" {
			if c == '=' && at == len(good)-1 {
				continue // padding
			}
			text := good[:at] + string(c) + good[at+1:]
			at := at
			if c == '=' && at%4 == 3 { // padding, and what is wrong is behind it
				at++
				c = rune(text[at])
			}
			_, err := decodeText([]byte(text))
			if want := fmt.Sprintf("not base64: %q at byte %d", c, at); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
			_, err = decodeText([]byte("data:image/png;base64," + text))
			if want := fmt.Sprintf("%q at byte %d", c, at+22); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a data URL: %v, want %s", err, want)
			}
		}
	}
	for text, want := range map[string]string{
		"!!!": "'!' at byte 0", "AAAA=": "'=' at byte 4, where there is no padding", "AA===": "'=' at byte 4, behind the padding", "AA==\\nAAAA": "'A' at byte 5, behind the padding",
		"A": "cut off", "AAA": "cut off", "AAAAAA\\n": "cut off", "AA=": "cut off", good[:1001]: "cut off", "A\\nAA": "cut off", "AA\\n=": "cut off",
	} {
		if _, err := decodeText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

// TestMembers: of a request's JSON each member is given once and by its exact name, in
// whatever object it is, and there is no other.
func TestMembers(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`{"id": "a", "model_name": "m", "model_version": "1", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1], "parameters": {}}], "outputs": [{"name": "y"}, null]}`, ""},
		{`{"outputz": []}`, `no member "outputz": want id, inputs, model_name, model_version, outputs, parameters`},
		{`{"inputs": [{"dtype": "FP32"}]}`, `no member "dtype": want data, datatype, name, parameters, shape`},
		{`{"outputs": [{"classification": 3}]}`, `no member "classification": want name, parameters`},
		{`{"id": "a", "id": "a"}`, `"id" is given twice`},
		{`{"inputs": [], "inputs": []}`, `"inputs" is given twice`},
		{`{"Inputs": []}`, `"Inputs": want "inputs"`},
		{`{"inputs": [{"data": [1], "data": [2]}]}`, `"data" is given twice`},
		{`{"inputs": [{"SHAPE": [1]}]}`, `"SHAPE": want "shape"`},
		{`{"inputs": [{"parameters": {"binary_data_size": 1, "binary_data_size": 2}}]}`, `"binary_data_size" is given twice`},
		{`{"outputs": [{"name": "a", "name": "b"}]}`, `"name" is given twice`},
		{`{"outputs": [{"Name": "a"}]}`, `"Name": want "name"`},
		{`{"outputs": [{"parameters": {"classification": 1, "classification": 2}}]}`, `"classification" is given twice`},
		{`{"parameters": {"cam_top": 1, "cam_top": 2}}`, `"cam_top" is given twice`},
		{`{"parameters": {` + strings.Repeat(`"a": 1, `, 1) + `"b": "` + strings.Repeat("x", 40<<10) + `", "c": "` + strings.Repeat("x", 40<<10) + `"}}`, "parameters of more than"},
	} {
		_, err := readInfer(&jsonReader{data: []byte(test.text)})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%.80s: %v, want %s", test.text, err, test.want)
		}
	}
	// Of a value of another kind is said which, of which member, and not what Go calls it.
	for text, want := range map[string]string{
		`{"id": 42}`: `"id": 42 in place of a string`, `{"inputs": [{"shape": [1.0]}]}`: `"shape": [1.0] in place of a list of whole numbers`,
		`{"inputs": [{"name": {}}]}`: `"name": {} in place of a string`, "\ufeff{}": "it begins with a byte order mark",
	} {
		if _, err := readInfer(&jsonReader{data: []byte(text)}); err == nil || !strings.HasPrefix(err.Error(), "JSON: "+want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for _, test := range []struct{ text, want string }{
		{`{"photo": "AAAA", "photo": "AAAA"}`, `"photo" is given twice`},
		{`{"photos": ["AAAA"], "photos": ["AAAA"]}`, `"photos" is given twice`},
		{`{"Photo": "AAAA"}`, `"Photo": want "photo"`},
		{`{"URLS": []}`, `"URLS": want "urls"`},
		{`{"photo": "AAAA", "top": 3}`, `?top=3`},
		{`{"model": "a b", "photo": "AAAA"}`, `?model=a+b`},
		{`{"maps": {}}`, `?maps=...`},
		{`{"foto": "AAAA"}`, `unknown field "foto"`},
	} {
		in := jsonRequest{r: jsonReader{data: []byte(test.text)}}
		if err := in.read(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
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
