package vision

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/mobilenet-go/mobilenet/fault"
)

// unread says why a file of size bytes, which is of format f, is not read.
func (f format) unread(size int) error {
	e := &fault.Error{Kind: fault.Unsupported}
	switch {
	case f.name == lfsPointer:
		e.Reason = "a Git LFS pointer, not the image itself: fetch that with git lfs pull"
	case f.name != "":
		e.Reason = fmt.Sprintf("%s is not read here; it can be converted: %s", f.name, f.hint)
	case size == 0:
		e.Reason, e.Err = "empty file", image.ErrFormat
	default:
		e.Reason, e.Err = "not an image: none of "+readable(), image.ErrFormat
	}
	return e
}

// fault says of what format the file is that a decoder's error is about, and
// makes errors of other packages ours. That of a context stays.
func (f format) fault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &fault.Error{Err: err, Reason: err.Error()}
	if ours := (*fault.Error)(nil); errors.As(err, &ours) {
		e = &fault.Error{Kind: ours.Kind, Place: ours.Place, Reason: ours.Reason, Err: ours.Err}
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		e.Reason = "it ends early"
	}
	switch e.Kind {
	case fault.Broken:
		e.Reason = fmt.Sprintf("broken %s image: %s", f.name, e.Reason)
	case fault.Unsupported:
		e.Reason = fmt.Sprintf("%s image of a kind that is not read here: %s", f.name, e.Reason)
	default:
		e.Reason = fmt.Sprintf("%s image of %s", f.name, e.Reason)
	}
	return e
}
