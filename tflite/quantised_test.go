package tflite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"image"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A hashed tensor is the bytes of all images of one, [n][h][w][c], of int8 plus 128.
type hashed struct {
	name string
	sum  hash.Hash
}

// hashes runs q over images, one by one, and returns the tensors that convolutions,
// residual sums, the pool and the classifier put out, in the order they run.
func hashes(t testing.TB, q *model.Quantized, images []engine.Input) (list []hashed) {
	t.Helper()
	e, err := engine.CompileQuantized(q, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	n := q.Config.Network()
	add := func(name string) { list = append(list, hashed{name, sha256.New()}) }
	of := map[string]model.Quantization{}
	at := 0
	conv := func(module string) {
		add(module)
		of[module] = q.Convs[at].Out
		at++
	}
	conv("features.0")
	for i, b := range n.Blocks {
		for j := range b.Convs() {
			if module := fmt.Sprintf("%s.conv.%d", b.Name, j); j < len(b.Convs())-1 {
				conv(module)
			} else {
				conv(b.Name + ".conv")
			}
		}
		if b.Residual() {
			add(b.Name)
			of[b.Name] = q.Sums[i].Quantization
		}
	}
	conv(fmt.Sprintf("features.%d", len(n.Blocks)+1))
	add("avgpool")
	add("logits")
	for _, in := range images {
		out := engine.Output{Logits: make([]float32, n.Classifier.Out), Features: make([]float32, n.Features())}
		shapes := map[string][3]int{}
		for _, m := range e.Modules() {
			if _, ok := of[m.Name]; ok {
				c, h, w := m.Shape(in.H, in.W)
				shapes[m.Name] = [3]int{c, h, w}
				out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: make([]float32, c*h*w)})
			}
		}
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		data := map[string][]uint8{"avgpool": bytesOf(out.Features, q.Pool), "logits": bytesOf(out.Logits, q.Classifier.Out)}
		for _, tap := range out.Taps {
			data[tap.Module] = lastly(bytesOf(tap.Data, of[tap.Module]), shapes[tap.Module])
		}
		for _, l := range list {
			l.sum.Write(data[l.name])
		}
	}
	return list
}

// bytesOf are the bytes that stand for numbers.
func bytesOf(v []float32, q model.Quantization) []uint8 {
	b := make([]uint8, len(v))
	for i, x := range v {
		b[i] = uint8(math.Round(float64(x)/float64(q.Scale)) + float64(q.Zero))
	}
	return b
}

// lastly moves the channels, [c,h,w], to the end.
func lastly(b []uint8, shape [3]int) []uint8 {
	c, pixels := shape[0], shape[1]*shape[2]
	moved := make([]uint8, len(b))
	for i, v := range b {
		moved[i%pixels*c+i/pixels] = v
	}
	return moved
}

func (h hashed) hex() string { return hex.EncodeToString(h.sum.Sum(nil)[:8]) }

