package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// archiveOf is a zip archive like torch's with the given pickle and storages.
func archiveOf(t testing.TB, method uint16, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// legacyOf is a file of torch's older format with the given object's pickle.
func legacyOf(object, keys string) []byte {
	return []byte("\x80\x02\x8a\x0a" + legacyMagic + ".\x80\x02M\xe9\x03.\x80\x02}." + object + keys)
}

// tensor is the pickle of a tensor of numel float32, viewed with a shape and
// strides that pickle's opcodes give.
func tensor(key string, numel uint32, shape, strides string) string {
	n := string(binary.LittleEndian.AppendUint32(nil, numel))
	return "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU" +
		string(rune(len(key))) + key + "U\x03cpuJ" + n + "tQK\x00" + shape + strides + "\x89}tR"
}

// tinyPickle is the pickle of a state dict of tiny with some classes, all of whose
// tensors repeat the one value in storage 0.
func tinyPickle(t testing.TB, classes int) string {
	t.Helper()
	c := tiny(t).Config
	c.Classes = classes
	out := "\x80\x02}("
	for _, s := range c.Network().Specs() {
		shape, strides := "(", "("
		for _, d := range s.Shape {
			shape += "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(d)))
			strides += "K\x00"
		}
		out += "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s.Name)))) + s.Name + tensor("0", 1, shape+"t", strides+"t")
	}
	return out + "u."
}

func TestHostilePickles(t *testing.T) {
	named := func(tensor string) string { return "\x80\x02}X\x13\x00\x00\x00features.0.0.weight" + tensor + "s." }
	doubling := "N" + strings.Repeat("2\x86", 64) // a tuple of 2^64 paths
	deep := strings.Repeat("(", 100000) + strings.Repeat("t", 100000)
	network, repeated := tinyPickle(t, 2), tinyPickle(t, 1<<20)
	selfish := "\x80\x02}q\x00U\x05modelh\x00s."
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"doubling tuples":                {legacyOf("\x80\x02"+doubling+".", "\x80\x02]."), "no state dict"},
		"doubling storage":               {legacyOf("\x80\x02"+named("ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01aU\x03cpu" + doubling + "tQK\x00)))tR")[2:], ""), "bad storage"},
		"deep tuples":                    {legacyOf("\x80\x02"+deep+".", "\x80\x02]."), "no state dict"},
		"a dict within itself":           {legacyOf(selfish, "\x80\x02]."), "without tensors"},
		"a huge string":                  {legacyOf("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", ""), "unexpected end"},
		"a huge number":                  {legacyOf("\x80\x04\x8b\xff\xff\xff\x7f.", ""), "unexpected end"},
		"a huge frame":                   {legacyOf("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.", ""), "the stack is empty"},
		"no mark":                        {legacyOf("\x80\x02t.", ""), "no mark"},
		"an empty stack":                 {legacyOf("\x80\x02.", ""), "the stack is empty"},
		"an absent memo":                 {legacyOf("\x80\x02h\x07.", ""), "nothing in memo 7"},
		"an unknown opcode":              {legacyOf("\x80\x02\xf0.", ""), "unknown opcode 0xf0"},
		"a module in a dict":             {legacyOf("\x80\x02}U\x05modelcnet\nNet\n)\x81}bs.", "\x80\x02]."), "a dictionary without tensors"},
		"a pointer":                      {[]byte("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"},
		"a call of os.system":            {legacyOf("\x80\x02cos\nsystem\nU\x02ls\x85R.", "\x80\x02]."), "an object of class os.system without tensors"},
		"a huge storage":                 {legacyOf(named(tensor("a", 1<<28, "K\x01\x85", "K\x01\x85")), "\x80\x02]U\x01aa.\x00\x00\x00\x10\x00\x00\x00\x00"), "storage of 268435456 elements"},
		"a tensor too large":             {legacyOf(named(tensor("a", 9, "J\x00\x00\x00\x10J\x00\x00\x00\x10\x86", "K\x01K\x01\x86")), ""), "too large"},
		"a tensor past its end":          {legacyOf(named(tensor("a", 9, "K\x04K\x03\x86", "K\x03K\x01\x86")), ""), "ends at element 11 of a storage of 9"},
		"a tensor repeated":              {archiveOf(t, zip.Store, map[string]string{"data.pkl": repeated, "data/0": "abcd"}), "2097235 values in a file of"},
		"a negative size":                {legacyOf(named(tensor("a", 9, "J\xff\xff\xff\xff\x85", "K\x01\x85")), ""), "bad offset, size or stride"},
		"a bomb":                         {archiveOf(t, zip.Deflate, map[string]string{"data.pkl": strings.Repeat("]", 1<<22)}), "inflates to more than 8 times"},
		"a big-endian archive":           {archiveOf(t, zip.Store, map[string]string{"data.pkl": "N.", "byteorder": "big"}), `byte order "big"`},
		"an archive without its storage": {archiveOf(t, zip.Store, map[string]string{"data.pkl": network}), `"data/0" is missing`},
		"an archive with a short one":    {archiveOf(t, zip.Store, map[string]string{"data.pkl": network, "data/0": "abc"}), "has 3 bytes, want 4"},
		"another archive":                {archiveOf(t, zip.Store, map[string]string{"mydata.pkl": "N."}), "without a checkpoint in it: archive/mydata.pkl"},
	} {
		t.Run(name, func(t *testing.T) {
			bounded(t, len(test.data), func() {
				_, err := Parse(test.data)
				if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 300 {
					t.Errorf("error %.400q, want it to contain %q", err, test.want)
				}
			})
		})
	}
}

// TestHostileSafetensors has headers that would take memory or miss bytes.
func TestHostileSafetensors(t *testing.T) {
	file := func(header, body string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+body...)
	}
	const two = `{"a":{"dtype":"F16","shape":[2],"data_offsets":[%d,%d]},"b":{"dtype":"F16","shape":[2],"data_offsets":[%d,%d]}}`
	entry := func(dtype, shape string) string {
		return fmt.Sprintf(`{"a":{"dtype":%q,"shape":%s,"data_offsets":[0,4]}}`, dtype, shape)
	}
	for want, data := range map[string][]byte{
		"the next begins at byte":   file(fmt.Sprintf(two, 0, 4, 0, 4), "abcd"),
		"begins at byte 122":        file(fmt.Sprintf(two, 0, 4, 6, 10), "abcdefghij"),
		"the file 2 bytes later":    file(fmt.Sprintf(two, 0, 4, 4, 8), "abcdefghij"),
		"is too large":              file(entry("F32", "[268435456,268435456,16]"), "abcd"),
		"65 dimensions":             file(entry("F32", "[1"+strings.Repeat(",1", 64)+"]"), "abcd"),
		"cannot unmarshal number -": file(entry("F32", "[-1]"), "abcd"),
		"for shape [2] of F32":      file(entry("F32", "[2]"), "abcd"),
		"header: ":                  file("{"+strings.Repeat("[", 100000), ""),
		"metadata: ":                file(`{"__metadata__":{"a":1}}`, ""),
	} {
		bounded(t, len(data), func() {
			_, err := Parse(data)
			var format *fault.Error
			if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &format) {
				t.Errorf("error %v, want it to contain %q", err, want)
			}
		})
	}
}

