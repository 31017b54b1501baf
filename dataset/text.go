package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
)

// text returns a text file's bytes in UTF-8 with "\n" at the ends of its lines. A byte
// order mark says which of UTF-8 and UTF-16 the file has; without one it must be
// UTF-8. data is overwritten.
func text(data []byte) ([]byte, error) {
	const mark = "\ufeff"
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(data, []byte("\x00\x00\xfe\xff")):
		return nil, fault.Unsupportedf("text in UTF-32: want UTF-8")
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		data = fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		data = fromUTF16(data[2:], binary.BigEndian)
	}
	data = bytes.TrimPrefix(data, []byte(mark))
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		for i, c := range data { // as before Mac OS X
			if c == '\r' {
				data[i] = '\n'
			}
		}
	}
	// IndexRune finds what isn't UTF-8, and what fromUTF16 could not read.
	if i := bytes.IndexRune(data, utf8.RuneError); i >= 0 {
		return nil, onLine(lineAt(data, i), "not UTF-8 text")
	}
	return data, nil
}

// fromUTF16 decodes UTF-16. What is wrong becomes U+FFFD.
func fromUTF16(data []byte, order binary.ByteOrder) []byte {
	out := make([]byte, 0, len(data)/2+len(data)/4)
	for len(data) >= 2 {
		r := rune(order.Uint16(data))
		data = data[2:]
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if len(data) >= 2 {
				low = rune(order.Uint16(data))
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				data = data[2:]
			}
		}
		out = utf8.AppendRune(out, r)
	}
	if len(data) > 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

// lineAt returns the line that data[offset] is on.
func lineAt(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

// onLine returns an error about broken text.
func onLine(line int, format string, args ...any) *fault.Error {
	return &fault.Error{Place: fmt.Sprintf("line %d", line), Reason: fmt.Sprintf(format, args...)}
}
