package hub

import (
	"net/http"
	"os"
	"strings"
	"unicode"
)

// A part is the file that a download is written to, and beside it a file with
// the validator (RFC 9110 section 13.1.5) of what the server was sending. With
// that, a later request continues the part only if the server still has the
// same file.
type part struct{ path string }

func (p part) validatorPath() string { return p.path + ".if-range" }

// have returns how many bytes of the file are there and the validator of the
// rest, or 0 if they cannot be continued: nothing is known of where they are
// from, or there are more than limit.
func (p part) have(limit int64) (n int64, validator string) {
	text, err := os.ReadFile(p.validatorPath())
	// After a crash the file may hold zeros, which would spoil the request.
	if err != nil || len(text) == 0 || strings.ContainsFunc(string(text), unicode.IsControl) {
		return 0, ""
	}
	info, err := os.Stat(p.path)
	if err != nil || info.Size() > limit {
		return 0, ""
	}
	return info.Size(), string(text)
}

// open opens the part to append what the server sends from offset on. At 0 it
// is emptied, and header's validator recorded.
func (p part) open(offset int64, header http.Header) (*os.File, error) {
	if offset > 0 {
		return os.OpenFile(p.path, os.O_WRONLY|os.O_APPEND, 0)
	}
	f, err := os.Create(p.path)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.validatorPath(), []byte(validator(header)), 0o644); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// validator returns what If-Range may ask for: a strong ETag, or else the date.
// A file that changes twice in a second has the same date; the hash finds that.
func validator(header http.Header) string {
	if tag := header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return header.Get("Last-Modified")
}

// remove removes what is there. Failures don't matter: what stays is continued
// or overwritten.
func (p part) remove() {
	os.Remove(p.path)
	os.Remove(p.validatorPath())
}
