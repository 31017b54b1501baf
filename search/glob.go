package search

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
)

// Glob returns what tells the paths that match a pattern: * and ? stand for what is in
// one name, ** for what is across folders too, [a-z] and [^a-z] for one character. A
// pattern without a / is of the last name of the path alone. The empty one matches all.
// Matching takes time in proportion to the path.
func Glob(pattern string) (match func(path []byte) bool, err error) {
	if pattern == "" {
		return func([]byte) bool { return true }, nil
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			switch {
			case strings.HasPrefix(pattern[i:], "**/"): // no folder at all, too
				b.WriteString(`(?:.*/)?`)
				i += 2
			case strings.HasPrefix(pattern[i:], "**"):
				b.WriteString(`.*`)
				i++
			default:
				b.WriteString(`[^/]*`)
			}
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			end := strings.IndexByte(pattern[i+1:], ']')
			if end < 1 {
				return nil, errors.New("a [ without its ]")
			}
			set := pattern[i+1:][:end]
			rest, not := strings.CutPrefix(set, "^")
			if b.WriteByte('['); not {
				b.WriteByte('^')
			}
			for _, c := range rest {
				if strings.ContainsRune(`[\&~^`, c) {
					b.WriteByte('\\')
				}
				b.WriteRune(c)
			}
			b.WriteByte(']')
			i += 1 + end
		case '\\':
			if i++; i == len(pattern) {
				return nil, errors.New(`a \ at its end`)
			}
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			end := i + 1
			for end < len(pattern) && !strings.ContainsRune(`*?[\`, rune(pattern[end])) {
				end++
			}
			b.WriteString(regexp.QuoteMeta(pattern[i:end]))
			i = end - 1
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, errors.New("not a pattern")
	}
	if !strings.Contains(pattern, "/") {
		return func(path []byte) bool {
			return re.Match(path[bytes.LastIndexByte(path, '/')+1:])
		}, nil
	}
	return re.Match, nil
}
