package vision

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// Extensions are those that files of the formats that [Decode] reads usually
// have, in lower case.
var Extensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pam"}

// IsImage reports whether a file's name is that of an image, hidden files not
// counted. What the file is, [RecogniseFile] says.
func IsImage(name string) bool {
	name = filepath.Base(name)
	return !strings.HasPrefix(name, ".") && slices.Contains(Extensions, strings.ToLower(filepath.Ext(name)))
}

// MaxFile is how many bytes of an image file are read: 1 GiB. A TIFF of 100
// megapixels with 16 bits a sample has 600 MB.
const MaxFile = 1 << 30

// DecodeFile decodes the image file at path as [Decode] does. Errors name the
// file; devices and files of more than [MaxFile] bytes are refused.
func DecodeFile(ctx context.Context, path string, o DecodeOptions) (*Image, error) {
	data, err := boundedfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	img, err := Decode(ctx, data, o)
	return img, fault.In(path, err)
}
