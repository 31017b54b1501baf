package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// randomQuantized returns a network of random bytes, weights up to most from 0.
func randomQuantized(c model.Config, most int) *model.Quantized {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() model.Quantization {
		return model.Quantization{Scale: 0.01 + rng.Float32(), Zero: uint8(rng.IntN(256))}
	}
	n := c.Network()
	q := &model.Quantized{Config: c, Input: random(), Pool: random(), Convs: make([]model.QuantizedLayer, len(n.Convs()))}
	for _, b := range n.Blocks {
		sum := model.QuantizedSum{}
		if b.Residual() {
			sum.Quantization, sum.Swapped = random(), rng.IntN(2) == 0
		}
		q.Sums = append(q.Sums, sum)
	}
	for _, p := range q.Parts() {
		l := p.Layer
		l.Out, l.Min, l.Max = random(), uint8(rng.IntN(100)), uint8(100+rng.IntN(156))
		for range elements(p.Shape) {
			l.Weight = append(l.Weight, int16(rng.IntN(2*most+1)-most))
		}
		for range p.Shape[0] {
			l.Scale, l.Bias = append(l.Scale, rng.Float32()), append(l.Bias, int32(rng.Uint32()))
		}
	}
	return q
}

// savedQuantized returns the bytes of the file that SaveQuantized makes of q.
func savedQuantized(t testing.TB, q *model.Quantized) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "q.safetensors")
	if err := SaveQuantized(path, q, nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestQuantizedComesBack: to the bit, and as float32.
func TestQuantizedComesBack(t *testing.T) {
	for most, dtype := range map[int]string{127: `"I8"`, 255: `"I16"`} {
		q := randomQuantized(golden(t).Config, most)
		q.Labels = []string{"a", "b", "ç", "d", "\x1b"}
		q.Assumed = model.Assumed{Norm: true}
		if most == 255 {
			q.Logits, q.Wide, q.Signed = true, true, true
			q.ClassBias = &model.ClassBias{Bytes: make([]uint8, q.Config.Classes), Of: q.Pool, Sum: model.QuantizedSum{Quantization: q.Input, Swapped: true}}
			q.ClassBias.Bytes[2] = 200
		} else {
			keepFloat(&q.Convs[2])
			keepFloat(&q.Classifier)
		}
		data := savedQuantized(t, q)
		if !bytes.Contains(data, []byte(dtype)) {
			t.Errorf("weights up to %d are not %s", most, dtype)
		}
		got, ok, err := ParseQuantized(data)
		if diff := cmp.Diff(q, got); !ok || err != nil || diff != "" {
			t.Errorf("%v, %v (-want +got):\n%s", ok, err, diff)
		}
		m, err := Parse(data)
		if diff := cmp.Diff(q.Dequantize(), m); err != nil || diff != "" || !m.Dequantized {
			t.Errorf("as float32: %v, %s", err, diff)
		}
	}
}

// keepFloat makes l a layer that was kept in float32.
func keepFloat(l *model.QuantizedLayer) {
	f := &model.FloatLayer{Weight: make([]float32, len(l.Weight)), Bias: make([]float32, len(l.Bias))}
	for i := range f.Weight {
		f.Weight[i] = float32(l.Weight[i]) / 7
	}
	for i := range f.Bias {
		f.Bias[i] = float32(l.Bias[i]) / 1e9
	}
	l.Weight, l.Scale, l.Bias, l.Float = nil, nil, nil, f
}

// TestQuantizedSize: a byte a weight, eight bytes a channel, and the metadata.
func TestQuantizedSize(t *testing.T) {
	data := savedQuantized(t, randomQuantized(model.Default(), 127))
	if n := len(data); n < 3_487_816 || n > 3_700_000 {
		t.Errorf("%d bytes at width 1", n)
	}
}

// TestNoQuantized: files of float32, and others, are none, and no error here.
func TestNoQuantized(t *testing.T) {
	timm, err := os.ReadFile("testdata/timm.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{timm, nil, []byte("PK\x03\x04")} {
		if q, ok, err := ParseQuantized(data); q != nil || ok || err != nil {
			t.Errorf("%v, %v, %v", q, ok, err)
		}
	}
}

// TestSaveQuantizedRefuses leaves no file.
func TestSaveQuantizedRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := randomQuantized(tiny(t).Config, 1)
	broken.Input.Scale = 0
	for name, q := range map[string]*model.Quantized{"a.pth": randomQuantized(tiny(t).Config, 1), "b.safetensors": broken} {
		path := filepath.Join(dir, name)
		err := SaveQuantized(path, q, nil)
		if _, absent := os.Stat(path); err == nil || !strings.HasPrefix(err.Error(), path) || absent == nil {
			t.Errorf("%s: error %v, file %v", name, err, absent)
		}
	}
}

