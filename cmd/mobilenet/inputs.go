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
	"slices"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/vision"
)

// An input is a photo to classify, or why there is none.
type input struct {
	name string
	err  error // does not repeat the name
}

// findPhotos turns arguments into photos: files as they are, folders searched
// through and through but for those called skip, patterns that the shell left alone,
// "-" and URLs. What is not there is found out now, before a model is loaded. unread
// are the images in folders of formats that are not read.
func findPhotos(args []string, skip ...string) (photos []input, unread []unreadFiles) {
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
			s := search{skip: skip, unread: unread}
			s.folder(path)
			photos, unread = append(photos, s.photos...), s.unread
		}
	}
	return photos, unread
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
	return slices.DeleteFunc(paths, hidden)
}

func hidden(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") }

// unreadFiles are images of a format that is not read.
type unreadFiles struct {
	format string
	count  int
	first  string
	err    error // what to do about it
}

func (u unreadFiles) String() string {
	if u.count == 1 {
		return fmt.Sprintf("%s: %v", shown(u.first), u.err)
	}
	return fmt.Sprintf("%s and %d more such files: %v", shown(u.first), u.count-1, u.err)
}

// A search finds the images in a folder and in those below it, by name. Hidden
// files and folders are left out.
type search struct {
	skip   []string
	photos []input
	unread []unreadFiles
}

func (s *search) folder(dir string) {
	before := len(s.photos) + len(s.unread)
	// As an fs.FS, because filepath.WalkDir would not follow a link to dir.
	fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Join(dir, filepath.FromSlash(path))
		switch {
		case err != nil:
			s.photos = append(s.photos, input{name, withoutPath(err)})
		case path != "." && (hidden(path) || d.IsDir() && s.skips(name)):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type()&^fs.ModeSymlink == 0:
			s.file(name)
		}
		return nil
	})
	if len(s.photos)+len(s.unread) == before {
		s.photos = append(s.photos, input{dir, errors.New("no images in this folder")})
	}
}

func (s *search) skips(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && slices.ContainsFunc(s.skip, func(other string) bool {
		if other == "" {
			return false
		}
		out, err := os.Stat(other)
		return err == nil && os.SameFile(info, out)
	})
}

// file takes a file for an image if its name says so, or its content.
func (s *search) file(name string) {
	if vision.IsImage(name) {
		s.photos = append(s.photos, input{name: name})
		return
	}
	head, err := boundedfile.Head(name, vision.HeadSize)
	format, read := vision.Recognise(head)
	switch {
	case err != nil || format == "": // no image
	case read:
		s.photos = append(s.photos, input{name: name})
	default:
		for i, u := range s.unread {
			if u.format == format {
				s.unread[i].count++
				return
			}
		}
		_, err := vision.Decode(context.Background(), head, vision.DecodeOptions{}) // it says what to do
		if f, ok := errors.AsType[*fault.Error](err); ok {
			s.unread = append(s.unread, unreadFiles{format, 1, name, errors.New(f.Reason)})
		}
	}
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
