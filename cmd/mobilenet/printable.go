package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of files and labels are anybody's bytes, and a terminal obeys some of
// them. So everything from a file is printed by one of these.

// shown makes a name fit for a terminal: one with control characters is quoted,
// with escapes as in Go.
func shown(name string) string {
	if isPrintable(name) {
		return name
	}
	return strconv.QuoteToGraphic(name)
}

// shellWord makes a path one word of a command for a shell, which is quoted where it
// has to be. Control characters are escaped as bash and zsh read them.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+,:@%="+string(filepath.Separator), r)
	}
	switch {
	case !isPrintable(path):
		quoted := strconv.QuoteToGraphic(path)
		return "$'" + strings.ReplaceAll(quoted[1:len(quoted)-1], "'", `\'`) + "'"
	case path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }):
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// printable escapes the control characters of a message but for line ends.
func printable(message string) string {
	if isPrintable(strings.ReplaceAll(message, "\n", "")) {
		return message
	}
	var b strings.Builder
	for line := range strings.Lines(message) {
		text, end := strings.CutSuffix(line, "\n")
		quoted := strconv.QuoteToGraphic(text)
		b.WriteString(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// jsonFile is the name of a file in JSON, which has UTF-8 only: a name that is not is
// also there as its bytes, in base64. The text alone would name no file.
type jsonFile struct {
	File      string `json:"file"`
	FileBytes []byte `json:"file_bytes,omitempty"`
}

func jsonFileOf(name string) jsonFile { return jsonFile{name, bytesOf(name)} }

// name is the name that the file has.
func (f jsonFile) name() string {
	if len(f.FileBytes) > 0 {
		return string(f.FileBytes)
	}
	return f.File
}

// bytesOf are those of a name that JSON can't have as text, or nil.
func bytesOf(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// reason is an error's text with the name of the flag in place of the library's.
func reason(err error) string {
	return strings.Replace(err.Error(), "DecodeOptions.MaxPixels", "--max-pixels", 1)
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, isControl)
}

func isControl(r rune) bool { return !unicode.IsGraphic(r) }

// writeJSON writes JSON text with the control characters escaped that encoding/json
// leaves as they are: those from U+007F on. The text means the same.
func writeJSON(w io.Writer, text []byte) error {
	if bytes.ContainsFunc(text, func(r rune) bool { return r >= 0x7f && isControl(r) }) {
		var b bytes.Buffer
		for _, r := range string(text) {
			switch {
			case r < 0x7f || !isControl(r):
				b.WriteRune(r)
			case r > 0xffff:
				high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00 // UTF-16
				fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
			default:
				fmt.Fprintf(&b, `\u%04x`, r)
			}
		}
		text = b.Bytes()
	}
	_, err := w.Write(text)
	return err
}