// TestBytes reads quantised networks as several tools write them. Every tensor is what
// LiteRT's default kernels make, byte for byte.
func TestBytes(t *testing.T) {
	g := readGolden(t)
	levels := goldenLevels()
	var images []engine.Input
	for i := range 2 {
		images = append(images, engine.Input{Pixels: levels[i*64*64*3:][:64*64*3], N: 1, H: 64, W: 64})
	}
	for name, signed := range map[string]bool{"int8.tflite": true, "same8.tflite": true, "edge.tflite": true, "uint8.tflite": false} {
		t.Run(name, func(t *testing.T) {
			m, q, err := Network(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if q == nil || q.Signed != signed || !q.LiteRT || !q.Logits || !m.Dequantized || q.AveragePool != (name == "edge.tflite") {
				t.Fatalf("%+v, %q", q, m.Unfit)
			}
			compareHashes(t, hashes(t, q, images), g.Bytes[name])
		})
	}
}

// TestCoral does the same with a file of TensorFlow's converter, int8 with an input of
// pixels and 1001 classes, on the middles of ten photos.
func TestCoral(t *testing.T) {
	data, err := os.ReadFile(testenv.Shared(t, "weights/tf2_mobilenet_v2_1.0_224_ptq.tflite"))
	if err != nil {
		t.Fatal(err)
	}
	m, q, err := Network(data)
	if err != nil || q == nil {
		t.Fatal(err, m.Unfit)
	}
	if len(q.Labels) != 1001 || q.Labels[0] != "background" || q.Config.Padding != model.PadSame || q.Assumed.Norm || !q.Assumed.Resize {
		t.Errorf("%d labels, %+v, assumed %+v", len(q.Labels), q.Config, q.Assumed)
	}
	for c := range 3 { // a byte of the input is the level itself
		for v, level := range q.Config.Preprocess.Levels()[c] {
			if b := q.InputByte(level); int(b) != v {
				t.Fatalf("level %d becomes byte %d", v, b)
			}
		}
	}
	files, _ := testenv.NIPS17(t)
	var images []engine.Input
	for _, file := range slices.Sorted(slices.Values(files))[:10] {
		img, err := vision.DecodeFile(t.Context(), file, vision.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		in := engine.Input{N: 1, H: 224, W: 224}
		for y := range 224 {
			in.Pixels = append(in.Pixels, img.Pix[((y+37)*img.W+37)*3:][:224*3]...)
		}
		images = append(images, in)
	}
	var want []string
	if err := json.Unmarshal(read(t, "coral.json"), &want); err != nil {
		t.Fatal(err)
	}
	compareHashes(t, hashes(t, q, images), want)
}

func compareHashes(t *testing.T, got []hashed, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, LiteRT has %d", len(got), len(want))
	}
	for i, h := range got {
		if h.hex() != want[i] {
			t.Errorf("%s: %s, LiteRT has %s", h.name, h.hex(), want[i])
		}
	}
}

// quantised are 8-bit networks that calibration makes of networks, of a few images.
func quantised(t testing.TB, c model.Config) *model.Quantized {
	t.Helper()
	m := trained(t, c)
	for i := range c.Classes {
		m.Labels = append(m.Labels, fmt.Sprint("class ", i))
	}
	photos := func(yield func(image.Image, error) bool) {
		h, w := c.InputSize()
		for k := range 4 {
			img := image.NewGray(image.Rect(0, 0, w, h))
			for i := range img.Pix {
				img.Pix[i] = uint8(uint64(i/8+k) * 2654435761 >> 13)
			}
			if !yield(img, nil) {
				return
			}
		}
	}
	q, err := quant.Calibrate(t.Context(), m, photos, quant.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQuantizedRoundTrip writes 8-bit networks and reads them again: what [Prepare] makes
// of them, whose file is the same.
func TestQuantizedRoundTrip(t *testing.T) {
	for name, change := range networks {
		c := narrow()
		change(&c)
		if !c.Head.Plain() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			q := quantised(t, c)
			q.Convs[2].Scale[0] = 0 // an output channel that is dead
			for _, kind := range []string{"", "average", "relu"} {
				switch kind {
				case "relu":
					q.AveragePool, q.ReLU = false, true
					for i, conv := range c.Network().Convs() {
						if conv.ReLU6 {
							q.Convs[i].Out.Scale = 0.03 // up to 7.65
						}
					}
				case "average":
					q.LiteRT, q.AveragePool, q.Pool = true, true, q.Convs[len(q.Convs)-1].Out
				}
				want, err := Prepare(q)
				if err != nil {
					t.Fatal(err)
				}
				data, err := ExportQuantized(q)
				if err != nil {
					t.Fatal(err)
				}
				_, got, err := Network(data)
				if err != nil || got == nil {
					t.Fatal(err)
				}
				dead, per := &got.Convs[2], len(got.Convs[2].Weight)/len(got.Convs[2].Scale)
				if dead.Bias[0] != 0 || slices.Max(dead.Weight[:per]) != 0 || dead.Scale[0] == 0 {
					t.Errorf("the dead channel has bias %d, scale %v", dead.Bias[0], dead.Scale[0])
				}
				dead.Bias[0], dead.Scale[0] = want.Convs[2].Bias[0], 0
				copy(dead.Weight[:per], want.Convs[2].Weight)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				again, err := ExportQuantized(got)
				if err != nil || !bytes.Equal(again, data) {
					t.Errorf("%v, or written again it is another file", err)
				}
			}
		})
	}
}

func TestExportQuantizedChecksItsInput(t *testing.T) {
	for want, spoil := range map[string]func(q *model.Quantized){
		"wide residual sums": func(q *model.Quantized) { q.Wide = true },
		"nothing says what they stand for: quantise the model again": func(q *model.Quantized) { q.Classifier.Out = model.Quantization{Scale: 1} },
		"features.0.0: a weight is -128 from its zero point":         func(q *model.Quantized) { q.Convs[0].Weight[5] = -128 },
		"features.0.0: its output is bounded by 3 and 255":           func(q *model.Quantized) { q.Convs[0].Min = 3 },
		"features.0.0: weights of scale 1e+06 multiply sums by":      func(q *model.Quantized) { q.Convs[0].Scale[1] = 1e6 },
		"features.1: scales":                                    func(q *model.Quantized) { q.Sums[0].Scale = 1e4 },
		"avgpool: it puts out other bytes than it takes":        func(q *model.Quantized) { q.LiteRT, q.AveragePool = true, true },
		"features.0.0: scale NaN of output channel 1's weights": func(q *model.Quantized) { q.Convs[0].Scale[1] = float32(math.NaN()) },
		"features.0.0: weights of float32 in a network of bytes: TFLite": func(q *model.Quantized) {
			l := &q.Convs[0]
			l.Float = &model.FloatLayer{Weight: make([]float32, len(l.Weight)), Bias: make([]float32, len(l.Bias))}
			l.Weight, l.Scale, l.Bias = nil, nil, nil
		},
	} {
		q := quantised(t, narrow())
		spoil(q)
		if _, err := ExportQuantized(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	if _, err := ExportQuantized(nil); err == nil {
		t.Error("no model is exported")
	}
}

// TestBrokenBytes has scales, zero points and counts that can't be in a quantised file.
func TestBrokenBytes(t *testing.T) {
	data := read(t, "int8.tflite")
	w := &wire{data: data}
	s := w.root().tables(modelSubgraphs, 1, "")[0]
	tensors := s.tables(graphTensors, maxTensors, "")
	find := func(name string) table {
		for _, x := range tensors {
			if x.string(tensorName, "") == name {
				return x
			}
		}
		t.Fatal(name)
		return table{}
	}
	scale := func(name string) int {
		_, at := find(name).table(tensorQuantization, "").vector(quantScale, 4, "")
		return at
	}
	zero := func(name string) int {
		_, at := find(name).table(tensorQuantization, "").vector(quantZero, 8, "")
		return at
	}
	for want, changed := range map[string][]byte{
		"operator 2 (CONV_2D): its output: a scale of 0":                     patch(data, scale("features.0"), 0),
		"operator 2 (CONV_2D): its output: a scale of NaN":                   patch(data, scale("features.0"), math.Float32bits(float32(math.NaN()))),
		"operator 2 (CONV_2D): its weights: a scale of -1":                   patch(data, scale("features.0.0.weight")+4, math.Float32bits(-1)),
		"operator 2 (CONV_2D): its weights: 7 scales on axis 0 of [8 3 3 3]": patch(data, scale("features.0.0.weight")-4, 7),
		"operator 2 (CONV_2D): its weights: a zero point of 128":             patch(patch(data, zero("features.0.0.weight"), 128), zero("features.0.0.weight")+4, 0),
		"operator 2 (CONV_2D): its bias: 7 scales on axis 0 of [8]":          patch(data, scale("features.0.0.bias")-4, 7),
		"operator 2 (CONV_2D): its output: a zero point of 256":              patch(patch(data, zero("features.0"), 256), zero("features.0")+4, 0),
	} {
		_, _, err := Network(changed)
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Broken || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want it to contain %q (%+v)", err, want, e)
		}
	}
	// What fits, and not in bytes: it is read, and what is wrong is said.
	for want, changed := range map[string][]byte{
		"(DEPTHWISE_CONV_2D): its bias has a scale of":  patch(data, scale("features.0"), math.Float32bits(1e-37)),
		"operator 6 (CONV_2D): its bias has a scale of": patch(data, scale("features.1"), math.Float32bits(1e30)),
		"operator 2 (CONV_2D): its bias has a scale of": patch(data, scale("features.0.0.bias"), math.Float32bits(0.125)),
	} {
		m, q, err := Network(changed)
		if err == nil && (q != nil || !strings.Contains(m.Unfit, want)) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %q, want %q", err, m.Unfit, want)
		}
	}
}
