package vision

import "fmt"

// A FormatError says that the bytes of an image are broken.
type FormatError struct {
	Format string // "JPEG", "PNG", ...
	Err    error
}

func (e *FormatError) Error() string { return fmt.Sprintf("broken %s image: %v", e.Format, e.Err) }
func (e *FormatError) Unwrap() error { return e.Err }

// An UnsupportedError says that the bytes are no image of a known format, or one
// with more pixels than allowed.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return e.Reason }
