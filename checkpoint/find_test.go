package checkpoint

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// small is the network that golden.py saves in many ways.
func small(t testing.TB) *model.Model {
	t.Helper()
	m, err := Open("testdata/small.pth")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWhatPeopleSave opens what torch writes of one network beside its state dict:
// whole modules and TorchScript. golden.py makes the files.
func TestWhatPeopleSave(t *testing.T) {
	want := small(t)
	for file, note := range map[string]string{
		"whole.pth":        "",
		"whole_legacy.pth": "",
		"whole_user.pth":   "the network is net.backbone; its classifier is head.1; what the forward of Net does besides calling modules is not in the file",
		"script.pt":        "",
		"traced.pt":        "",
		"tonylins.pth":     "",
		"d-li14.pth":       "",
		"openmmlab.pth":    "",
	} {
		m, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Error(err)
			continue
		}
		sameWeights(t, m.Dict, want.Dict, 0)
		if got := found(m); got != note {
			t.Errorf("%s: notes %q, want %q", file, got, note)
		}
	}
}

// TestPruned compares with what torch makes of a pruned module.
func TestPruned(t *testing.T) {
	m, err := Open("testdata/pruned.pth")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/pruned_want.pth")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseTorch(data, false)
	if err != nil {
		t.Fatal(err)
	}
	zeros := 0
	for _, l := range want.leaves {
		w, err := l.read()
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Dict[l.name]; !slices.Equal(got.Data, w.Data) {
			t.Errorf("%s: %v, want %v", l.name, got.Data, w.Data)
		}
		zeros += len(w.Data) - len(slices.DeleteFunc(w.Data, func(v float32) bool { return v == 0 }))
	}
	if zeros == 0 || !strings.Contains(found(m), "pruned") {
		t.Errorf("%d zeros, notes %q", zeros, m.Notes)
	}
}

// TestDynamic has what torch's quantize_dynamic makes of the classifier: bytes, which come
// as the numbers that they stand for, within half a step.
func TestDynamic(t *testing.T) {
	m, err := Open("testdata/quantised.pth")
	if err != nil {
		t.Fatal(err)
	}
	if !m.Dequantized {
		t.Error("not said to be dequantised")
	}
	want := small(t).Dict
	weights := want["classifier.1.weight"].Data
	step := 2 * slices.Max(weights) / 255
	for i, v := range m.Dict["classifier.1.weight"].Data {
		if d := math.Abs(float64(v - weights[i])); !(d < float64(step)) {
			t.Errorf("weight %d is %v, want %v", i, v, weights[i])
		}
	}
	m.Dict["classifier.1.weight"] = want["classifier.1.weight"]
	sameWeights(t, m.Dict, want, 0)
}

