package dataset

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
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

// fashionLabels is the SHA-256 of Fashion-MNIST's 60,000 labels for training.
const fashionLabels = "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"

const (
	maxIDX  = 1 << 30 // bytes of data in a file; the largest of the family, EMNIST's, has 547 MB
	maxSide = 4096    // pixels
)

func findIDX(dir, name string) string {
	for _, n := range []string{name, name + ".gz", strings.Replace(name, "-idx", ".idx", 1)} {
		if path := filepath.Join(dir, n); exists(path) {
			return path
		}
	}
	return ""
}

func hasIDX(dir string) bool {
	return findIDX(dir, trainImages) != "" || findIDX(dir, testImages) != ""
}

// openMNIST opens a folder of the four files. Fashion-MNIST, whose classes have
// names, is told by its labels, or a part of it by the folder's name.
func openMNIST(dir string) (train, test *Set, err error) {
	var classes []string
	if abs, err := filepath.Abs(dir); err == nil && strings.Contains(strings.ToLower(filepath.Base(abs)), "fashion") {
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

// surveyIDX says which parts there are. The test part is what there is to validate
// with; without the other its classes are numbers.
func surveyIDX(dir string) *layout {
	both := sync.OnceValues(func() ([2]*Set, error) {
		train, test, err := openMNIST(dir)
		return [2]*Set{train, test}, err
	})
	l := &layout{path: dir, divided: true}
	if findIDX(dir, testImages) != "" {
		l.val = &source{name: testImages, path: dir, open: func(bool) (*Set, error) {
			if l.train == nil {
				return openIDX(dir, testImages, testLabels, nil)
			}
			s, err := both()
			return s[1], err
		}}
	}
	if findIDX(dir, trainImages) != "" {
		l.train = &source{name: trainImages, path: dir, open: func(bool) (*Set, error) {
			s, err := both()
			return s[0], err
		}}
	}
	return l
}

// CheckFashionMNIST returns an error unless dir has all the files of Fashion-MNIST.
func CheckFashionMNIST(dir string) error {
	train, test, err := openMNIST(dir)
	if err != nil {
		return err
	}
	if test == nil {
		return fmt.Errorf("%s: %s is missing", dir, testImages)
	}
	if !slices.Equal(train.Classes, fashion) {
		return fmt.Errorf("%s: the labels are not Fashion-MNIST's", dir)
	}
	return nil
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
		return nil, fault.In(dir, fault.Brokenf("%d images and %d labels", size[0], count[0]))
	}
	if size[0] == 0 {
		return nil, fault.In(dir, fault.Brokenf("%s has no images", images))
	}
	top := 0
	for _, l := range names {
		top = max(top, int(l))
	}
	if hash := sha256.Sum256(names); hex.EncodeToString(hash[:]) == fashionLabels {
		classes = fashion
	}
	if classes == nil {
		for l := range max(10, top+1) {
			classes = append(classes, fmt.Sprint(l))
		}
	}
	if top >= len(classes) {
		return nil, fault.In(dir, fault.Brokenf("label %d of %d classes", top, len(classes)))
	}
	s := &Set{Classes: classes, form: inIDX}
	each := size[1] * size[2]
	grays := make([]gray, size[0])
	for i, l := range names {
		grays[i] = gray{pixels[i*each:][:each:each], size[2], size[1]}
		s.Items = append(s.Items, Item{Name: fmt.Sprintf("%s image %d", images, i), Label: int(l), gray: &grays[i]})
	}
	return s, nil
}

// A gray is an image of an IDX file.
type gray struct {
	pix  []byte
	w, h int
}

func (g *gray) image() *vision.Image {
	img := vision.NewImage(g.w, g.h)
	for p, v := range g.pix {
		img.Pix[3*p], img.Pix[3*p+1], img.Pix[3*p+2] = v, v, v
	}
	return img
}

// readIDX reads a file of bytes with so many dimensions.
func readIDX(dir, name string, dims int) (data []byte, size []int, err error) {
	path := findIDX(dir, name)
	if path == "" {
		return nil, nil, fmt.Errorf("%s: %s is missing", dir, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if data, size, err = parseIDX(f, dims); err != nil {
		return nil, nil, fault.In(path, err)
	}
	return data, size, nil
}

// parseIDX parses the format described at yann.lecun.com/exdb/mnist: two zeros,
// the type (8 for bytes), the number of dimensions, each as 4 bytes with the
// highest first, and the data. It may be compressed with gzip.
func parseIDX(f io.Reader, dims int) (data []byte, size []int, err error) {
	b := bufio.NewReader(f)
	f = b
	if magic, _ := b.Peek(2); string(magic) == "\x1f\x8b" {
		if f, err = gzip.NewReader(b); err != nil {
			return nil, nil, err
		}
	}
	head := make([]byte, 4+4*dims)
	if _, err := io.ReadFull(f, head); err != nil || head[0] != 0 || head[1] != 0 {
		return nil, nil, fault.Brokenf("not an IDX file")
	}
	if head[2] != 8 || int(head[3]) != dims {
		return nil, nil, fault.Unsupportedf("type %#x with %d dimensions: want bytes (0x8) with %d", head[2], head[3], dims)
	}
	total := uint64(1)
	for d := range dims {
		n := binary.BigEndian.Uint32(head[4+4*d:])
		if d > 0 && (n == 0 || n > maxSide) {
			return nil, nil, fault.Unsupportedf("images of %d pixels along dimension %d: want 1 to %d", n, d, maxSide)
		}
		if total *= uint64(n); total > maxIDX {
			return nil, nil, fault.TooLargef("more than %d bytes of data", maxIDX)
		}
		size = append(size, int(n))
	}
	// One byte more than there should be, to see that there isn't.
	if data, err = io.ReadAll(io.LimitReader(f, int64(total)+1)); err != nil {
		return nil, nil, err
	}
	switch n := uint64(len(data)); {
	case n < total:
		return nil, nil, fault.Brokenf("cut short: %d bytes for dimensions %v", n, size)
	case n > total:
		return nil, nil, fault.Brokenf("more than the %d bytes of dimensions %v", total, size)
	}
	return data, size, nil
}
