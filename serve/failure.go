package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
)

// A failure is an error with the HTTP status that it means.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func badRequest(text string) error { return &failure{http.StatusBadRequest, text} }

// status returns the HTTP status of an error, and what the client is told.
func status(err error) (code int, text string) {
	var (
		f       *failure
		r       *refusal
		c       *crash
		broken  *fault.Error
		tooBig  *http.MaxBytesError
		timeout interface{ Timeout() bool }
		left    *gone
	)
	switch {
	case errors.As(err, &f):
		return f.status, f.text
	case errors.As(err, &r) && r.reason == "expired":
		return http.StatusGatewayTimeout, r.text
	case errors.As(err, &r) && r.reason == "closing":
		return http.StatusServiceUnavailable, r.text
	case errors.As(err, &r):
		return http.StatusTooManyRequests, r.text
	case errors.As(err, &c), errors.Is(err, mobilenet.ErrNotFinite):
		return http.StatusInternalServerError, err.Error()
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge, "a body of more than " + strconv.FormatInt(tooBig.Limit, 10) + " bytes"
	case errors.As(err, &left):
		return statusClientGone, left.Error()
	case errors.Is(err, context.Canceled):
		return statusClientGone, clientGone
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "its deadline passed while it was worked on"
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusRequestTimeout, "the body did not come in time"
	case errors.As(err, &broken) && broken.Kind == fault.TooLarge:
		// A client's owner knows the flag, not the library.
		return http.StatusRequestEntityTooLarge, strings.Replace(err.Error(), "DecodeOptions.MaxPixels", "--max-pixels", 1)
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusUnsupportedMediaType, err.Error()
	}
	return http.StatusBadRequest, err.Error()
}

// statusClientGone is for the log (nginx has this number). Only who closes his side alone, which looks
// the same, reads the answer.
const statusClientGone = 499

const clientGone = "the client has gone, or has closed its side of the connection"

// A gone is what ends a request whose client left while its body was read.
type gone struct{ after, of int64 }

func (g *gone) Error() string {
	if g.of < 0 {
		return fmt.Sprintf("%s: the body ends behind %d bytes", clientGone, g.after)
	}
	return fmt.Sprintf("%s: the body ends behind %d of %d bytes", clientGone, g.after, g.of)
}

func (g *gone) Unwrap() error { return context.Canceled }

// leaves reports whether an error of reading what a client sends is that it has gone: the
// connection has ended, or a stream over HTTP/2 in it.
func leaves(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		err.Error() == "client disconnected" || strings.HasPrefix(err.Error(), "stream error:") // of net/http, which doesn't export them
}

// shed returns by what reason an error is work that was not done for lack of time or
// room, "" if it is none.
func shed(err error) string {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.reason
	case errors.Is(err, errCut):
		return slowClient
	case errors.Is(err, context.DeadlineExceeded):
		return "expired"
	case errors.Is(err, context.Canceled):
		return "client_gone"
	}
	return ""
}

// slowClient is the reason of those that were cut off to make room.
const slowClient = "slow_client"

// shedReasons are all that shed returns.
var shedReasons = []string{"queue_full", "too_late", "expired", "bodies", "closing", "client_gone", slowClient}

// retryAfter is the header's value for an error, "" for none: whole seconds.
func retryAfter(err error) string {
	var r *refusal
	if !errors.As(err, &r) || r.reason == "expired" {
		return ""
	}
	return strconv.Itoa(max(1, int(math.Ceil(r.after.Seconds()))))
}
