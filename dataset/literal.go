package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// parseLiteral parses JSON or a Python literal, which is made into JSON first. The
// syntax is checked as a whole: after that reading tokens can't fail, and only what
// they say can be wrong.
func parseLiteral(data []byte) ([]string, error) {
	err := json.Unmarshal(data, new(json.RawMessage))
	if err != nil {
		python, ok := fromPython(data)
		if !ok || !json.Valid(python) {
			return nil, brokenLiteral(data, err)
		}
		data = python
	}
	p := newLiteral(data)
	if open, _ := p.dec.Token(); open == json.Delim('[') {
		return p.list()
	}
	for _, key := range []string{"id2label", "idx_to_class", "label2id", "class_to_idx", "classes", "labels", "names"} {
		inner := newLiteral(data)
		if !inner.seek(key) {
			continue
		}
		switch open, _ := inner.dec.Token(); open {
		case json.Delim('['):
			return inner.list()
		case json.Delim('{'):
			return inner.indexed()
		}
	}
	return p.indexed()
}

func brokenLiteral(data []byte, err error) error {
	line := lineAt(data, len(data))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line = lineAt(data, int(syntax.Offset))
	}
	first, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	return onLine(line, "%v; it begins %.60q: %s", err, first, labelForms)
}

type literal struct {
	data []byte
	dec  *json.Decoder
}

func newLiteral(data []byte) literal {
	return literal{data, json.NewDecoder(bytes.NewReader(data))}
}

func (p literal) errorf(format string, args ...any) error {
	return onLine(lineAt(p.data, int(p.dec.InputOffset())), format, args...)
}

// seek moves from the beginning to the value of key in the outermost object.
func (p literal) seek(key string) bool {
	p.dec.Token()
	for p.dec.More() {
		if k, _ := p.dec.Token(); k == key {
			return true
		}
		p.dec.Decode(new(json.RawMessage))
	}
	return false
}

// list reads the rest of a list of labels.
func (p literal) list() ([]string, error) {
	var labels []string
	for p.dec.More() {
		var raw json.RawMessage
		p.dec.Decode(&raw)
		name, ok := labelIn(raw)
		if !ok {
			return nil, p.errorf("class %d has neither a name nor a pair of WordNet ID and name", len(labels))
		}
		if err := checkLabel(name, len(labels)); err != nil {
			return nil, p.errorf("%v", err)
		}
		labels = append(labels, name)
	}
	return labels, nil
}

// indexed reads the rest of a map from class indices to labels, or from labels to
// indices.
func (p literal) indexed() ([]string, error) {
	n := numbering{}
	for p.dec.More() {
		token, _ := p.dec.Token()
		name, _ := token.(string)
		var raw json.RawMessage
		p.dec.Decode(&raw)
		number := string(raw) // of a map to indices
		if c := raw[0]; c != '-' && (c < '0' || c > '9') {
			var ok bool
			number = name
			if name, ok = labelIn(raw); !ok {
				return nil, p.errorf("class %.40q has neither a name nor a pair of WordNet ID and name", number)
			}
		}
		class, err := strconv.Atoi(number)
		if err != nil || class < 0 || strconv.Itoa(class) != number {
			return nil, p.errorf("%.40q is not the index of a class", number)
		}
		if err := n.add(class, name); err != nil {
			return nil, p.errorf("%v", err)
		}
	}
	labels, err := n.labels()
	if err != nil {
		return nil, p.errorf("%v", err)
	}
	return labels, nil
}

// labelIn reads a name, or a pair of WordNet ID and name.
func labelIn(raw json.RawMessage) (name string, ok bool) {
	if json.Unmarshal(raw, &name) == nil {
		return name, true
	}
	var pair []string
	if json.Unmarshal(raw, &pair) == nil && len(pair) == 2 {
		return pair[1], true
	}
	return "", false
}

// bracket is JSON's for each of Python's.
var bracket = map[byte]byte{'{': '{', '}': '}', '[': '[', ']': ']', '(': '[', ')': ']'}

// fromPython writes a Python literal of dicts, lists, tuples, strings and integers as
// JSON, line by line where it was. What comes out may still be none.
func fromPython(data []byte) (out []byte, ok bool) {
	var open []byte // brackets
	key := false    // a key of a dict is next
	for len(data) > 0 {
		c := data[0]
		switch {
		case c == '#':
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				end = len(data)
			}
			data = data[end:]
			continue
		case c == '\'' || c == '"':
			s, n := pythonString(data)
			if n == 0 {
				return nil, false
			}
			text, _ := json.Marshal(s)
			out, data = append(out, text...), data[n:]
			continue
		case c >= '0' && c <= '9':
			n := len(data) - len(bytes.TrimLeft(data, "0123456789"))
			if key {
				out = fmt.Appendf(out, "%q", data[:n])
			} else {
				out = append(out, data[:n]...)
			}
			data = data[n:]
			continue
		case c == '{' || c == '[' || c == '(':
			open, key = append(open, c), c == '{'
			out = append(out, bracket[c])
		case c == '}' || c == ']' || c == ')':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
			out, key = append(out, bracket[c]), false
		case c == ',':
			key = len(open) > 0 && open[len(open)-1] == '{'
			if next := bytes.TrimLeftFunc(data[1:], unicode.IsSpace); len(next) == 0 || bytes.IndexByte([]byte("}])"), next[0]) < 0 {
				out = append(out, c) // else it is the last, which JSON doesn't have
			}
		case c == ':':
			out, key = append(out, c), false
		case c == ' ' || c == '\t' || c == '\n':
			out = append(out, c)
		case bytes.HasPrefix(data, []byte("u'")), bytes.HasPrefix(data, []byte(`u"`)): // Python 2
		case bytes.HasPrefix(data, []byte("None")):
			out, data = append(out, "null"...), data[4:]
			continue
		default:
			return nil, false
		}
		data = data[1:]
	}
	return out, true
}

// pythonString reads the string that data begins with, and says how long it is there;
// 0 if it is none.
func pythonString(data []byte) (s string, n int) {
	quote := data[0]
	var text strings.Builder
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == quote:
			return text.String(), i + 1
		case c == '\n':
			return "", 0
		case c != '\\':
			text.WriteByte(c)
		case i+1 < len(data) && (data[i+1] == '\'' || data[i+1] == '"'):
			i++
			text.WriteByte(data[i])
		default:
			// The rest of Python's escapes are Go's, but that one of neither stands
			// for itself.
			r, _, tail, err := strconv.UnquoteChar(string(data[i:min(len(data), i+10)]), quote)
			if err != nil {
				text.WriteByte(c)
				continue
			}
			text.WriteRune(r)
			i += min(len(data), i+10) - i - len(tail) - 1
		}
	}
	return "", 0
}
