package checkpoint

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// filesIn reads the files in a folder, by name. What is no file is "folder".
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if files[e.Name()] = string(text); err != nil {
			files[e.Name()] = "folder"
		}
	}
	return files
}

// paper is a network that timm and transformers have configs for.
func paper(t *testing.T) *model.Model {
	t.Helper()
	c := model.Default()
	c.Width, c.Classes, c.NoStemResidual = 0.35, 2, true
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSaveFolderReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	for naming, want := range map[Naming][]string{
		HuggingFace: {"config.json", "model.safetensors", "notes.txt", "preprocessor_config.json"},
		TIMM:        {"config.json", "model.safetensors", "notes.txt"}, // no processor of another model's
	} {
		for _, name := range append([]string{"notes.txt", weightsName}, Sidecars...) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := SaveFolder(dir, paper(t), SaveOptions{Naming: naming}); err != nil {
			t.Fatal(err)
		}
		files := filesIn(t, dir)
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) || files["notes.txt"] != "old" || files["config.json"] == "old" {
			t.Errorf("%s: %v", naming, got)
		}
	}
}

// A write that fails, as on a full disk, leaves a new folder unmade and an old one as it was.
func TestSaveFolderFails(t *testing.T) {
	full := func(to string) error {
		if err := os.WriteFile(filepath.Join(to, "config.json"), []byte("new"), 0o666); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: filepath.Join(to, weightsName), Err: syscall.ENOSPC}
	}
	top := t.TempDir()
	fresh := filepath.Join(top, "a", "b")
	err := writeFolder(fresh, full)
	if want := "write " + filepath.Join(fresh, weightsName) + ": " + syscall.ENOSPC.Error(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if left := filesIn(t, top); len(left) > 0 {
		t.Errorf("left: %v", left)
	}

	old := map[string]string{"config.json": "old config", weightsName: "old weights"}
	for name, text := range old {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFolder(top, full); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if left := filesIn(t, top); !maps.Equal(left, old) {
		t.Errorf("left: %v", left)
	}
	// One that can't be replaced, found out when others are.
	old["preprocessor_config.json"] = "folder"
	if err := os.Mkdir(filepath.Join(top, "preprocessor_config.json"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := SaveFolder(top, paper(t), SaveOptions{}); !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
	if left := filesIn(t, top); !maps.Equal(left, old) {
		t.Errorf("left: %v", left)
	}
}
