package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// What a label file may hold. The largest in use, ImageNet-21k's, has 21,843
// names in about 2 MB.
const (
	maxLabelBytes = 16 << 20
	maxLabels     = 1 << 20
)

// A FormatError says where a label file is wrong.
type FormatError struct {
	Line   int // from 1
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ReadLabels reads a list of labels from a file in UTF-8, which is one of
//
//   - text with a label on each line, blank lines at the end aside;
//   - a JSON list of labels;
//   - a JSON map from class indices to labels, {"0": "tench"}, or to ImageNet's
//     pairs, {"0": ["n01440764", "tench"]};
//   - a Hugging Face config.json, where such a map is the value of id2label.
//
// JSON is told by its first character. Every class from 0 on needs a name, and
// names are printable. What is wrong with the content is a *[FormatError].
func ReadLabels(path string) ([]string, error) {
	data, err := boundedfile.Read(path, maxLabelBytes)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels, nil
}

func parseLabels(data []byte) ([]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if i := bytes.IndexRune(data, utf8.RuneError); i >= 0 {
		return nil, &FormatError{Line: lineAt(data, i), Reason: "not UTF-8 text"}
	}
	parse := parseLines
	if text := bytes.TrimSpace(data); len(text) > 0 && (text[0] == '[' || text[0] == '{') {
		parse = parseJSON
	}
	labels, err := parse(data)
	if err == nil && len(labels) == 0 {
		return nil, &FormatError{Line: lineAt(data, len(data)), Reason: "no labels"}
	}
	return labels, err
}

func parseLines(data []byte) ([]string, error) {
	var labels []string
	for line := range strings.Lines(strings.TrimRightFunc(string(data), unicode.IsSpace)) {
		label := strings.TrimSpace(line)
		if err := checkLabel(label, len(labels)); err != nil {
			return nil, &FormatError{Line: len(labels) + 1, Reason: err.Error()}
		}
		labels = append(labels, label)
	}
	return labels, nil
}

// checkLabel returns an error if class has no name that can be shown.
func checkLabel(label string, class int) error {
	if class >= maxLabels {
		return fmt.Errorf("more than %d labels", maxLabels)
	}
	if strings.TrimSpace(label) == "" {
		return fmt.Errorf("class %d has a blank name", class)
	}
	for _, r := range label {
		if unicode.IsControl(r) {
			return fmt.Errorf("the name of class %d has the control character %U", class, r)
		}
	}
	return nil
}

// lineAt returns the line that data[offset] is on.
func lineAt(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

// parseJSON checks the syntax as a whole. After that reading tokens can't fail,
// and only what they say can be wrong.
func parseJSON(data []byte) ([]string, error) {
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		line := lineAt(data, len(data))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line = lineAt(data, int(syntax.Offset))
		}
		return nil, &FormatError{Line: line, Reason: err.Error()}
	}
	p := newJSONParser(data)
	if open, _ := p.dec.Token(); open == json.Delim('[') {
		return p.list()
	}
	if config := newJSONParser(data); config.seek("id2label") {
		if open, _ := config.dec.Token(); open != json.Delim('{') {
			return nil, config.errorf("id2label is not a map")
		}
		return config.indexed()
	}
	return p.indexed()
}

type jsonParser struct {
	data []byte
	dec  *json.Decoder
}

func newJSONParser(data []byte) jsonParser {
	return jsonParser{data, json.NewDecoder(bytes.NewReader(data))}
}

func (p jsonParser) errorf(format string, args ...any) error {
	return &FormatError{Line: lineAt(p.data, int(p.dec.InputOffset())), Reason: fmt.Sprintf(format, args...)}
}

// seek moves from the beginning to the value of key in the outermost object.
func (p jsonParser) seek(key string) bool {
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
func (p jsonParser) list() ([]string, error) {
	var labels []string
	for p.dec.More() {
		label, err := p.label(len(labels))
		if err != nil {
			return nil, err
		}
		labels = append(labels, label)
	}
	return labels, nil
}

// indexed reads the rest of a map from class indices to labels.
func (p jsonParser) indexed() ([]string, error) {
	names := map[int]string{}
	for p.dec.More() {
		token, _ := p.dec.Token()
		key, _ := token.(string)
		class, err := strconv.Atoi(key)
		if err != nil || class < 0 || strconv.Itoa(class) != key {
			return nil, p.errorf("%.40q is not the index of a class", key)
		}
		if _, twice := names[class]; twice {
			return nil, p.errorf("class %d has two names", class)
		}
		if names[class], err = p.label(class); err != nil {
			return nil, err
		}
	}
	labels := make([]string, len(names))
	for class := range labels {
		name, ok := names[class]
		if !ok {
			return nil, p.errorf("no name for class %d, but %d names", class, len(names))
		}
		labels[class] = name
	}
	return labels, nil
}

// label reads the name of class, or a pair of WordNet ID and name.
func (p jsonParser) label(class int) (string, error) {
	var raw json.RawMessage
	p.dec.Decode(&raw)
	var name string
	var pair []string
	switch {
	case json.Unmarshal(raw, &name) == nil:
	case json.Unmarshal(raw, &pair) == nil && len(pair) == 2:
		name = pair[1]
	default:
		return "", p.errorf("class %d has neither a name nor a pair of WordNet ID and name", class)
	}
	if err := checkLabel(name, class); err != nil {
		return "", p.errorf("%v", err)
	}
	return name, nil
}
