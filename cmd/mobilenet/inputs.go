package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// An input is a photo to classify, or why there is none.
type input struct {
	name string
	err  error // does not repeat the name
}

// findPhotos turns arguments into photos: files as they are, folders searched
// through and through, patterns that the shell left alone, "-" and URLs. What is not
// there is found out now, before a model is loaded. skipped are the images in
// folders of formats that are not read. What lies in the folders out, which results
// go to, is left out.
func findPhotos(args []string, out ...string) (photos []input, skipped []dataset.Skipped) {
	for _, arg := range args {
		if arg == "-" || isURL(arg) {
			photos = append(photos, input{name: arg})
			continue
		}
		paths := []string{arg}
		if _, err := os.Stat(arg); err != nil {
			if paths = visible(arg); len(paths) == 0 {
				photos = append(photos, input{arg, withoutPath(err)})
			}
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				photos = append(photos, input{name: path})
				continue
			}
			found, others := searchFolder(path, out)
			photos, skipped = append(photos, found...), append(skipped, others...)
		}
	}
	return photos, skipped
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

// searchFolder lists the images in a folder and in those below it.
func searchFolder(dir string, out []string) (photos []input, skipped []dataset.Skipped) {
	paths, skipped, err := dataset.Images(dir)
	for _, path := range paths {
		if !slices.ContainsFunc(out, func(o string) bool { return below(dir, o) && below(o, path) }) {
			photos = append(photos, input{name: path})
		}
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			name := dir
			if e, ok := errors.AsType[*fs.PathError](err); ok {
				name = e.Path
			}
			photos = append(photos, input{name, withoutPath(err)})
		}
	}
	if len(photos)+len(skipped) == 0 {
		photos = []input{{dir, errors.New("no images in this folder")}}
	}
	return photos, skipped
}

// below reports whether path is in dir or in a folder in it, by their names.
func below(dir, path string) bool {
	dir, err1 := filepath.Abs(dir)
	path, err2 := filepath.Abs(path)
	rel, err3 := filepath.Rel(dir, path)
	return cmp.Or(err1, err2, err3) == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

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

// downloadTimeout is for the whole photo.
const downloadTimeout = time.Minute

// download returns what is at a URL. http.Client follows at most 10 redirects.
func download(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, withoutPath(err)
	}
	client := http.Client{Timeout: downloadTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	return readBounded(resp.Body, maxDownload)
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
