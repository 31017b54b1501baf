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
	if !strings.Contains(text, "1 of the 2 photos to validate with is nearly the same") || !strings.Contains(text, filepath.Join("boot", "again.jpg")) {
		t.Error(text)
	}
	if strings.Contains(text, "same.png") || !strings.Contains(said, "same.png") {
		t.Errorf("same.png:\n%s\n%s", said, text)
	}
}

// TestTestOverlap: photos to test with that are trained with are named by the dry run
// and by the run, whose card says how many they are.
func TestTestOverlap(t *testing.T) {
	dir := t.TempDir()
	for class, photo := range map[string]string{"boot": "ankle-boot.png", "shapes": "shapes.png"} {
		data, err := os.ReadFile(filepath.Join("../../testdata", photo))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"data/train/%/1.png", "data/train/%/2.png", "data/val/%/1.png", "test/%/copy.png"} {
			path := filepath.Join(dir, strings.Replace(name, "%", class, 1))
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := filepath.Join(dir, "run")
	args := []string{"train", "--data", filepath.Join(dir, "data"), "--test", filepath.Join(dir, "test"), "--model", "none", "--width", "0.1",
		"--resolution", "32", "--batch", "2", "--epochs", "1", "--run-dir", run}
	for _, more := range [][]string{{"--dry-run"}, nil} {
		var out bytes.Buffer
		said, err := mobilenetCommand(t.Context(), t, &out, append(args, more...)...)
		if err != nil || !strings.Contains(said, "2 of the 2 photos to test with are trained or validated with, too") || !strings.Contains(said, "copy.png") {
			t.Errorf("%v: error %v:\n%s", more, err, said)
		}
	}
	card, err := os.ReadFile(filepath.Join(run, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 of the 2 photos to validate with are trained with, too", "2 of the 2 test photos are trained or validated with, too"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
}
