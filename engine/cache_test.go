package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

func TestPackedFile(t *testing.T) {
	m := random(t, small())
	m.Labels = []string{"cat", "dog"}
	e := compile(t, m, 2)
	path := filepath.Join(t.TempDir(), "packed")
	if err := e.SavePacked(path, "key", m); err != nil {
		t.Fatal(err)
	}
	loaded, head, err := LoadPacked(path, "key", Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !head.Config.Equal(m.Config) || !slices.Equal(head.Labels, m.Labels) {
		t.Errorf("%+v and %q came back", head.Config, head.Labels)
	}
	in := Input{Data: pixels(48 * 40 * 3), N: 1, H: 48, W: 40}
	if !slices.Equal(outputs(t, loaded, in).Logits, outputs(t, e, in).Logits) {
		t.Error("the packed file gives other logits")
	}
	if _, _, err := LoadPacked(path, "other", Options{}); err == nil {
		t.Error("no error for another key")
	}
	if _, _, err := LoadPacked(filepath.Dir(path), "key", Options{}); err == nil {
		t.Error("no error for a folder")
	}
}

// TestDamagedPackedFile flips each of many bytes, and cuts the file off.
func TestDamagedPackedFile(t *testing.T) {
	m := random(t, small())
	path := filepath.Join(t.TempDir(), "packed")
	if err := compile(t, m, 1).SavePacked(path, "key", m); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	load := func(data []byte) error {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadPacked(path, "key", Options{Threads: 1})
		return err
	}
	for at := 0; at < len(good); at += 1 + len(good)/97 {
		bad := slices.Clone(good)
		bad[at] ^= 4
		if load(bad) == nil {
			t.Errorf("no error with byte %d changed", at)
		}
		if load(good[:at]) == nil {
			t.Errorf("no error for the first %d bytes", at)
		}
	}
	if load(append(slices.Clone(good), good...)) == nil {
		t.Error("no error for the file twice over")
	}
	if err := load(good); err != nil {
		t.Error(err)
	}
}

func BenchmarkLoadPacked(b *testing.B) {
	m := random(b, model.Default())
	path := filepath.Join(b.TempDir(), "packed")
	if err := compile(b, m, 2).SavePacked(path, "key", m); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := LoadPacked(path, "key", Options{Threads: 2}); err != nil {
			b.Fatal(err)
		}
	}
}
