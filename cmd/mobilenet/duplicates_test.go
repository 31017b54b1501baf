package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