// TestPython2 reads an OrderedDict as Python 2 pickles it: made of a list of
// pairs.
func TestPython2(t *testing.T) {
	p, err := unpickle([]byte("\x80\x02ccollections\nOrderedDict\n]]U\x01aK\x01ea]U\x01bK\x02ea\x85R."), 0)
	if err == nil {
		t.Fatalf("%v for unbalanced marks", p.value)
	}
	p, err = unpickle([]byte("\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01e](U\x01bK\x02ee\x85R."), 0)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := p.value.(*dict)
	if !ok || d.get("a") != int64(1) || d.get("b") != int64(2) {
		t.Errorf("%v", p.value)
	}
}

// TestCorruptedFiles flips and cuts bytes of every golden file: each ends in a
// model or an error.
func TestCorruptedFiles(t *testing.T) {
	for _, name := range []string{"zip.pth", "legacy.pth", "training.pth", "timm.safetensors"} {
		whole, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			at := i * len(whole) / 100
			if _, err := Parse(whole[:at]); err == nil {
				t.Errorf("%s cut at byte %d: no error", name, at)
			}
			data := bytes.Clone(whole)
			data[at] ^= 1 << (i % 8)
			Parse(data)
		}
	}
}

// TestUnknownTypes has each tensor of a network in turn, and one beside it, of a type
// that is not read.
func TestUnknownTypes(t *testing.T) {
	dict := renamed(small(t).Dict, func(name string) string { return "net." + name })
	dict["beside"] = filled(1, 2)
	for name := range dict {
		data := bytes.Replace(saved(t, dict), []byte(`"`+name+`":{"dtype":"F32"`), []byte(`"`+name+`":{"dtype":"F99"`), 1)
		_, err := Parse(data)
		if (err == nil) != (name == "beside") || err != nil && (!errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "values of type F99 are not read")) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
