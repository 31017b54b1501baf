package duplicates

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/fault"
)

// An entry is a change in a log, a line of JSON. Paths are absolute.
type entry struct {
	Op       string      `json:"op"`
	Path     name        `json:"path"`
	To       name        `json:"to"`
	Bytes    int64       `json:"bytes"`
	Modified time.Time   `json:"modified"`
	Mode     fs.FileMode `json:"mode"`
}

// A name is a path. One that is no UTF-8 is an array of its bytes in JSON: replacing
// some would make it that of no file.
type name string

func (n name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	numbers := make([]int, len(n))
	for i := range numbers {
		numbers[i] = int(n[i])
	}
	return json.Marshal(numbers)
}

func (n *name) UnmarshalJSON(text []byte) error {
	var numbers []uint8n
	if len(text) > 0 && text[0] == '[' {
		if err := json.Unmarshal(text, &numbers); err != nil {
			return err
		}
		b := make([]byte, len(numbers))
		for i, v := range numbers {
			b[i] = byte(v)
		}
		*n = name(b)
		return nil
	}
	return json.Unmarshal(text, (*string)(n))
}

// uint8n is a byte that JSON has as a number: of []byte it makes base64.
type uint8n uint8

func writeEntry(w io.Writer, c Change) error {
	e := entry{Op: c.Op, Bytes: c.Bytes, Modified: c.Modified, Mode: c.Mode}
	for _, p := range []struct {
		from string
		to   *name
	}{{c.Path, &e.Path}, {c.To, &e.To}} {
		path, err := filepath.Abs(p.from)
		if err != nil {
			return err
		}
		*p.to = name(path)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// OpenLog opens a log of changes to add to it, and makes it where there is none. A line
// that an earlier run left unfinished is ended, so that the next is one of its own.
func OpenLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		last := []byte{'\n'}
		if _, err = f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte{'\n'})
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unfinished reports whether a line is the beginning of an entry: of a change that was
// not begun, since the program was killed or the disk full.
func unfinished(line []byte) bool {
	const begin = `{"op":"`
	line = bytes.TrimSuffix(line, []byte{'\n'})
	n := min(len(line), len(begin))
	return n > 0 && string(line[:n]) == begin[:n] && !json.Valid(line)
}

// readLog reads the changes of a log.
func readLog(r io.Reader) (changes []Change, err error) {
	lines := bufio.NewReaderSize(r, 1<<16)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return changes, nil
		}
		if err == bufio.ErrBufferFull {
			return nil, &fault.Error{Place: fmt.Sprintf("line %d", number), Reason: "longer than a line of a log of moves and links"}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if unfinished(line) {
			continue
		}
		var e entry
		err = json.Unmarshal(line, &e)
		if err != nil || e.Op != opMove && e.Op != opLink || !filepath.IsAbs(string(e.Path)) || !filepath.IsAbs(string(e.To)) {
			return nil, &fault.Error{Place: fmt.Sprintf("line %d", number), Reason: "not a line of a log of moves and links"}
		}
		changes = append(changes, Change{Op: e.Op, Path: string(e.Path), To: string(e.To), Bytes: e.Bytes, Modified: e.Modified, Mode: e.Mode})
	}
}
