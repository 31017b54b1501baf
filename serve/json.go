package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxSmall = 64 << 10 // bytes of a value that is neither a photo nor a tensor
	maxDepth = 16       // how deep arrays may lie in arrays: a tensor has four dimensions
)

// A jsonReader reads JSON (RFC 8259) value by value, where it lies, until a time.
//
// encoding/json makes all there is before any of it can be refused: of 32 MB of empty
// inputs, {},{},{}, it made 1.7 GB in a minute. And it copies photos and tensors.
//
// The first error ends the text, so that callers may look at err once, behind it all.
type jsonReader struct {
	data  []byte
	until time.Time // zero for ever
	at    int
	depth int
	look  int // where the clock is looked at next
	err   error

	member string // whose value is read, for errors
}

// errJSONSlowly is for what would have been in time as bytes.
var errJSONSlowly = &refusal{"expired", "its deadline passed while its JSON was read: send less at once, or bytes in place of JSON: tensors in binary (binary_data_size)", 0}

// stop ends the text with an error.
func (r *jsonReader) stop(err error) {
	if r.err == nil {
		r.err = err
	}
	r.data = r.data[:min(r.at, len(r.data))]
}

// want ends the text with what stands in place of something else.
func (r *jsonReader) want(what string) {
	if r.at >= len(r.data) {
		r.stop(fmt.Errorf("it ends where %s is wanted", what))
		return
	}
	if r.at == 0 && bytes.HasPrefix(r.data, []byte("\ufeff")) {
		r.stop(errors.New("it begins with a byte order mark (U+FEFF): send it without"))
		return
	}
	r.stop(fmt.Errorf("%.20q in place of %s, at byte %d", r.data[r.at:], what, r.at))
}

