// Package fault says what is wrong with an input: a photo, a checkpoint, a graph,
// a table of labels. Every reader of untrusted bytes in this module reports it in
// this one shape.
//
//	m, err := mobilenet.LoadModel(ctx, "model.pth")
//	if errors.Is(err, errors.ErrUnsupported) {
//		// intact, but not something that is read here: convert it
//	}
//	if f, ok := errors.AsType[*fault.Error](err); ok {
//		fmt.Println(f.File, f.Place, f.Kind)
//	}
package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Kind says whose fault it is.
type Kind uint8

const (
	// Broken bytes contradict their own format, or end too early.
	Broken Kind = iota
	// Unsupported input is intact, as far as it was looked at, but of a kind that
	// is not read here.
	Unsupported
	// TooLarge input is more than a limit allows.
	TooLarge
)

func (k Kind) String() string {
	return [...]string{"broken", "unsupported", "too large"}[k]
}

// An Error says what is wrong with an input, and where. Its text is File, Place
// and Reason, as far as they are known, with colons between.
type Error struct {
	Kind   Kind
	File   string // as the caller named it; who opens the file fills it in, see [In]
	Place  string // in the file's own terms: "at byte 17", "line 4", "node Conv_3"
	Reason string
	Err    error // what errors.Is and errors.As find too; not part of the text
}

func (e *Error) Error() string {
	text := e.Reason
	if e.Place != "" {
		text = e.Place + ": " + text
	}
	if e.File != "" {
		text = e.File + ": " + text
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, errors.ErrUnsupported) true of all that is not broken.
func (e *Error) Is(target error) bool {
	return target == errors.ErrUnsupported && e.Kind != Broken
}

// At returns an error about bytes that are broken at an offset of the file, or of
// its entry where the reason names one.
func At(offset int64, format string, args ...any) *Error {
	return &Error{Kind: Broken, Place: fmt.Sprintf("at byte %d", offset), Reason: fmt.Sprintf(format, args...)}
}

// Brokenf returns an error about broken bytes, with no better place than the file.
func Brokenf(format string, args ...any) *Error {
	return &Error{Kind: Broken, Reason: fmt.Sprintf(format, args...)}
}

// Unsupportedf returns an error about what is intact but not read.
func Unsupportedf(format string, args ...any) *Error {
	return &Error{Kind: Unsupported, Reason: fmt.Sprintf(format, args...)}
}

// TooLargef returns an error about what is more than a limit allows.
func TooLargef(format string, args ...any) *Error {
	return &Error{Kind: TooLarge, Reason: fmt.Sprintf(format, args...)}
}

// In names the file that err is about, unless err does so already: an Error
// without a file gets it, a path error of package os loses its own path in favour
// of it, and any other error is wrapped. In returns nil for a nil
// error.
func In(file string, err error) error {
	if err == nil || file == "" {
		return err
	}
	switch e := err.(type) {
	case *Error:
		if e.File != "" {
			return e
		}
		named := *e
		named.File = file
		return &named
	case *fs.PathError:
		err = e.Err
	}
	if inner := (*Error)(nil); errors.As(err, &inner) && inner.File != "" {
		return err
	}
	return fmt.Errorf("%s: %w", file, err)
}

// maxShown is how many bytes of a name [Shown] lets through: a path of torchvision's
// has 40, and a name of several megabytes is an attack.
const maxShown = 100

// Shown returns a name out of an untrusted file as a message can show it: quoted if
// it holds what a terminal might obey, and cut if it is long.
func Shown(name string) string {
	cut := ""
	if len(name) > maxShown {
		name, cut = strings.ToValidUTF8(name[:maxShown], ""), "..."
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		name = strconv.QuoteToGraphic(name)
	}
	return name + cut
}
