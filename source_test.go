package mobilenet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/model"
)

// inEveryFormat writes the golden model in every format that is written and returns
// the files' bytes by ending.
func inEveryFormat(t *testing.T) map[string][]byte {
	t.Helper()
	m, err := mobilenet.LoadModel(context.Background(), weights)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range mobilenet.Formats() {
		for _, ending := range f.Endings {
			path := filepath.Join(t.TempDir(), "m"+ending)
			if !f.Written || ending == ".h5" { // which is for keras.applications' networks alone
				continue
			}
			if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if files[ending], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// answer is what a model says to a photo.
func answer(t *testing.T, c *mobilenet.Classifier) []float32 {
	t.Helper()
	logits, err := c.Logits(context.Background(), photos()[:1])
	if err != nil {
		t.Fatal(err)
	}
	return logits[0]
}

// TestContentSaysTheFormat has every format under the name of every other one, and
// under names that say nothing, in a folder, in a file system and from a reader.
func TestContentSaysTheFormat(t *testing.T) {
	ctx := context.Background()
	want := answer(t, open(t))
	files := inEveryFormat(t)
	names := []string{"model", "model.bin", "model.png", "v1.0"}
	for ending := range files {
		names = append(names, "model"+ending, "MODEL"+strings.ToUpper(ending))
	}
	for ending, data := range files {
		same := func(c *mobilenet.Classifier, err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
				return
			}
			for i, v := range answer(t, c) {
				if d := v - want[i]; !(d > -1e-4 && d < 1e-4) { // ONNX has folded norms
					t.Errorf("%s: logit %d is %v, want %v", ending, i, v, want[i])
				}
			}
		}
		m, err := mobilenet.ReadModel(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", ending, err)
			continue
		}
		same(mobilenet.New(m))
		dir := t.TempDir()
		for _, name := range names {
			path := filepath.Join(dir, name)
			write(t, path, data)
			same(mobilenet.Open(ctx, path))
			fsys := fstest.MapFS{"in/" + name: {Data: data}}
			same(mobilenet.Open(ctx, "in/"+name, mobilenet.WithFS(fsys)))
		}
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	// As if it had been there for a while: a fresh file is given time to be complete.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsNoModel gives files of other kinds, under any name: one line says what
// each is, and names the file once.
func TestWhatIsNoModel(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	photo, err := os.ReadFile("testdata/shapes.png")
	if err != nil {
		t.Fatal(err)
	}
	for part, data := range map[string]string{
		"a Git LFS pointer, not a model: fetch": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 14000000\n",
		"a web page, not a model: download":     "<!DOCTYPE html>\n<html>",
		"an image (PNG), not a model":           string(photo),
		"a text file, not a model":              "ant\nbee\ncat\n",
		"an empty file":                         "",
		"a pickle that torch.save did not":      "\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.",
		"not a model of a kind that is read here: .pth, .pt, .safetensors, .pdparams, .keras, .h5, .onnx, .tflite": "\x03\x01\x04\x01\x05\x09",
	} {
		for _, name := range []string{"m", "m.pth", "m.safetensors", "m.onnx"} {
			path := filepath.Join(dir, name)
			write(t, path, []byte(data))
			_, err := mobilenet.Open(ctx, path, mobilenet.WithCache(filepath.Join(dir, "cache")))
			want := part
			if name != "m" && strings.HasPrefix(part, "not a model") {
				want = name + ": " // each format says it in its own words
			}
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), path) != 1 {
				t.Errorf("%s: error %q, want one line with %q and the path once", name, err, want)
			}
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.File != path {
				t.Errorf("%s: error %#v, want a *fault.Error with the path", name, err)
			}
		}
	}
	for name, want := range map[string]error{
		filepath.Join(dir, "absent.onnx"):  fs.ErrNotExist,
		filepath.Join(dir, "absent"):       fs.ErrNotExist,
		"absent":                           fs.ErrNotExist,
		dir:                                errors.ErrUnsupported,
		"checkpoint/testdata/resnet18.pth": errors.ErrUnsupported,
	} {
		if _, err := mobilenet.LoadModel(ctx, name); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want it to be %v", name, err, want)
		}
	}
}

// external is an ONNX file whose tensors lie in another one.
func external(t *testing.T) fstest.MapFS {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, name := range []string{"external13.onnx", "external13.bin"} {
		data, err := os.ReadFile("onnx/testdata/import/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fsys["sub/"+name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

func TestExternalData(t *testing.T) {
	ctx := context.Background()
	fsys := external(t)
	c, err := mobilenet.Open(ctx, "sub/external13.onnx", mobilenet.WithFS(fsys))
	if err != nil {
		t.Fatal(err)
	}
	same, err := mobilenet.Open(ctx, "onnx/testdata/import/external13.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(answer(t, c), answer(t, same)) {
		t.Error("other logits from a file system")
	}
	if _, err := mobilenet.ReadModel(bytes.NewReader(fsys["sub/external13.onnx"].Data)); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("without the other file: %v", err)
	}
	delete(fsys, "sub/external13.bin")
	if _, err := mobilenet.Open(ctx, "sub/external13.onnx", mobilenet.WithFS(fsys)); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "external13.onnx") != 1 {
		t.Errorf("without the other file: %v", err)
	}
}

// TestCache opens models without a cache, with it, and with damaged files in it, and
// then another model at the same path.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	cache, path := filepath.Join(dir, "cache"), filepath.Join(dir, "model")
	use := func(file string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("checkpoint", "testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, data)
	}
	classify := func(opts ...mobilenet.Option) []mobilenet.Prediction {
		t.Helper()
		c, err := mobilenet.Open(context.Background(), path, opts...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Classify(context.Background(), image.NewGray(image.Rect(0, 0, 300, 300)), 5)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	use("zip.pth")
	want := classify()
	if len(packed(t, cache)) != 0 || len(packed(t, os.Getenv("MOBILENET_CACHE"))) != 0 {
		t.Error("a cache that nobody asked for")
	}
	with := mobilenet.WithCache(cache)
	for _, when := range []string{"first", "second"} {
		if diff := cmp.Diff(want, classify(with)); diff != "" {
			t.Errorf("the %s time: %s", when, diff)
		}
	}
	files := packed(t, cache)
	if len(files) != 1 {
		t.Fatalf("packed files %q, want one", files)
	}
	if p := classify(with, mobilenet.WithLabels([]string{"a", "b", "c", "d", "e"})); p[0].Label == want[0].Label {
		t.Errorf("labels of the cache instead of the option's: %v", p[0])
	}
	if err := os.WriteFile(files[0], []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, classify(with)); diff != "" {
		t.Errorf("with damaged packed weights: %s", diff)
	}
	use("huggingface.safetensors")
	if p := classify(with); p[0].Probability == want[0].Probability {
		t.Error("another model gives the same probability: the cache is stale")
	}
	if files := packed(t, cache); len(files) != 2 {
		t.Errorf("packed files %q, want two", files)
	}
}

func packed(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.packed"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A switching file system serves the files of one generation, and those of another
// one from the time on that name is opened for so many times, until it has been for
// so many more.
type switching struct {
	name        string
	from, to    int
	generations [2]fs.FS
}

func (s *switching) Open(name string) (fs.File, error) {
	now := 0
	if s.from <= 0 && s.to > 0 {
		now = 1
	}
	if name == s.name {
		s.from--
		s.to--
	}
	return s.generations[now].Open(name)
}

// TestModelReplacedWhileItIsOpened replaces a model's files by another model's at
// every moment of opening it: the answer is one of the two models', and the cache
// has nothing wrong under either's name.
func TestModelReplacedWhileItIsOpened(t *testing.T) {
	ctx := context.Background()
	old, updated := external(t), rearranged(t)
	for _, test := range []struct {
		file, watch string
		generations [2]fstest.MapFS
	}{
		{"sub/external13.onnx", "sub/external13.onnx", [2]fstest.MapFS{old, updated}},
		{"sub/external13.onnx", "sub/external13.bin", [2]fstest.MapFS{old, updated}},
		{"m", "m", [2]fstest.MapFS{single(t, "zip.pth"), single(t, "huggingface.safetensors")}},
	} {
		var right [2][]float32
		for i, g := range test.generations {
			c, err := mobilenet.Open(ctx, test.file, mobilenet.WithFS(g))
			if err != nil {
				t.Fatal(err)
			}
			right[i] = answer(t, c)
		}
		if slices.Equal(right[0], right[1]) {
			t.Fatal("the two models answer the same")
		}
		for moment := range 8 * 4 {
			from := moment / 4
			to := from + []int{1, 2, 4, 100}[moment%4]
			cache := mobilenet.WithCache(t.TempDir())
			fsys := &switching{test.watch, from, to, [2]fs.FS{test.generations[0], test.generations[1]}}
			c, err := mobilenet.Open(ctx, test.file, mobilenet.WithFS(fsys), cache)
			if err == nil {
				if got := answer(t, c); !slices.Equal(got, right[0]) && !slices.Equal(got, right[1]) {
					t.Errorf("%s, another one from opening %d to %d of %s: the answer of neither model", test.file, from, to, test.watch)
				}
			} else if !strings.Contains(err.Error(), "changed while") {
				t.Error(err)
			}
			for i, g := range test.generations {
				c, err := mobilenet.Open(ctx, test.file, mobilenet.WithFS(g), cache)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(answer(t, c), right[i]) {
					t.Errorf("%s, another one from opening %d to %d of %s: the cache has the wrong weights for model %d", test.file, from, to, test.watch, i)
				}
			}
		}
	}
}

// rearranged is external with two tensors in each other's place in the other file, so
// that one file of either is a third model.
func rearranged(t *testing.T) fstest.MapFS {
	t.Helper()
	fsys := external(t)
	p, err := ir.Parse(fsys["sub/external13.onnx"].Data)
	if err != nil {
		t.Fatal(err)
	}
	tensors := p.Graph.Initializer
	slices.SortFunc(tensors, func(a, b *ir.Tensor) int { return slices.Compare(a.Dims, b.Dims) })
	at := slices.IndexFunc(tensors, func(t *ir.Tensor) bool { return len(t.Dims) == 4 && t.Dims[0] > 1 })
	for !slices.Equal(tensors[at].Dims, tensors[at+1].Dims) {
		at++
	}
	a, b := tensors[at], tensors[at+1]
	a.ExternalData, b.ExternalData = b.ExternalData, a.ExternalData
	model, err := ir.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(fsys["sub/external13.bin"].Data)
	for i := 3; i < len(data); i += 4 { // every float32 gets another exponent
		data[i] ^= 1
	}
	return fstest.MapFS{
		"sub/external13.onnx": {Data: model, ModTime: time.Unix(1, 0)},
		"sub/external13.bin":  {Data: data, ModTime: time.Unix(1, 0)},
	}
}

func single(t *testing.T, file string) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile("checkpoint/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"m": {Data: data}}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range []string{weights, "fashion-mnist", "imagenet1k_v2"} {
		if _, err := mobilenet.Open(ctx, name); !errors.Is(err, context.Canceled) {
			t.Errorf("Open of %s: %v", name, err)
		}
		if _, err := mobilenet.LoadModel(ctx, name); !errors.Is(err, context.Canceled) {
			t.Errorf("LoadModel of %s: %v", name, err)
		}
	}
}

func TestNil(t *testing.T) {
	if _, err := mobilenet.New(nil); err == nil {
		t.Error("New of no model: no error")
	}
	if err := mobilenet.SaveModel(filepath.Join(t.TempDir(), "m.pth"), nil, mobilenet.SaveOptions{}); err == nil {
		t.Error("SaveModel of no model: no error")
	}
	if _, err := mobilenet.Open(context.Background(), weights, nil); err != nil {
		t.Errorf("a nil option: %v", err)
	}
}

func TestSaveModel(t *testing.T) {
	m, err := mobilenet.LoadModel(context.Background(), weights)
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = []string{"ant", "bee", "cat", "dog", "elk"}
	m.Config.Preprocess = model.TFPreprocess(64)
	dir := t.TempDir()
	for _, half := range []bool{false, true} {
		for ending := range inEveryFormat(t) {
			path := filepath.Join(dir, fmt.Sprint("m", half, ending))
			if half && ending == ".keras" { // which has no float16
				continue
			}
			if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{Half: half}); err != nil {
				t.Error(err)
				continue
			}
			got, err := mobilenet.LoadModel(context.Background(), path)
			if err != nil {
				t.Error(err)
				continue
			}
			if diff := cmp.Diff(m.Config, got.Config) + cmp.Diff(m.Labels, got.Labels); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	}
	for name, o := range map[string]mobilenet.SaveOptions{
		"m.gguf":          {},
		"timm.tflite":     {Naming: checkpoint.TIMM},
		"m":               {},
		"timm.onnx":       {Naming: checkpoint.TIMM},
		"keras.pth":       {Naming: "keras"},
		"absent/model.pt": {},
	} {
		path := filepath.Join(dir, name)
		if err := mobilenet.SaveModel(path, m, o); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want it to name the file", name, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file in spite of the error", name)
		}
	}
}

// TestCacheBesideOtherFiles: a file that is not read, because the model's own says all,
// does not keep it out of the cache.
func TestCacheBesideOtherFiles(t *testing.T) {
	m, err := mobilenet.LoadModel(t.Context(), weights)
	if err != nil {
		t.Fatal(err)
	}
	dir, cache := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.json"), []byte(`{"learning_rate": 0.1}`))
	if _, err := mobilenet.Open(t.Context(), path, mobilenet.WithCache(cache)); err != nil {
		t.Fatal(err)
	}
	if files := packed(t, cache); len(files) != 1 {
		t.Errorf("packed files %q, want one", files)
	}
}

// TestFolder: a folder that holds a model is one, and what lies beside the weights is
// part of it.
func TestFolder(t *testing.T) {
	weights, err := os.ReadFile("checkpoint/testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mobilenet.LoadModel(t.Context(), dir); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an empty folder: %v", err)
	}
	write("pytorch_model.bin", string(weights))
	cache := t.TempDir()
	resolution := func() int {
		t.Helper()
		c, err := mobilenet.Open(t.Context(), dir, mobilenet.WithCache(cache))
		if err != nil {
			t.Fatal(err)
		}
		return c.Config().Resolution
	}
	for range 2 { // from the files, and from the cache
		if got := resolution(); got != 224 {
			t.Errorf("resolution %d without a config", got)
		}
	}
	for _, side := range []int{96, 64} {
		write("config.json", fmt.Sprintf(`{"model_type": "mobilenet_v2", "image_size": %d}`, side))
		for range 2 {
			if got := resolution(); got != side {
				t.Errorf("resolution %d, config.json says %d", got, side)
			}
		}
	}
	write("other.pth", string(weights))
	if _, err := mobilenet.LoadModel(t.Context(), dir); err != nil {
		t.Errorf("beside another file: %v", err)
	}
	os.Remove(filepath.Join(dir, "pytorch_model.bin"))
	write("third.pth", string(weights))
	if _, err := mobilenet.LoadModel(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "2 models") {
		t.Errorf("two models: %v", err)
	}
}

// TestPart: a network of a file with several is opened by its name, from the file and
// from the cache, and a # may be part of a file's name.
func TestPart(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	two := filepath.Join(dir, "two#1.pth")
	weights := twoNetworks(t, "checkpoint/testdata/zip.pth")
	if err := os.WriteFile(two, weights, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the cache
		for _, tt := range []struct{ part, want string }{
			{"", "of two networks it is state_dict_ema, the moving average; FILE#state_dict is the other one"},
			{"#state_dict", "left out: another network, state_dict_ema"},
			{"#state_dict_ema", "left out: another network, state_dict"},
		} {
			c, err := mobilenet.Open(t.Context(), two+tt.part, mobilenet.WithCache(cache))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Notes(); len(got) == 0 || got[len(got)-1] != tt.want {
				t.Errorf("%q: notes %q, want %q", tt.part, got, tt.want)
			}
		}
	}
	if files := packed(t, cache); len(files) != 3 {
		t.Errorf("packed files %q, want three", files)
	}
	onnx := filepath.Join(dir, "a.onnx")
	m, err := mobilenet.LoadModel(t.Context(), two)
	if err != nil {
		t.Fatal(err)
	}
	if err := mobilenet.SaveModel(onnx, m, mobilenet.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := mobilenet.LoadModel(t.Context(), onnx+"#x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a part of an ONNX file: %v", err)
	}
}

// twoNetworks is a safetensors file of a checkpoint's network, and of one with other weights.
func twoNetworks(t *testing.T, path string) []byte {
	t.Helper()
	m, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	header, data := map[string]any{}, []byte{}
	for i, root := range []string{"state_dict.", "state_dict_ema."} {
		for name, tensor := range m.Dict {
			begin := len(data)
			for _, v := range tensor.Data {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v*float32(1+i)))
			}
			header[root+name] = map[string]any{"dtype": "F32", "shape": tensor.Shape, "data_offsets": []int{begin, len(data)}}
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}