// next goes to the next token and returns its first byte, 0 at the end.
func (r *jsonReader) next() byte {
	if r.at >= r.look {
		r.look = r.at + 16<<10
		if !r.until.IsZero() && time.Now().After(r.until) {
			r.stop(errJSONSlowly)
		}
	}
	for ; r.at < len(r.data); r.at++ {
		if c := r.data[r.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// end wants nothing more.
func (r *jsonReader) end() {
	if r.next(); r.at < len(r.data) {
		r.want("the end")
	}
}

// object reads an object. read gets the name of each member, and reads its value.
func (r *jsonReader) object(read func(name string)) {
	r.list('{', '}', "an object", func() {
		name := r.string(maxSmall)
		if r.next() != ':' {
			r.want("':'")
			return
		}
		r.at++
		read(name)
	})
}

// members reads an object in which names mean something, each at most once: of one that is
// given twice programs take the first, the last or both (RFC 8259, 4). A name that differs by
// case alone from one of these is refused, and not passed over; other gets all others.
func (r *jsonReader) members(known map[string]func(), other func(name string)) {
	seen := map[string]bool{}
	r.object(func(name string) {
		read := known[name]
		if read == nil {
			for meant := range known {
				if strings.EqualFold(meant, name) {
					r.stop(fmt.Errorf("%.40q: want %q", name, meant))
				}
			}
			other(name)
			return
		}
		if seen[name] {
			r.stop(fmt.Errorf("%q is given twice", name))
		}
		seen[name], r.member = true, name
		read()
	})
}

// only reads an object in which no other names may be.
func (r *jsonReader) only(known map[string]func()) {
	r.members(known, func(name string) {
		r.stop(fmt.Errorf("no member %.40q: want %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
	})
}

// parameters reads an object of small values, or null in place of one.
func (r *jsonReader) parameters() map[string]any {
	if r.null() {
		return nil
	}
	all, from := map[string]any{}, r.at
	r.object(func(name string) {
		if _, twice := all[name]; twice {
			r.stop(fmt.Errorf("%.40q is given twice", name))
		}
		var v any
		r.small(&v)
		all[name] = v
		if r.at-from > maxSmall {
			r.stop(fmt.Errorf("parameters of more than %d bytes", maxSmall))
		}
	})
	return all
}

// array reads an array, or null in place of one. read reads an element.
func (r *jsonReader) array(read func()) {
	if !r.null() {
		r.list('[', ']', "an array", read)
	}
}

// list reads what lies between brackets, separated by commas.
func (r *jsonReader) list(open, end byte, what string, read func()) {
	if r.next() != open {
		r.want(what)
		return
	}
	if r.depth++; r.depth > maxDepth {
		r.stop(fmt.Errorf("arrays in arrays in arrays, or objects"))
	}
	r.at++
	for n := 0; r.err == nil; n++ {
		c := r.next()
		if c == end {
			r.at++
			break
		}
		if n > 0 {
			if c != ',' {
				r.want("',' or '" + string(end) + "'")
				break
			}
			r.at++
		}
		read()
	}
	r.depth--
}

// null reads null, if that is next.
func (r *jsonReader) null() bool {
	if r.next() != 'n' || !bytes.HasPrefix(r.data[r.at:], []byte("null")) {
		return false
	}
	r.at += len("null")
	return true
}

// text reads a string, and returns what is between its quotes: see unescaped.
func (r *jsonReader) text() []byte {
	if r.next() != '"' {
		r.want("a string")
		return nil
	}
	for i := r.at + 1; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			text := r.data[r.at+1 : i]
			r.at = i + 1
			return text
		case c == '\\':
			i++ // which may be a quote; what is escaped is looked at later
		case c < ' ':
			r.at = i
			r.want("what may be in a string")
			return nil
		}
	}
	r.at = len(r.data)
	r.want("a quote")
	return nil
}

// string reads a string of at most so many bytes.
func (r *jsonReader) string(most int) string {
	text := r.text()
	if len(text) > most {
		r.stop(fmt.Errorf("a text of %d bytes: at most %d", len(text), most))
		return ""
	}
	text, err := unescaped(bytes.Clone(text))
	if err != nil {
		r.stop(err)
	}
	return string(text)
}

// number reads a number.
func (r *jsonReader) number() float64 {
	text := r.numeral()
	if r.err != nil {
		return 0
	}
	if len(text) < 10 && digits(text, 0) == len(text) { // the levels of pixels
		whole := 0
		for _, c := range text {
			whole = 10*whole + int(c-'0')
		}
		return float64(whole)
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		r.stop(fmt.Errorf("%.20s is out of range", text))
	}
	return x
}

// numeral reads a number, and returns its digits.
func (r *jsonReader) numeral() []byte {
	d, to := r.data[r.at:], 0
	if len(d) > 0 && d[0] == '-' {
		to = 1
	}
	begin := to
	to = digits(d, begin)
	ok := to > begin && (d[begin] != '0' || to == begin+1)
	if ok && to < len(d) && d[to] == '.' {
		begin = to + 1
		to = digits(d, begin)
		ok = to > begin
	}
	if ok && to < len(d) && d[to]|0x20 == 'e' {
		if begin = to + 1; begin < len(d) && (d[begin] == '+' || d[begin] == '-') {
			begin++
		}
		to = digits(d, begin)
		ok = to > begin
	}
	if !ok {
		r.want("a number")
		return nil
	}
	r.at += to
	return d[:to]
}

// digits returns where the digits of d from i on end.
func digits(d []byte, i int) int {
	for i < len(d) && '0' <= d[i] && d[i] <= '9' {
		i++
	}
	return i
}

// raw reads a value, and returns its bytes.
func (r *jsonReader) raw() []byte {
	r.next()
	from := r.at
	r.skip()
	if r.err != nil {
		return nil
	}
	return r.data[from:r.at]
}

// skip reads a value.
func (r *jsonReader) skip() {
	switch c := r.next(); {
	case c == '{':
		r.object(func(string) { r.skip() })
	case c == '[':
		r.array(r.skip)
	case c == '"':
		r.text()
	case c == '-' || '0' <= c && c <= '9':
		r.numeral()
	default:
		for _, word := range []string{"null", "true", "false"} {
			if bytes.HasPrefix(r.data[r.at:], []byte(word)) {
				r.at += len(word)
				return
			}
		}
		r.want("a value")
	}
}

// small reads a value that is not large as encoding/json does.
func (r *jsonReader) small(v any) {
	at := r.at
	raw := r.raw()
	switch {
	case r.err != nil:
	case len(raw) > maxSmall:
		r.stop(fmt.Errorf("a value of %d bytes, at byte %d: at most %d", len(raw), at, maxSmall))
	default:
		if err := json.Unmarshal(raw, v); err != nil {
			r.stop(fmt.Errorf("%q: %.20s in place of %s", r.member, raw, kindOf(v)))
		}
	}
}

// kindOf says of which kind a value is that v points to.
func kindOf(v any) string {
	switch v.(type) {
	case *string:
		return "a string"
	case *bool:
		return "true or false"
	case *[]int64:
		return "a list of whole numbers"
	case *map[string]any:
		return "an object"
	}
	return "a value"
}

// jsonText is a small value as JSON has it, for errors.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%.40s", text)
}

// unescaped returns what stands between the quotes of a string, in the same memory: an
// escape is longer than what it stands for.
func unescaped(text []byte) ([]byte, error) {
	from := bytes.IndexByte(text, '\\')
	if from < 0 {
		return text, nil
	}
	const short, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	out := text[:from]
	for i := from; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		if c := strings.IndexByte(short, text[i+1]); c >= 0 { // a string doesn't end in a backslash: see text
			out = append(out, meant[c])
			i += 2
			continue
		}
		c, ok := unit(text[i:])
		if !ok {
			return nil, fmt.Errorf("%.6q is no escape", text[i:])
		}
		i += 6
		if utf16.IsSurrogate(c) { // of two that belong together
			second, _ := unit(text[i:])
			if c = utf16.DecodeRune(c, second); c != utf8.RuneError {
				i += 6
			}
		}
		out = utf8.AppendRune(out, c)
	}
	return out, nil
}

// unit reads an escape of the form \u12AB.
func unit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	c, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(c), err == nil
}

