package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/internal/hub"
)

// modelEndings lists the usual endings of the files that a model is read from, for
// help texts.
func modelEndings() string {
	var endings []string
	for _, f := range mobilenet.Formats() {
		endings = append(endings, f.Endings...)
	}
	return strings.Join(endings, ", ")
}

// writtenEndings lists those that are written.
func writtenEndings() string {
	var endings []string
	for _, f := range mobilenet.Formats() {
		if f.Written {
			endings = append(endings, f.Endings...)
		}
	}
	return strings.Join(endings, ", ")
}

// namings lists what tensors can be called; --names hf is short for huggingface.
func namings() []string {
	var names []string
	for _, n := range checkpoint.Namings() {
		names = append(names, string(n))
	}
	return names
}

// sayNotes says what was found in a model's file, or left out of it.
func sayNotes(stderr io.Writer, model string, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(stderr, "mobilenet: %s: %s\n", printable(model), note)
	}
}

// writable reports whether the ending of a file's name says how to write a model.
func writable(path string) bool {
	return mobilenet.IsFolder(path) || slices.ContainsFunc(mobilenet.Formats(), func(f mobilenet.Format) bool {
		return f.Written && slices.Contains(f.Endings, strings.ToLower(filepath.Ext(path)))
	})
}

// sameFile reports whether two names stand for one file that is there. That of a model may
// have the name of a network in the file behind it, with a #.
func sameFile(a, b string) bool {
	stat := func(name string) (os.FileInfo, error) {
		info, err := os.Stat(name)
		if at := strings.LastIndexByte(name, '#'); err != nil && at > 0 {
			return os.Stat(name[:at])
		}
		return info, err
	}
	first, errA := stat(a)
	second, errB := stat(b)
	return errA == nil && errB == nil && os.SameFile(first, second)
}

// samePath reports whether two names are or would be of one file.
func samePath(a, b string) bool {
	if sameFile(a, b) {
		return true
	}
	first, errA := filepath.Abs(a)
	second, errB := filepath.Abs(b)
	return errA == nil && errB == nil && first == second
}

// folderIsThere returns an error if the folder of a file to write isn't there.
func folderIsThere(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return err
}

// cacheWeights has a process that opens a model leave its packed weights, in the
// cache folder, to the next one.
func cacheWeights() mobilenet.Option {
	client, err := hub.FromEnv()
	if err != nil {
		return nil // no cache folder: said where it is needed, for published weights
	}
	return mobilenet.WithCache(filepath.Join(client.Dir, "packed"))
}
