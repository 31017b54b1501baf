package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/vision"
)

// An input is a photo to classify, or why there is none.
type input struct {
	name string
	err  error // does not repeat the name
}

// checkInputs refuses arguments for photos that can't be met.
func checkInputs(cmd *cobra.Command, offline bool, args []string) error {
	stdin := slices.Index(args, "-")
	switch {
	case stdin >= 0 && slices.Contains(args[stdin+1:], "-"):
		return usagef(cmd, "standard input can be read only once")
	case offline && slices.ContainsFunc(args, isURL):
		return usagef(cmd, "--offline: %s is not on this machine", args[slices.IndexFunc(args, isURL)])
	}
	return nil
}

// findPhotos turns arguments into photos: files as they are, folders searched
// through and through, patterns that the shell left alone, "-" and URLs. What is not
// there is found out now, before a model is loaded. skipped are the images in
// folders of formats that are not read. What lies in the folders out, which results
// go to, is left out.
func findPhotos(args []string, out ...string) (photos []input, skipped []dataset.Skipped) {
	f := finder{out: out}
	photos = slices.Collect(f.photos(args))
	return photos, f.skipped
}

// A finder finds photos as they are asked for.
type finder struct {
	out     []string
	skipped []dataset.Skipped // so far
}

func (f *finder) photos(args []string) iter.Seq[input] {
	return func(yield func(input) bool) {
		for _, arg := range args {
			if !f.argument(arg, yield) {
				return
			}
		}
	}
}

// argument yields the photos of one argument. It reports whether the loop goes on.
func (f *finder) argument(arg string, yield func(input) bool) bool {
	if arg == "-" || isURL(arg) {
		return yield(input{name: arg})
	}
	paths := []string{arg}
	if _, err := os.Stat(arg); err != nil {
		if paths = visible(arg); len(paths) == 0 {
			return yield(input{arg, otherScheme(arg, withoutPath(err))})
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		goesOn := true
		if err != nil || !info.IsDir() {
			goesOn = yield(input{name: path})
		} else {
			goesOn = f.folder(path, yield)
		}
		if !goesOn {
			return false
		}
	}
	return true
}

// visible lists what a pattern matches, as a shell does: hidden files only if it
// asks for them.
func visible(pattern string) []string {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil // it is no pattern, and no file
	}
	if strings.HasPrefix(filepath.Base(pattern), ".") {
		return paths
	}
	return slices.DeleteFunc(paths, func(path string) bool { return dataset.Hidden(filepath.Base(path)) })
}

// folder yields the images in a folder and in those below it, and then the folders
// that can't be read. It reports whether the loop goes on.
func (f *finder) folder(dir string, yield func(input) bool) bool {
	var w dataset.Walk
	found := 0
	for path := range w.Images(dir) {
		if slices.ContainsFunc(f.out, func(o string) bool { return below(dir, o) && below(o, path) }) {
			continue
		}
		if found++; !yield(input{name: path}) {
			return false
		}
	}
	f.skipped = append(f.skipped, w.Skipped...)
	if several, ok := w.Err().(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			name := dir
			if e, ok := errors.AsType[*fs.PathError](err); ok {
				name = e.Path
			}
			if found++; !yield(input{name, withoutPath(err)}) {
				return false
			}
		}
	}
	if found+len(w.Skipped) == 0 {
		return yield(input{dir, errNoImages})
	}
	return true
}

var errNoImages = errors.New("no images in this folder")

// below reports whether path is in dir or in a folder in it, by their names.
func below(dir, path string) bool {
	dir, err1 := filepath.Abs(dir)
	path, err2 := filepath.Abs(path)
	rel, err3 := filepath.Rel(dir, path)
	return cmp.Or(err1, err2, err3) == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// isURL reports whether a name is that of a photo on a web server. Schemes are the same in
// upper case (RFC 3986, 3.1).
func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// otherScheme adds to why there is no file that its name is a URL of a kind that is not read.
func otherScheme(name string, cause error) error {
	scheme := manifest.Scheme(name)
	if scheme == "" || !strings.HasPrefix(name, scheme+"://") || !errors.Is(cause, fs.ErrNotExist) { // a folder may have that name
		return cause
	}
	if bucketSchemes[strings.ToLower(scheme)] {
		return fmt.Errorf("%w; mobilenet-spark reads %s://", cause, strings.ToLower(scheme))
	}
	return fmt.Errorf("%w; of URLs those of http and https are read, and not of %s", cause, scheme)
}

// bucketSchemes are those that mobilenet-spark reads besides.
var bucketSchemes = map[string]bool{"s3": true, "s3a": true, "s3n": true, "gs": true, "azblob": true, "file": true}

// maxDownload bounds the bytes of a photo from a web server.
const maxDownload = 64 << 20

// readPhoto returns the bytes of a photo. The error does not repeat the name.
func readPhoto(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	if isURL(name) {
		return download(ctx, name)
	}
	// Reading from a terminal, or a pipe that nobody writes to, may never end.
	return abandoned(ctx, func() ([]byte, error) {
		if name == "-" {
			return readBounded(stdin, vision.MaxFile)
		}
		data, err := boundedfile.Read(name, vision.MaxFile)
		return data, withoutPath(err)
	})
}

// abandoned returns what f does, unless ctx is done first. f is then left to itself.
func abandoned(ctx context.Context, f func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := f()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than the limit of %d MiB", limit>>20)
	}
	return data, nil
}

// downloadTimeout is for the whole photo: also one of a server that accepts and never answers.
var downloadTimeout = time.Minute // less in a test

// download returns what is at a URL. http.Client follows at most 10 redirects.
func download(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, withoutPath(err)
	}
	client := http.Client{Timeout: downloadTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return nil, inTime(withoutPath(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	body := &counter{r: resp.Body}
	data, err := readBounded(body, maxDownload)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && resp.ContentLength > 0:
		return nil, fmt.Errorf("the answer ended after %d of %d bytes", body.n, resp.ContentLength)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("the answer ended after %d bytes, and not as it should", body.n)
	}
	return data, inTime(err)
}

// inTime says how long a server had that was too slow.
func inTime(err error) error {
	_, dialled := errors.AsType[*net.OpError](err) // which has bounds, and words, of its own
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() && !dialled {
		return fmt.Errorf("the server has not sent the photo in %v", downloadTimeout)
	}
	return err
}

// A counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// withoutPath drops the path or URL that os and net/http put in their errors: the
// report begins with it.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