// decodeText returns the bytes of a photo in JSON, in the memory of the text: base64, or a
// data URL of it, which a browser's FileReader makes (RFC 2397). The bytes say themselves
// what they are.
func decodeText(text []byte) ([]byte, error) {
	text, err := unescaped(text)
	if err != nil {
		return nil, badRequest("JSON: " + err.Error())
	}
	head := 0
	if bytes.HasPrefix(text, []byte("data:")) {
		head = bytes.IndexByte(text, ',') + 1
		if !bytes.HasSuffix(text[:max(head-1, 0)], []byte(";base64")) {
			return nil, badRequest("a data URL without ;base64,")
		}
	}
	// Four characters have been read before their three bytes are written, so that the
	// bytes never overtake the text.
	n, err := base64.StdEncoding.Decode(text[head:], text[head:])
	if at := base64.CorruptInputError(0); errors.As(err, &at) {
		return nil, badRequest("not base64: " + base64Fault(text, head+int(at)))
	}
	return text[head : head+n], nil
}

// base64Fault says what is wrong with base64 at a byte of the text.
func base64Fault(text []byte, at int) string {
	short := "it ends within a group of four characters: it was cut off, or its padding ('=') is missing"
	if at >= len(text) {
		return short
	}
	before := bytes.TrimRight(text[:at], "\r\n")
	c, _ := utf8.DecodeRune(text[at:])
	switch {
	case bytes.HasSuffix(before, []byte("=")):
		return fmt.Sprintf("%q at byte %d, behind the padding", c, at)
	case c == '=':
		return fmt.Sprintf("'=' at byte %d, where there is no padding", at)
	case c == '-' || c == '_':
		return fmt.Sprintf("%q at byte %d is of base64url; want '+' and '/'", c, at)
	case c == '\r' || c == '\n' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '+' || c == '/':
		return short // at is where the group begins
	}
	return fmt.Sprintf("%q at byte %d", c, at)
}

// compact appends all of r to data, in its memory: that begins where from's bytes do, of
// which r makes what is not longer.
func compact(data []byte, from *bytes.Reader, r io.Reader) ([]byte, error) {
	for {
		read := int(from.Size()) - from.Len()
		n, err := r.Read(data[len(data):read])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
