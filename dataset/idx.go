package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The files of the MNIST family.
const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// fashion are the classes of Fashion-MNIST (arXiv 1708.07747).
var fashion = []string{
	"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
}

// maxIDX bounds what a compressed file may unpack to: 1 GiB.
const maxIDX = 1 << 30

func findIDX(dir, name string) string {
	for _, n := range []string{name, name + ".gz", strings.Replace(name, "-idx", ".idx", 1)} {
		if path := filepath.Join(dir, n); exists(path) {
			return path
		}
	}
	return ""
}

func hasIDX(dir string) bool { return findIDX(dir, trainImages) != "" }

// openMNIST opens a folder of the four files. Its name tells Fashion-MNIST, whose
// classes have names, from the others.
func openMNIST(dir string) (train, test *Set, err error) {
	var classes []string
	if abs, err := filepath.Abs(dir); err == nil && strings.Contains(strings.ToLower(abs), "fashion") {
		classes = fashion
	}
	if train, err = openIDX(dir, trainImages, trainLabels, classes); err != nil {
		return nil, nil, err
	}
	if findIDX(dir, testImages) == "" {
		return train, nil, nil
	}
	test, err = openIDX(dir, testImages, testLabels, train.Classes)
	return train, test, err
}

func openIDX(dir, images, labels string, classes []string) (*Set, error) {
	pixels, size, err := readIDX(dir, images, 3)
	if err != nil {
		return nil, err
	}
	names, count, err := readIDX(dir, labels, 1)
	if err != nil {
		return nil, err
	}
	if size[0] != count[0] {
		return nil, fmt.Errorf("%s: %d images and %d labels", dir, size[0], count[0])
	}
	if size[0] == 0 {
		return nil, fmt.Errorf("%s: %s has no images", dir, images)
	}
	top := 0
	for _, l := range names {
		top = max(top, int(l))
	}
	if classes == nil {
		for l := range max(10, top+1) {
			classes = append(classes, fmt.Sprint(l))
		}
	}
	if top >= len(classes) {
		return nil, fmt.Errorf("%s: label %d of %d classes", dir, top, len(classes))
	}
	s := &Set{Classes: classes}
	each := size[1] * size[2]
	for i, l := range names {
		s.Items = append(s.Items, Item{
			Name: fmt.Sprintf("%s image %d", images, i), Label: int(l),
			gray: pixels[i*each:][:each:each], w: size[2], h: size[1],
		})
	}
	return s, nil
}

// readIDX reads a file of bytes with so many dimensions.
func readIDX(dir, name string, dims int) (data []byte, size []int, err error) {
	path := findIDX(dir, name)
	if path == "" {
		return nil, nil, fmt.Errorf("%s: %s is missing", dir, name)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if data, size, err = parseIDX(raw, dims); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, size, nil
}

// parseIDX parses the format described at yann.lecun.com/exdb/mnist: two zeros,
// the type (8 for bytes), the number of dimensions, each as 4 bytes with the
// highest first, and the data. It may be compressed with gzip.
func parseIDX(raw []byte, dims int) (data []byte, size []int, err error) {
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, nil, err
		}
		if raw, err = io.ReadAll(io.LimitReader(z, maxIDX+1)); err != nil {
			return nil, nil, err
		}
		if len(raw) > maxIDX {
			return nil, nil, fmt.Errorf("more than %d bytes", maxIDX)
		}
	}
	head := 4 + 4*dims
	if len(raw) < head || raw[0] != 0 || raw[1] != 0 {
		return nil, nil, fmt.Errorf("not an IDX file")
	}
	if raw[2] != 8 || int(raw[3]) != dims {
		return nil, nil, fmt.Errorf("type %#x with %d dimensions: want bytes (0x8) with %d", raw[2], raw[3], dims)
	}
	total := uint64(1)
	for d := range dims {
		n := binary.BigEndian.Uint32(raw[4+4*d:])
		size = append(size, int(n))
		if total *= uint64(n); total > maxIDX {
			return nil, nil, fmt.Errorf("dimensions %v are too large", size)
		}
	}
	if uint64(len(raw)-head) != total {
		return nil, nil, fmt.Errorf("%d bytes for dimensions %v", len(raw)-head, size)
	}
	return raw[head:], size, nil
}
