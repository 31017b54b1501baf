package dataset

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// TestCrop: a crop has the pixels of the image's, in files and in files of many.
func TestCrop(t *testing.T) {
	p := model.Preprocess{Resize: 40, Interpolation: model.Bilinear}
	for _, dir := range []string{"testdata/flowers", "testdata/fashion"} {
		s, _, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(3, len(s.Items)) {
			whole, err := s.Image(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Crop(t.Context(), i, p, 32, 36)
			if err != nil {
				t.Fatal(err)
			}
			if want := vision.CropTo(whole, p, 32, 36); got.W != 36 || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("%s: other pixels than CropTo's", s.Items[i].Name)
			}
		}
	}
	s, _, err := Open(tree(t, map[string]string{"a/1.png": "no image", "b/1.png": ""}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Crop(t.Context(), 0, p, 32, 32); err == nil || !strings.Contains(err.Error(), "1.png") {
		t.Errorf("error %v, want one that names the file", err)
	}
}
