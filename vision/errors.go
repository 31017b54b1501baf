package vision

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/jpeg"
)

// unread says why a file of size bytes, which is of format f, is not read.
func (f format) unread(size int) error {
	e := &fault.Error{Kind: fault.Unsupported}
	switch {
	case f.name != "":
		e.Reason = fmt.Sprintf("%s is not read here; it can be converted: %s", f.name, f.hint)
	case size == 0:
		e.Reason, e.Err = "empty file", image.ErrFormat
	default:
		e.Reason, e.Err = "not an image: none of "+readable(), image.ErrFormat
	}
	return e
}

// fault turns the error of a decoder into ours. That of a context stays.
func (f format) fault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		return err
	}
	if isUnsupported(err) {
		return &fault.Error{Kind: fault.Unsupported, Reason: fmt.Sprintf("%s image of a kind that is not read here: %v", f.name, err), Err: err}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &fault.Error{Reason: fmt.Sprintf("broken %s image: it ends early", f.name), Err: err}
	}
	return &fault.Error{Reason: fmt.Sprintf("broken %s image: %v", f.name, err), Err: err}
}

// isUnsupported knows the decoders' own ways to say so.
func isUnsupported(err error) bool {
	var j jpeg.UnsupportedError
	var t tiff.UnsupportedError
	return errors.As(err, &j) || errors.As(err, &t) || errors.Is(err, bmp.ErrUnsupported)
}
