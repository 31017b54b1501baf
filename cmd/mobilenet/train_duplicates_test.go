package main

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/vision"
)

// TestDryRunNearly: a photo to validate with that is one of train's, saved anew, is
// named by the dry run; one of the same bytes is named as that, and not again.
func TestDryRunNearly(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i, photo := range []string{"ankle-boot.png", "shapes.png"} {
		path := filepath.Join("../../testdata", photo)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := vision.DecodeFile(t.Context(), path, vision.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := jpeg.Encode(&again, img, &jpeg.Options{Quality: 95}); err != nil {
			t.Fatal(err)
		}
		class := []string{"boot", "shapes"}[i]
		write("train/"+class+"/1.png", data)
		write("train/"+class+"/2.png", data)
		if i == 0 {
			write("val/"+class+"/again.jpg", again.Bytes())
		} else {
			write("val/"+class+"/same.png", data)
		}
	}
	var out bytes.Buffer
	said, err := mobilenetCommand(t.Context(), t, &out, "train", "--data", dir, "--model", "fashion-mnist", "--dry-run", "--batch", "2")
	if err != nil {
		t.Fatal(err, said)
	}
	text := out.String()
	if !strings.Contains(text, "1 of the 2 photos to validate with are nearly the same") || !strings.Contains(text, filepath.Join("boot", "again.jpg")) {
		t.Error(text)
	}
	if strings.Contains(text, "same.png") || !strings.Contains(said, "same.png") {
		t.Errorf("same.png:\n%s\n%s", said, text)
	}
}
