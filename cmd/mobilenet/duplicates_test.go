package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestDefaultThreshold finds the copies of photos that Pillow made, with the weights and
// the threshold that docs/duplicates.md has figures of: no photo is taken for a copy of
// another, and of each of these kinds at least the share that it had of all 160 photos,
// less what 16 of them may differ by.
func TestDefaultThreshold(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	weights := testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth")
	photos := testenv.Shared(t, "images/nips17")
	python := testenv.SystemPython(t, "PIL")
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), python, "../../bench/duplicates/photos.py", photos, dir, "--limit", "16").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var found map[string][]string
	if err := json.Unmarshal(ran(t, "duplicates", "--model", weights, "-f", "imagededup", dir), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 16*31 {
		t.Errorf("%d files", len(found))
	}
	copies := map[string]int{}
	for name, others := range found {
		photo, change, _ := strings.Cut(name, "--")
		for _, other := range others {
			if stem, _, _ := strings.Cut(other, "--"); stem != photo {
				t.Errorf("%s was taken for %s", name, other)
			} else if strings.HasSuffix(other, "--original.png") {
				copies[change]++
			}
		}
	}
	for change, least := range map[string]int{
		"resize_0.5.jpg": 14, "jpeg_30.jpg": 15, "jpeg_70.jpg": 16, "mirror_1.jpg": 15, "grey_0.5.jpg": 14, "light_0.7.jpg": 15,
		"turn_2.jpg": 16, "crop_0.9.jpg": 14, "crop_0.8.jpg": 9, "cast_1.1.jpg": 15, "caption_0.1.jpg": 14, "frame_0.05.jpg": 11,
	} {
		if copies[change] < least {
			t.Errorf("%s: %d of 16 found, want %d", change, copies[change], least)
		}
	}
}

// TestBetweenOverlap: parts that have a photo in common are an error before anything is
// compared: val/ would be emptied.
func TestBetweenOverlap(t *testing.T) {
	dir := t.TempDir()
	val := filepath.Join(dir, "data", "val")
	if err := os.MkdirAll(val, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(val, "a.jpg"), filepath.Join(dir, "data", "b.jpg")} {
		if err := os.WriteFile(path, []byte(path), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Dir(val)
	parts := [][2]string{{data, val}, {val, data}, {val, val}, {val, val + "/../val"}}
	if link := filepath.Join(dir, "link"); os.Symlink(val, link) == nil {
		parts = append(parts, [2]string{val, link})
	}
	for _, p := range parts {
		f := duplicatesFlags{between: true}
		if _, err := f.find(p[:]); err == nil || !strings.Contains(err.Error(), "overlap") || !strings.Contains(err.Error(), "a.jpg") {
			t.Errorf("%q: %v", p, err)
		}
	}
	f := duplicatesFlags{between: true}
	if _, err := f.find([]string{filepath.Join(data, "b.jpg"), val}); err != nil {
		t.Error(err)
	}
}

// TestMoveOntoItself: photos can't be moved into what they are searched for in, but into
// a folder inside of it.
func TestMoveOntoItself(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	if err := os.Mkdir(photos, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{photos, photos + "/", photos + "/../photos", dir} {
		f := duplicatesFlags{move: to}
		if err := f.outside([]string{photos}); err == nil || !strings.Contains(err.Error(), "searched") {
			t.Errorf("%s: %v", to, err)
		}
	}
	for _, to := range []string{filepath.Join(photos, "doubles"), filepath.Join(dir, "photos2"), ""} {
		f := duplicatesFlags{move: to}
		if err := f.outside([]string{photos}); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk: where results or the log can't be written, nothing is moved or linked.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	dir := t.TempDir()
	data, err := os.ReadFile("../../testdata/ankle-boot.png")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a.png", "b.png"}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, names[0])
	for _, c := range []struct {
		out  io.Writer
		args []string
		want string
	}{
		{full, []string{"--move", filepath.Join(t.TempDir(), "out")}, "no space left"},
		{full, []string{"--link", "--log", filepath.Join(t.TempDir(), "l")}, "no space left"},
		{io.Discard, []string{"--move", filepath.Join(t.TempDir(), "out"), "--log", "/dev/full"}, "no space left"},
		{io.Discard, []string{"--link", "--log", "/dev/full"}, "no space left"},
		{io.Discard, []string{"--link", "--log", filepath.Join(file, "l")}, "not a directory"},
		{io.Discard, []string{"--move", filepath.Join(file, "out")}, "not a directory"},
		{io.Discard, []string{"--html", filepath.Join(dir, "none", "page.html")}, "--html"},
	} {
		said, err := mobilenetCommand(t.Context(), t, c.out, append([]string{"duplicates", "--model", "fashion-mnist", dir}, c.args...)...)
		if err == nil || !strings.Contains(said+err.Error(), c.want) {
			t.Errorf("%v: %v, %s; want %q", c.args, err, said, c.want)
		}
		a, err1 := os.Stat(filepath.Join(dir, names[0]))
		b, err2 := os.Stat(filepath.Join(dir, names[1]))
		if err1 != nil || err2 != nil || os.SameFile(a, b) {
			t.Fatalf("%v: %v, %v, or they are one file", c.args, err1, err2)
		}
	}
}
