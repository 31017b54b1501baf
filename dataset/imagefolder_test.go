package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// imageFolder reads folders, one a line, with torchvision and writes the classes and
// the images of each.
const imageFolder = `
import json, sys
from torchvision.datasets import ImageFolder
for line in sys.stdin:
    s = ImageFolder(line.strip())
    print(json.dumps({"classes": s.classes, "samples": s.samples}))`

// TestImageFolder compares folders of many shapes with torchvision's ImageFolder:
// the classes, the images and the order of both.
func TestImageFolder(t *testing.T) {
	python := testenv.SystemPython(t, "torchvision")
	root := t.TempDir()
	names := rapid.SampledFrom(strings.Fields("0 1 2 9 10 11 100 02 a b B Z z ant Ant ant-1 ant_1 ant.1 ämter café 猫 n01440764 x" + "\u00a0" + "y Ω"))
	files := rapid.SampledFrom(strings.Fields("1.jpg 2.JPG 10.png a.jpeg b.BMP c.webp d.tif e.tiff x.txt y.json z.csv p.ppm q.PGM noending"))
	var dirs []string
	rapid.Check(t, func(t *rapid.T) {
		if len(dirs) == 40 { // torchvision is not fast
			return
		}
		dir := filepath.Join(root, fmt.Sprint(len(dirs)))
		put := func(folder string) {
			for _, f := range append(rapid.SliceOfN(files, 0, 4).Draw(t, "files"), "first.png") {
				path := filepath.Join(dir, folder, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, class := range rapid.SliceOfNDistinct(names, 2, 12, rapid.ID).Draw(t, "classes") {
			put(class)
			for _, inner := range rapid.SliceOfN(names, 0, 2).Draw(t, "folders in it") {
				put(class + "/" + inner)
				if rapid.Bool().Draw(t, "deeper") {
					put(class + "/" + inner + "/deep")
				}
			}
			if rapid.Bool().Draw(t, "link") {
				os.Symlink("../linked", filepath.Join(dir, class, "link")) // to another folder for each
				os.MkdirAll(filepath.Join(dir, class, "..", "linked"), 0o755)
			}
		}
		if exists(filepath.Join(dir, "linked")) {
			put("linked")
		}
		dirs = append(dirs, dir)
	})
	cmd := exec.Command(python, "-c", imageFolder)
	cmd.Stdin = strings.NewReader(strings.Join(dirs, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(out)))
	if len(lines) != len(dirs) {
		t.Fatalf("%d answers for %d folders", len(lines), len(dirs))
	}
	for i, dir := range dirs {
		var want struct {
			Classes []string
			Samples [][2]any
		}
		if err := json.Unmarshal([]byte(lines[i]), &want); err != nil {
			t.Fatal(err)
		}
		var samples []string
		for _, s := range want.Samples {
			samples = append(samples, fmt.Sprint(s[0], " ", s[1]))
		}
		s, _, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, it := range s.Items {
			ours = append(ours, fmt.Sprint(it.Name, " ", it.Label))
		}
		if d := cmp.Diff(want.Classes, s.Classes) + cmp.Diff(samples, ours); d != "" {
			t.Fatalf("-torchvision +ours:\n%s", d)
		}
	}
}