// rewritten returns a file with some text of its header replaced by another.
func rewritten(t *testing.T, data []byte, old, text string) []byte {
	t.Helper()
	n := binary.LittleEndian.Uint64(data)
	header := strings.Replace(string(data[8:8+n]), old, text, 1)
	if header == string(data[8:8+n]) {
		t.Fatalf("no %s in %.2000s", old, header)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), data[8+n:])
}

// TestHostileQuantized has headers that contradict themselves or the network.
func TestHostileQuantized(t *testing.T) {
	q := randomQuantized(golden(t).Config, 127)
	q.Input = model.Quantization{Scale: 0.5, Zero: 3}
	data := savedQuantized(t, q)
	input := `\"input\":{\"scale\":0.5,\"zero\":3}`
	for want, change := range map[string][2]string{
		"input: scale 0: want a number above 0": {input, `\"input\":{\"scale\":0,\"zero\":3}`},
		"input: scale -1":                       {input, `\"input\":{\"scale\":-1}`},
		"number 1e39":                           {input, `\"input\":{\"scale\":1e39}`},
		"beyond float32":                        {input, `\"input\":{\"scale\":3.4e38}`},
		"number 256":                            {input, `\"input\":{\"scale\":1,\"zero\":256}`},
		"metadata mobilenet.quantized: invalid character 'N'":    {`\"scale\":0.5`, `\"scale\":NaN`},
		"nothing about layer features.0.0":                       {`\"features.0.0\":{`, `\"features.0.9\":{`},
		"features.1: a sum is false, a residual true":            {`\"sums\":{\"`, `\"sums\":{\"x`},
		"metadata mobilenet.config: missing":                     {`"mobilenet.config"`, `"mobilenet.other"`},
		"1 missing (features.0.0.weight_scale), 1 unexpected":    {`"features.0.0.weight_scale":`, `"features.0.0.other":`},
		"1 misshapen (features.0.0.weight: I8 of shape [8 9 3],": {`"dtype":"I8","shape":[8,3,3,3]`, `"dtype":"I8","shape":[8,9,3]`},
		"1 misshapen (features.0.0.weight: U8 of":                {`"dtype":"I8","shape":[8,3,3,3]`, `"dtype":"U8","shape":[8,3,3,3]`},
		"for shape [5] of F64":                                   {`"classifier.1.weight_scale":{"dtype":"F32"`, `"classifier.1.weight_scale":{"dtype":"F64"`},
	} {
		bad := rewritten(t, data, change[0], change[1])
		bounded(t, len(bad), func() {
			_, ok, err := ParseQuantized(bad)
			f, _ := errors.AsType[*fault.Error](err)
			if ok = ok || strings.Contains(want, "for shape"); !ok || f == nil || f.Kind != fault.Broken || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, error %v, want %s", ok, err, want)
			}
			if _, err := Parse(bad); err == nil {
				t.Errorf("%s: read as float32", want)
			}
		})
	}
	for at := 0; at < len(data); at += len(data)/200 + 1 {
		if _, _, err := ParseQuantized(data[:at]); at > 8 && err == nil {
			t.Errorf("cut at byte %d: no error", at)
		}
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << (at % 8)
		ParseQuantized(flipped)
	}
}

// FuzzParseQuantized: what is accepted is valid, and comes back the same.
func FuzzParseQuantized(f *testing.F) {
	f.Add(savedQuantized(f, randomQuantized(tiny(f).Config, 127)))
	wide := randomQuantized(tiny(f).Config, 255)
	wide.Wide, wide.Logits = true, true
	f.Add(savedQuantized(f, wide))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, len(data), func() {
			q, ok, err := ParseQuantized(data)
			if !ok || err != nil {
				return
			}
			path := filepath.Join(dir, "again.safetensors")
			if err := SaveQuantized(path, q, nil); err != nil {
				t.Fatal(err)
			}
			again, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := ParseQuantized(again); err != nil || !cmp.Equal(q, got) {
				t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(q, got))
			}
		})
	})
}
