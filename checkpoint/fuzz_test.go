package checkpoint

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// bounded fails if do allocates more than a parser of so many bytes may: a few
// hundred bytes of values for each byte of input, and the buffers of a zip
// reader.
func bounded(t *testing.T, size int, do func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(1000*size+8<<20); got > limit {
		t.Errorf("%d bytes allocated for %d of input", got, size)
	}
}

// FuzzUnpickle checks that no pickle makes the reader panic or take memory out
// of proportion.
func FuzzUnpickle(f *testing.F) {
	for _, name := range []string{"zip.pth", "training.pth", "module.pth", "resnet18.pth"} {
		z, err := zip.OpenReader(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range z.File {
			if filepath.Base(e.Name) == "data.pkl" {
				r, err := e.Open()
				if err != nil {
					f.Fatal(err)
				}
				data, err := io.ReadAll(r)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(data[:min(len(data), 4096)])
				f.Add(data)
			}
		}
		z.Close()
	}
	f.Add([]byte("\x80\x02]q\x00(K\x01K\x02e\x8a\x08\x01\x02\x03\x04\x05\x06\x07\x88h\x00\x86."))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			p, err := unpickle(data, 0)
			if err != nil {
				return
			}
			if p.size > len(data) {
				t.Errorf("read %d of %d bytes", p.size, len(data))
			}
			load := func(s storage) ([]byte, error) { return nil, errors.New("no storages here") }
			if _, err := stateDict(p.value, len(data), load); err == nil {
				t.Error("a state dict without storages")
			}
		})
	})
}

// FuzzParse checks whole files of all formats. What is accepted must be a model
// that can be saved and comes back the same.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"legacy.pth", "timm.safetensors", "resnet18.pth"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:2000])
	}
	f.Add([]byte("\x40\x00\x00\x00\x00\x00\x00\x00" + `{"features.0.0.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			m, err := Parse(data)
			if err != nil {
				return
			}
			path := filepath.Join(dir, "again.safetensors")
			if err := Save(path, m, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			again, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if !again.Config.Equal(m.Config) {
				t.Errorf("config %+v, want %+v", again.Config, m.Config)
			}
		})
	})
}
