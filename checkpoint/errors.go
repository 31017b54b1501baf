package checkpoint

import "fmt"

// A FormatError says where the bytes of a file are broken.
type FormatError struct {
	Offset int64 // in the file, or within its entry where Reason names one
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason) }

// An UnsupportedError says what a well-formed file holds that this package
// doesn't read.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return e.Reason }