// saved is a state dict as a .safetensors file.
func saved(t testing.TB, dict model.StateDict) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dict.safetensors")
	if err := WriteTensors(path, dict, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// renamed is dict with another name for each tensor, "" for none.
func renamed(dict model.StateDict, to func(name string) string) model.StateDict {
	out := model.StateDict{}
	for name, t := range dict {
		if name := to(name); name != "" {
			out[name] = t
		}
	}
	return out
}

func filled(v float32, shape ...int) model.Tensor {
	t := model.Tensor{Shape: shape, Data: make([]float32, elements(shape))}
	for i := range t.Data {
		t.Data[i] = v
	}
	return t
}

// TestSameNetworkUnderOtherNames has the network as a part of something else, and
// things beside it that are no part of a network.
func TestSameNetworkUnderOtherNames(t *testing.T) {
	dict := small(t).Dict
	prefixed := func(prefix string) model.StateDict {
		return renamed(dict, func(name string) string { return prefix + name })
	}
	with := func(dict model.StateDict, more model.StateDict) model.StateDict {
		out := maps.Clone(dict)
		maps.Copy(out, more)
		return out
	}
	classifier := func(to string) func(string) string {
		return func(name string) string { return strings.Replace(name, "classifier.1", to, 1) }
	}
	convolution := dict["classifier.1.weight"]
	convolution.Shape = append(slices.Clone(convolution.Shape), 1, 1)
	for note, dict := range map[string]model.StateDict{
		"":                          dict,
		"the network is net":        prefixed("net."),
		"the network is a.module.b": prefixed("a.module.b."),
		"the network is model; left out: criterion.weight": with(prefixed("model."), model.StateDict{"criterion.weight": filled(1, 3)}),
		"the network is m; left out: a, b, c and 2 more":   with(prefixed("m."), model.StateDict{"a": filled(1), "b": filled(1), "c": filled(1), "d": filled(1), "e.weight": filled(1, 9, 9)}),
		"the network is module":                            with(prefixed("module."), model.StateDict{"n_averaged": filled(7)}),
		"its classifier is fc":                             renamed(dict, classifier("fc")),
		"its classifier is classifier":                     renamed(dict, classifier("classifier")),
		"its classifier is classifier.1.1":                 renamed(dict, classifier("classifier.1.1")),
		"the network is 0; its classifier is 1":            renamed(prefixed("0."), classifier0),
		"its classifier is head": with(renamed(dict, func(name string) string {
			return strings.Replace(strings.Replace(name, "classifier.1.weight", "", 1), "classifier.1", "head", 1)
		}), model.StateDict{"head.weight": convolution}),
		"the network is x; left out: classifier.2.total, step": with(prefixed("x."), model.StateDict{"classifier.2.total": filled(1, 2), "step": filled(1), "features.0.0.total_ops": filled(1, 1)}),
	} {
		m, err := Parse(saved(t, dict))
		if err != nil {
			t.Errorf("%s: %v", note, err)
			continue
		}
		sameWeights(t, m.Dict, small(t).Dict, 0)
		if got := found(m); got != note {
			t.Errorf("notes %q, want %q", got, note)
		}
	}
	noBias := maps.Clone(dict)
	delete(noBias, "classifier.1.bias")
	m, err := Parse(saved(t, noBias))
	if err != nil {
		t.Fatal(err)
	}
	if b := m.Dict["classifier.1.bias"]; !slices.Equal(b.Data, make([]float32, 3)) || m.Notes[0] != "classifier.1 has no bias" {
		t.Errorf("without a bias: %v, %q", b, m.Notes)
	}
}

// classifier0 moves the classifier of prefix "0." beside the features.
func classifier0(name string) string { return strings.Replace(name, "0.classifier.1", "1", 1) }

// TestOtherNetworks has what is nearly, or more than, a MobileNetV2 that is run here:
// each is an error that says what it is, and none runs as something else.
func TestOtherNetworks(t *testing.T) {
	dict := small(t).Dict
	with := func(more model.StateDict) model.StateDict {
		out := maps.Clone(dict)
		maps.Copy(out, more)
		return out
	}
	prefixed := func(prefix string) model.StateDict {
		return renamed(dict, func(name string) string { return prefix + name })
	}
	second := prefixed("0.")
	second["1.weight"] = filled(1, 2, 3)
	for want, dict := range map[string]model.StateDict{
		"a classifier of two linear layers, classifier.1.weight [3 16] and 1.weight [2 3]: what is between":              second,
		"a classifier of two linear layers, classifier.1.weight [3 16] and classifier.2.weight [5 3]: what is between":   with(model.StateDict{"classifier.2.weight": filled(1, 5, 3)}),
		"a classifier of more than linear layers: classifier.1.weight [3 16] and classifier.0.bias [16]":                 with(model.StateDict{"classifier.0.weight": filled(1, 16), "classifier.0.bias": filled(1, 16)}),
		"two matrices are behind the features, classifier.1.weight [3 16] and head.weight [2 16]: which one classifies?": with(model.StateDict{"head.weight": filled(1, 2, 16)}),
		"1 unexpected (features.1.attention.weight)":                                                                     with(model.StateDict{"features.1.attention.weight": filled(1, 1)}),
		"net: state dict does not fit the network: 1 missing (features.0.1.weight)": renamed(prefixed("net."), func(name string) string {
			return strings.Replace(name, "net.features.0.1.weight", "", 1)
		}),
		"two networks fit, a and b: say which behind the name of the file, as FILE#a": func() model.StateDict {
			out := prefixed("a.")
			maps.Copy(out, prefixed("b."))
			return out
		}(),
	} {
		_, err := Parse(saved(t, dict))
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			t.Errorf("%s: the error is a %T", want, err)
		}
	}
}

