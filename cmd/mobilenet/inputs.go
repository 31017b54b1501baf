package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// extensions are those of the files that a folder is searched for.
var extensions = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// findPhotos turns arguments into the names of photos: files as they are,
// folders searched through and through, patterns that the shell left alone, "-"
// and URLs. An argument that stands for nothing keeps its place, so that reading
// it reports why.
func findPhotos(args []string) ([]string, error) {
	var photos []string
	for _, arg := range args {
		found := []string{arg}
		switch info, err := os.Stat(arg); {
		case arg == "-" || isURL(arg):
		case err == nil && info.IsDir():
			if found, err = searchFolder(arg); err != nil {
				return nil, err
			}
		case err != nil && strings.ContainsAny(arg, "*?["):
			if matches, err := filepath.Glob(arg); err == nil && len(matches) > 0 {
				found = matches
			}
		}
		photos = append(photos, found...)
	}
	return photos, nil
}

// searchFolder lists the images in a folder and the folders in it, by name.
func searchFolder(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
			found = append(found, path)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: no images in this folder (%s)", dir, strings.Join(extensions, " "))
	}
	return found, err
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// maxPhoto bounds the bytes of a photo; no camera's JPEG comes close.
const maxPhoto = 256 << 20

// readPhoto returns the bytes of a photo. The error does not name it.
func readPhoto(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	switch {
	case name == "-":
		return readBounded(stdin)
	case isURL(name):
		return fetch(ctx, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	// A pipe or a device would block or never end.
	info, err := f.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if info.Mode()&(os.ModeDevice|os.ModeSocket|os.ModeIrregular) != 0 {
		return nil, errors.New("not a file")
	}
	return readBounded(f)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPhoto+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(data) > maxPhoto {
		return nil, fmt.Errorf("more than the limit of %d MB", maxPhoto>>20)
	}
	return data, nil
}

// fetchTimeout is for the whole photo.
const fetchTimeout = 60 * time.Second

func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return readBounded(resp.Body)
}

// withoutPath drops the path that os puts in its errors: the report names it.
func withoutPath(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
