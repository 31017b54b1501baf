package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A photoError says why a photo, or a folder of them, can't be read.
type photoError struct {
	name string
	err  error // does not repeat the name
}

// findPhotos turns arguments into the names of photos: files as they are,
// folders searched through and through, patterns that the shell left alone, "-"
// and URLs. What is not there is found out now, before a model is loaded.
func findPhotos(args []string) (names []string, failures []photoError) {
	for _, arg := range args {
		if arg == "-" || isURL(arg) {
			names = append(names, arg)
			continue
		}
		paths := []string{arg}
		if _, err := os.Stat(arg); err != nil {
			if paths, _ = filepath.Glob(arg); len(paths) == 0 {
				failures = append(failures, photoError{arg, withoutPath(err)})
			}
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				names = append(names, path)
				continue
			}
			found, failed := searchFolder(path)
			names, failures = append(names, found...), append(failures, failed...)
		}
	}
	return names, failures
}

// searchFolder lists the images in a folder and in those below it, by name.
func searchFolder(dir string) (names []string, failures []photoError) {
	// As an fs.FS, because filepath.WalkDir would not follow a link to dir.
	fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Join(dir, filepath.FromSlash(path))
		switch {
		case err != nil:
			failures = append(failures, photoError{name, withoutPath(err)})
		case d.Type()&(fs.ModeDir|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) == 0 && vision.IsImage(path):
			names = append(names, name)
		}
		return nil
	})
	if len(names)+len(failures) == 0 {
		failures = []photoError{{dir, errors.New("no images in this folder")}}
	}
	return names, failures
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