// TestHeads has other things than one linear layer behind the features.
func TestHeads(t *testing.T) {
	dict := renamed(small(t).Dict, func(name string) string {
		if strings.HasPrefix(name, "classifier") {
			return ""
		}
		return name
	})
	bare := renamed(dict, func(name string) string { return strings.TrimPrefix(name, "features.") })
	with := func(more model.StateDict) model.StateDict {
		out := maps.Clone(dict)
		maps.Copy(out, more)
		return out
	}
	for _, test := range []struct {
		dict    model.StateDict
		classes int
		head    model.Head
		note    string
	}{
		{dict, 0, model.Head{}, "it has no classifier, and gives embeddings"},
		{bare, 0, model.Head{}, "it has no classifier, and gives embeddings"},
		{with(model.StateDict{"classifier.1.weight": filled(1, 1, 16), "classifier.1.bias": filled(1, 1)}), 1, model.Head{Sigmoid: true},
			"it has one output, which is taken for a logit: its sigmoid is the probability of the second of two classes"},
		{with(model.StateDict{"classifier.1.weight": filled(1, 7, 16), "classifier.4.weight": filled(1, 5, 7), "classifier.4.bias": filled(1, 5)}), 5, model.Head{Hidden: []int{7}},
			"classifier.1 has no bias; its classifier is classifier.1, classifier.4; between them ReLU is assumed"},
		{with(model.StateDict{"fc1.weight": filled(1, 16, 16), "fc1.bias": filled(1, 16), "fc2.weight": filled(1, 4, 16), "fc2.bias": filled(1, 4)}), 4, model.Head{Hidden: []int{16}}, "two matrices"},
		{with(model.StateDict{"head.0.weight": filled(1, 16, 16), "head.0.bias": filled(1, 16), "head.3.weight": filled(1, 4, 16), "head.3.bias": filled(1, 4)}), 4, model.Head{Hidden: []int{16}},
			"its classifier is head.0, head.3; between them ReLU is assumed"},
		{with(model.StateDict{"fc1.weight": filled(1, 9, 16), "fc1.bias": filled(1, 9), "fc2.weight": filled(1, 8, 9), "fc2.bias": filled(1, 8), "fc3.weight": filled(1, 2, 8), "fc3.bias": filled(1, 2)}), 2, model.Head{Hidden: []int{9, 8}},
			"its classifier is fc1, fc2, fc3; between them ReLU is assumed"},
	} {
		m, err := Parse(saved(t, test.dict))
		if err != nil {
			if !strings.Contains(err.Error(), test.note) {
				t.Errorf("%s: %v", test.note, err)
			}
			continue
		}
		if got := found(m); got != test.note || m.Config.Classes != test.classes || !m.Config.Equal(config(m.Config, test.head)) {
			t.Errorf("%d classes, head %+v, notes %q; want %d, %+v, %q", m.Config.Classes, m.Config.Head, got, test.classes, test.head, test.note)
		}
		for _, naming := range Namings() {
			path := filepath.Join(t.TempDir(), "m.pth")
			if err := Save(path, m, SaveOptions{Naming: naming}); err != nil {
				t.Fatal(err)
			}
			again, err := Open(path)
			if err != nil {
				t.Errorf("%s as %s: %v", test.note, naming, err)
				continue
			}
			sameWeights(t, again.Dict, m.Dict, 0)
			if again.Notes != nil { // our file says what its head is
				t.Errorf("%s as %s: notes %q", test.note, naming, again.Notes)
			}
			if !again.Config.Equal(m.Config) {
				t.Errorf("%s as %s: config %+v", test.note, naming, again.Config)
			}
		}
	}
}

// config is c with a head.
func config(c model.Config, h model.Head) model.Config {
	c.Head = h
	return c
}

// found joins the notes, but that on the table, which is of two stages in small.
func found(m *model.Model) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(m.Notes), func(note string) bool { return strings.HasPrefix(note, "its table") }), "; ")
}

