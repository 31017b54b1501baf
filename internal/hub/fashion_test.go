package hub

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// upstream returns a file of Fashion-MNIST as its authors publish it. Debian's
// holds the same compressed data after another gzip header, without the file's
// name and with the package's time.
func upstream(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile("/usr/share/datasets/fashion-mnist/" + file)
	if err != nil {
		testenv.Skip(t, "fashion-mnist", "dataset-fashion-mnist is not installed")
	}
	made := uint32(1504176627) // 31 August 2017; the parts differ by 21 seconds
	if strings.HasPrefix(file, "train") {
		made -= 21
	}
	const hasName = 8
	head := binary.LittleEndian.AppendUint32([]byte{0x1f, 0x8b, 8, hasName}, made)
	head = append(head, data[8:10]...)
	head = append(head, strings.TrimSuffix(file, ".gz")+"\x00"...)
	return append(head, data[10:]...)
}

func TestFashionMNIST(t *testing.T) {
	files := map[string][]byte{}
	for _, f := range fashionMNIST {
		files["/fashion-mnist/"+f.File] = upstream(t, f.File)
	}
	requests := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if data, ok := files[r.URL.Path]; ok {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		} else {
			http.NotFound(w, r)
		}
	})
	c := s.client(t)
	for range 2 { // the second time all is there
		dir, err := c.FashionMNIST(context.Background())
		if err != nil || dir != filepath.Join(c.Dir, "fashion-mnist") {
			t.Fatal(dir, err)
		}
		if requests != len(files) {
			t.Errorf("%d requests for %d files", requests, len(files))
		}
	}
	for path, want := range files {
		got, err := os.ReadFile(c.Dir + path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: not what the server has: %v", path, err)
		}
	}
}

func TestFashionMNISTFails(t *testing.T) {
	s := serve(t, whole)
	c := s.client(t)
	_, err := c.FashionMNIST(context.Background())
	if wrong, ok := errors.AsType[*HashError](err); !ok || !strings.Contains(wrong.File, "train-images") || strings.Contains(err.Error(), "weights") {
		t.Errorf("error %v, want the wrong content of the first file", err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "fashion-mnist", fashionMNIST[0].File)); err == nil {
		t.Error("the wrong file is in the cache")
	}
	c.Mirror, c.Offline = "", true
	_, err = c.FashionMNIST(context.Background())
	if err == nil || !strings.Contains(err.Error(), "save "+fashionPublisher+"/train-images-idx3-ubyte.gz as "+c.Dir) || strings.Contains(err.Error(), "weights") {
		t.Errorf("error %v, want where the file is and belongs", err)
	}
}
