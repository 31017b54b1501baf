package checkpoint

import (
	"archive/zip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
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
			found, _, err := leaves(p.value, load)
			if err != nil {
				return
			}
			if _, err := (&contents{leaves: found, what: describe(p.value)}).model(len(data)); err == nil {
				t.Error("a model without storages")
			}
		})
	})
}

// tiny is a network of one block and one channel, whose files are small enough to
// be fuzzed quickly.
func tiny(t testing.TB) *model.Model {
	t.Helper()
	c := model.Default()
	c.Classes, c.RoundTo, c.FirstChannels, c.LastChannels = 1, 1, 1, 1
	c.Table = []model.Stage{{T: 2, C: 1, N: 1, S: 1}}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// FuzzParse checks whole files of all formats. What is accepted must be a model
// that can be saved and comes back the same. The committed corpus has tiny as
// torch saves it: in its older format, and in half precision.
func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	for _, names := range Namings() {
		for _, name := range []string{"tiny.pth", "tiny.safetensors"} {
			path := filepath.Join(dir, name)
			if err := Save(path, tiny(f), SaveOptions{Naming: names}); err != nil {
				f.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			f.Add(zipped(f, zip.Store, "a", string(data)))
			f.Add(tarred(f, "a", string(data)))
		}
	}
	for _, name := range []string{"whole.pth", "whole_user.pth", "pruned.pth", "quantised.pth", "torchvision_int8_channels.pth", "paddle.pdparams"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	m := small(f)
	for _, name := range []string{"seed.keras", "seed.safetensors"} {
		path := filepath.Join(dir, name)
		if err := Save(path, m, SaveOptions{}); err != nil {
			f.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			m, err := Parse(data)
			if err != nil {
				return
			}
			for _, name := range []string{"again.pth", "again.safetensors"} {
				path := filepath.Join(dir, name)
				if err := Save(path, m, SaveOptions{}); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Parse(data)
				if err != nil {
					t.Fatal(err)
				}
				sameBits(t, again, m)
			}
		})
	})
}

// sameBits fails unless all tensors are the same to the bit. Counters are
// integers in a file, which not every float32 is.
func sameBits(t *testing.T, got, want *model.Model) {
	t.Helper()
	for _, s := range want.Config.Network().Specs() {
		bits := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
		if !s.Counter && !slices.EqualFunc(got.Dict[s.Name].Data, want.Dict[s.Name].Data, bits) {
			t.Errorf("%s: %v, want %v", s.Name, got.Dict[s.Name].Data, want.Dict[s.Name].Data)
		}
	}
}

// FuzzKerasConfig checks that no config makes the reader panic or take memory out of
// proportion, and that what it makes of a model is valid.
func FuzzKerasConfig(f *testing.F) {
	layer := func(class, config string) string {
		return `{"class_name":"` + class + `","config":{"name":"` + class + `",` + config + `},"inbound_nodes":[["a",0,0,{"y":127.5}]]}`
	}
	for _, layers := range []string{
		layer("InputLayer", `"batch_shape":[null,64,64,3]`) + "," + layer("Rescaling", `"scale":0.1,"offset":-1`) + "," +
			layer("Conv2D", `"kernel_size":[3,3],"strides":2,"padding":"same"`) + "," + layer("BatchNormalization", `"epsilon":0.001`),
		layer("TFOpLambda", `"function":"math.truediv"`) + "," + layer("ZeroPadding2D", `"padding":[[0,1],[0,1]]`) + "," +
			layer("DepthwiseConv2D", `"kernel_size":[3,3]`) + "," + layer("GlobalAveragePooling2D", `"x":1`) + "," + layer("Dense", `"activation":"sigmoid"`),
		`{"class_name":"Sequential","config":{"name":"s","layers":[` + layer("Resizing", `"height":64,"width":64`) + `]}}`,
	} {
		f.Add(`{"class_name":"Functional","config":{"name":"m","layers":[` + layers + `]}}`)
	}
	m := small(f)
	f.Fuzz(func(t *testing.T, text string) {
		bounded(t, len(text), func() {
			k, err := parseKerasConfig(text)
			if err != nil {
				return
			}
			k.nameLayers(nil)
			c := *m
			if err := k.finish(&c); err == nil && c.Config.Validate() != nil {
				t.Errorf("an invalid config: %v", c.Config.Validate())
			}
		})
	})
}

// FuzzCode reads calls off the text of TorchScript's classes.
func FuzzCode(f *testing.F) {
	f.Add("class Conv2d(Module):\n    input = torch._convolution(x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 144, False)\n", "Conv2d")
	f.Add("class BatchNorm2d(Module):\n    input = torch.batch_norm(x, w, b, m, v, False, 0.1, 1.0e-05, True)\nclass B(Module):\n", "BatchNorm2d")
	f.Add("class Hardtanh(Module):\n    return torch.hardtanh_(x, 0., 6.)\n", "Hardtanh")
	f.Fuzz(func(t *testing.T, text, class string) {
		m := module{class: class, says: map[string]any{}, code: classText(text, class)}
		m.readCalls()
		for key := range m.says {
			if m.code == "" {
				t.Errorf("%s of no code", key)
			}
		}
	})
}