// TestStridesAreAssumed: shapes don't show strides, and a table of other stages than the
// paper's has them from nobody.
func TestStridesAreAssumed(t *testing.T) {
	if m, err := Parse(saved(t, small(t).Dict)); err != nil || !slices.Contains(m.Notes, "its table is not the paper's; strides assumed: 1 2 (a whole module or ONNX says them)") {
		t.Errorf("%v, %v", m, err)
	}
	for _, width := range []float64{0.35, 0.9} { // the latter's channels are its own, its stages the paper's
		c := model.Default()
		c.Width, c.Classes = width, 3
		m, err := model.New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(saved(t, m.Dict))
		if err != nil || found(got) != strings.Join(got.Notes, "; ") {
			t.Errorf("width %v: %v, notes %q", width, err, got.Notes)
		}
		if !got.Assumed.Head {
			t.Errorf("width %v: a softmax is not said to be assumed", width)
		}
	}
}

// TestKerasHeadFault: what weights don't fit is told by the layer.
func TestKerasHeadFault(t *testing.T) {
	op := func(class string) kerasOp { return kerasOp{class: class, name: strings.ToLower(class) + "_1"} }
	for want, ops := range map[string][]kerasOp{
		"layer flatten_1: a Flatten of the features, which MobileNetV2 pools":                              {op("Conv2D"), op("Flatten"), op("Dense")},
		"layer batchnormalization_1: a head with a BatchNormalization: linear layers and Dropout are read": {op("GlobalAveragePooling2D"), op("BatchNormalization"), op("Dense")},
		"<nil>": {op("GlobalAveragePooling2D"), op("Flatten"), op("Dense")},
	} {
		k := &kerasModel{ops: ops}
		if err := k.headFault(); fmt.Sprint(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestFrozen: TorchScript that was frozen has no parameters.
func TestFrozen(t *testing.T) {
	pkl := "\x80\x02c__torch__.torchvision.models.mobilenetv2\nMobileNetV2\n)\x81}X\x08\x00\x00\x00training\x89sb."
	_, err := Parse(archiveOf(t, zip.Store, map[string]string{"data.pkl": pkl}))
	if err == nil || !strings.Contains(err.Error(), "as torch.jit.freeze makes it") || !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// TestOneOfTwoNetworks: where one of two state dicts fits, or both are the same memory,
// there is no doubt.
func TestOneOfTwoNetworks(t *testing.T) {
	dict := small(t).Dict
	out := renamed(dict, func(name string) string { return "student." + name })
	maps.Copy(out, renamed(dict, func(name string) string {
		if strings.Contains(name, "features.1.conv") { // a teacher of another kind
			return ""
		}
		return "teacher." + name
	}))
	m, err := Parse(saved(t, out))
	if err != nil {
		t.Fatal(err)
	}
	if want := "the network is student; left out: another network, teacher"; found(m) != want {
		t.Errorf("notes %q, want %q", m.Notes, want)
	}
	data, err := os.ReadFile("testdata/small.pth")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseTorch(data, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range slices.Clone(f.leaves) {
		l.name, l.scope = "ema."+l.name, "ema."
		f.leaves = append(f.leaves, l)
	}
	if _, err := f.model(len(data)); err != nil {
		t.Errorf("the same tensors twice: %v", err)
	}
}

// TestPartOfTwoNetworks: the moving average is taken of two networks, and any by its name.
func TestPartOfTwoNetworks(t *testing.T) {
	dict := small(t).Dict
	two := func(first, second string) []byte { // the second with another bias
		out := renamed(dict, func(name string) string { return first + "." + name })
		other := renamed(dict, func(name string) string { return second + "." + name })
		bias := second + ".classifier.1.bias"
		other[bias] = filled(7, other[bias].Shape...)
		maps.Copy(out, other)
		return saved(t, out)
	}
	average := "of two networks it is %s, the moving average; FILE#%s is the other one"
	for _, tt := range []struct {
		first, second, part string
		bias                bool // of the second
		want                string
	}{
		{"state_dict", "state_dict_ema", "", true, fmt.Sprintf(average, "state_dict_ema", "state_dict")},
		{"ema.module", "model", "", false, fmt.Sprintf(average, "ema.module", "model")},
		{"state_dict", "state_dict_ema", "state_dict", false, "left out: another network, state_dict_ema"},
		{"model", "model_ema.module", "model_ema", true, "left out: another network, model"},
		{"student", "teacher", "teacher", true, "left out: another network, student"},
		{"student", "teacher", "", false, "two networks fit, student and teacher: say which behind the name of the file, as FILE#student"},
		{"cinema", "teacher", "", false, "two networks fit, cinema and teacher: say which behind the name of the file, as FILE#cinema"},
		{"student", "teacher", "teach", false, "no network teach in it; there is student, teacher"},
	} {
		m, err := ParsePart(two(tt.first, tt.second), tt.part)
		if err != nil {
			if err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			continue
		}
		if got := found(m); !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s of %s and %s: notes %q, want %q", tt.part, tt.first, tt.second, got, tt.want)
		}
		if (m.Dict["classifier.1.bias"].Data[0] == 7) != tt.bias {
			t.Errorf("%s of %s and %s: the other network", tt.part, tt.first, tt.second)
		}
	}
}

// zipped is a zip archive of files: a name, a content, a name, ...
func zipped(t testing.TB, method uint16, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tarred is a tar archive of files, as for zipped.
func tarred(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestArchives has a checkpoint that somebody forgot to unpack.
func TestArchives(t *testing.T) {
	inner, err := os.ReadFile("testdata/small.pth")
	if err != nil {
		t.Fatal(err)
	}
	pth, long := string(inner), strings.Repeat("a/very/long/name/", 20)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"zip":                  {zipped(t, zip.Store, "run/", "", "run/README", "hello", "run/base.pth", pth), ""},
		"zip, compressed":      {zipped(t, zip.Deflate, "base.pth", pth), ""},
		"zip of safetensors":   {zipped(t, zip.Deflate, "m.safetensors", string(saved(t, small(t).Dict))), ""},
		"tar":                  {tarred(t, "README", "hello", long+"base.pth", pth, "empty", ""), ""},
		"two":                  {zipped(t, zip.Store, "a.pth", pth, "b.pth", pth), "a zip archive of several checkpoints, a.pth and b.pth: unpack"},
		"two in a tar":         {tarred(t, "a.pth", pth, "b.pth", pth), "a tar archive of several checkpoints, a.pth and b.pth: unpack"},
		"none":                 {zipped(t, zip.Store, "config.json", "{}", "vocab.txt", "x"), "without a checkpoint in it: config.json, vocab.txt"},
		"none in a tar":        {tarred(t, "README", "hello"), "without a checkpoint in it: README"},
		"an archive within":    {zipped(t, zip.Store, "a.zip", string(zipped(t, zip.Store, "b.pth", pth))), "an archive in an archive: unpack it"},
		"cut":                  {tarred(t, "base.pth", pth)[:5000], "at byte 5000: tar archive: unexpected EOF"},
		"a name for terminals": {zipped(t, zip.Store, "\x1b[31m", ""), `"\x1b[31m"`},
	} {
		m, err := Parse(test.data)
		switch {
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want == "":
			sameWeights(t, m.Dict, small(t).Dict, 0)
		}
	}
}

// TestAmbiguousArchives has two entries of one name, one of which torch reads and
// others another, and an entry that says that it is encrypted.
func TestAmbiguousArchives(t *testing.T) {
	data, err := os.ReadFile("testdata/small.pth")
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	rewritten := func(twice string, flags uint16) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, f := range z.File {
			for range 1 + strings.Count(f.Name, twice) {
				r, err := f.OpenRaw()
				if err != nil {
					t.Fatal(err)
				}
				h := f.FileHeader
				h.Flags |= flags
				e, err := w.CreateRaw(&h)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(e, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for want, data := range map[string][]byte{
		"two entries are called small/data/5": rewritten("data/5", 0),
		"entry small/data.pkl is encrypted":   rewritten("nothing", 1),
	} {
		if _, err := Parse(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
