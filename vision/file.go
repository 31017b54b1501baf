package vision

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// Extensions are those of the formats that [Decode] reads, in lower case.
var Extensions = []string{".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// IsImage reports whether a file is an image by its name, hidden files not
// counted.
func IsImage(name string) bool {
	name = filepath.Base(name)
	return !strings.HasPrefix(name, ".") && slices.Contains(Extensions, strings.ToLower(filepath.Ext(name)))
}

// MaxFile is how many bytes of an image file are read: 1 GiB. A TIFF of 100
// megapixels with 16 bits a sample has 600 MB.
const MaxFile = 1 << 30

// DecodeFile decodes the image file at path as [Decode] does. Errors name the
// file; devices and files of more than [MaxFile] bytes are refused.
func DecodeFile(path string, o DecodeOptions) (*Image, error) {
	data, err := boundedfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	img, err := Decode(data, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}
