package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

var httpClient = &http.Client{CheckRedirect: checkRedirect}

// checkRedirect lets no redirect leave https: the server's certificate is what
// says that the file is the publisher's.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) == 10 {
		return errors.New("redirected 10 times")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirected from https to %s", req.URL.Redacted())
	}
	return nil
}

// get requests the file at address, or only what follows the first have bytes
// if it still is the file that validator belongs to.
func get(ctx context.Context, address string, have int64, validator string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	// Weights don't compress, and compressed bytes could not be counted.
	req.Header.Set("Accept-Encoding", "identity")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", validator)
	}
	resp, err := httpClient.Do(req)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // PullError names the URL
	}
	return resp, err
}

var errRange = errors.New("the server does not continue the file where it broke off")

// answer reads the head of a response to [get]. The body holds the file from
// offset on, which is have or 0. The file's size is total, or 0 if the server
// does not say.
func answer(resp *http.Response, have int64) (offset, total int64, err error) {
	code := resp.StatusCode
	switch {
	case code == http.StatusOK:
		return 0, max(resp.ContentLength, 0), nil
	case code == http.StatusPartialContent && have > 0:
		field := resp.Header.Get("Content-Range")
		offset, total, ok := parseContentRange(field)
		if !ok || offset != have {
			err := fmt.Errorf("%w: asked for bytes from %d, it sent %.60q", errRange, have, field)
			return 0, 0, &retryError{answered: true, err: err}
		}
		return offset, total, nil
	case code == http.StatusRequestedRangeNotSatisfiable:
		return 0, 0, &retryError{answered: true, err: errRange}
	}
	// The reason phrase is the server's text, and goes to no terminal.
	err = fmt.Errorf("the server answered %d %s", code, http.StatusText(code))
	if code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
		err = &retryError{answered: true, err: err}
	}
	return 0, 0, err
}

// parseContentRange reads "bytes FIRST-LAST/SIZE". A size of "*" is unknown: 0.
func parseContentRange(s string) (first, size int64, ok bool) {
	s, isBytes := strings.CutPrefix(s, "bytes ")
	span, whole, ok1 := strings.Cut(s, "/")
	from, to, ok2 := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if !isBytes || !ok1 || !ok2 || err1 != nil || err2 != nil || last < first {
		return 0, 0, false
	}
	if whole == "*" {
		return first, 0, true
	}
	size, err := strconv.ParseInt(whole, 10, 64)
	return first, size, err == nil && last < size
}
