package search

import (
	"errors"
	"io"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A file is a source that is read as it is asked for.
type file struct{ r io.ReaderAt }

func (f file) bytes(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if n == 0 {
		return b, nil
	}
	if _, err := f.r.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fault.At(at, "cut short: %d bytes are missing", n)
		}
		return nil, err
	}
	return b, nil
}
