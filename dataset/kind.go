package dataset

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/vision"
)

// otherExtensions are those of images beside vision.Extensions, read or not: a name
// that ends so is meant for an image's.
var otherExtensions = []string{
	".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".ico", ".svg", ".psd", ".tga", ".exr",
	".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
}

// plainExtensions are those of files that lie beside images by the thousand, as
// boxes do, and need not be opened to see that they are none.
var plainExtensions = []string{".txt", ".json", ".xml", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml", ".py", ".npy"}

// looksLikeImage goes by the end of a name, formats included that are not read.
func looksLikeImage(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return slices.Contains(vision.Extensions, ext) || slices.Contains(otherExtensions, ext)
}

// kindOf looks into a file whose name doesn't say that it is an image. It returns
// what it is, if that is known, and whether it is read.
func kindOf(path string) (kind string, read bool) {
	if slices.Contains(plainExtensions, strings.ToLower(filepath.Ext(path))) {
		return "", false
	}
	kind, read, err := vision.RecogniseFile(path)
	if err != nil { // a link to nowhere, a pipe
		return "", false
	}
	return kind, read
}
