package tflite

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// fails wants an error of a kind that contains a text, in one line.
func fails(t *testing.T, data []byte, kind fault.Kind, want string) {
	t.Helper()
	_, err := Parse(data)
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != kind || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 500 {
		t.Errorf("error %v, want one of %v that contains %q", err, kind, want)
	}
}

// TestCut reads the beginnings of a file.
func TestCut(t *testing.T) {
	data, err := Export(trained(t, narrow()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(data); n += 1 + n/50 {
		if _, err := Parse(data[:n]); err == nil {
			t.Fatalf("%d bytes of %d are a model", n, len(data))
		} else if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.Broken {
			t.Fatalf("%d bytes of %d: %v", n, len(data), err)
		}
	}
	for i := 8; i < len(data); i += 1 + i/100 { // whatever a changed byte makes of it
		changed := bytes.Clone(data)
		changed[i] ^= 0xff
		Parse(changed)
	}
}

// A claim is four bytes at some place of a table.
func patch(data []byte, at int, v uint32) []byte {
	data = bytes.Clone(data)
	binary.LittleEndian.PutUint32(data[at:], v)
	return data
}

// TestOffsets has offsets that lead nowhere or in circles, and counts of what is not
// there.
func TestOffsets(t *testing.T) {
	data, err := Export(trained(t, narrow()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{data: data}
	m := w.root()
	at := func(t table, slot int) int { p, _ := t.field(slot, 4); return p }
	subgraphs := w.follow(at(m, modelSubgraphs), "")
	s := m.tables(modelSubgraphs, 1, "")[0]
	fails(t, patch(data, 0, math.MaxUint32), fault.Broken, "at byte 0: root table: offset 4294967295 past the end")
	fails(t, patch(data, m.at, 1<<31), fault.Broken, "its fields lie outside")
	fails(t, patch(data, subgraphs, 1<<30), fault.Broken, "subgraphs: 1073741824 elements past the end")
	fails(t, patch(data, w.follow(at(m, modelBuffers), ""), 1<<17+1), fault.Broken, "elements past the end")
	fails(t, patch(data, w.follow(at(s, graphTensors), ""), math.MaxUint32), fault.Broken, "tensors: 4294967295 elements past the end")
	fails(t, patch(data, w.follow(at(s, graphInputs), "")+4, 1000), fault.Broken, "the graph's tensor 1000 of")
	fails(t, patch(data, w.follow(at(s, graphInputs), "")+4, math.MaxUint32), fault.Broken, "the graph's tensor -1 of")
	// A subgraph that is the model itself, whose fields are others: no end is needed.
	Parse(patch(data, subgraphs+4, uint32(m.at-subgraphs-4)))
	o := s.tables(graphOperators, 1000, "")[2]
	fails(t, patch(data, w.follow(at(o, operatorInputs), "")+4, 9999), fault.Broken, "operator 2 (DEPTHWISE_CONV_2D): its input is tensor 9999 of")
	fails(t, patch(data, at(o, operatorCode), 77), fault.Broken, "operator 2: operator code 77 of")
	fails(t, patch(data, at(m, modelVersion), 4), fault.Unsupported, "version 4 of the schema: want 3")
	fails(t, patch(data, 4, 0), fault.Broken, `not a LiteRT model: "TFL3" is not at byte 4`)
}

// chain writes a graph of one operator after another on [1,8,8,3].
func chain(build func(w *writer, x int) int) []byte {
	w := newWriter(1024)
	x := w.tensor("in\x1b[31m", elemFloat32, []int{1, 64, 64, 3}, 0, nil)
	return w.finish("test", named{"in", x}, named{"out", build(w, x)})
}

// TestOthers has graphs of other networks: the first operator that does not fit, seen
// from the output, is named.
func TestOthers(t *testing.T) {
	zeros := func(w *writer, shape ...int) int {
		n, _ := elements(shape)
		return w.constant("w", elemFloat32, shape, make([]byte, 4*n), nil)
	}
	conv := func(w *writer, x, kernel, in, out int) int {
		y := w.tensor("y", elemFloat32, []int{1, 64, 64, out}, 0, nil)
		w.operator(operatorVersion{opConv, 1}, []int{x, zeros(w, out, kernel, kernel, in), zeros(w, out)}, []int{y}, optionsConv, choice{convStrideW, 1}, choice{convStrideH, 1}, choice{convActivation, byte(activationRelu6)})
		return y
	}
	head := func(w *writer, x, channels int) int {
		axes := w.constant("axes", elemInt32, []int{2}, intBytes([]int{1, 2}), nil)
		y, z := w.tensor("y", elemFloat32, []int{1, channels}, 0, nil), w.tensor("z", elemFloat32, []int{1, 5}, 0, nil)
		w.operator(operatorVersion{opMean, 1}, []int{x, axes}, []int{y}, optionsReducer)
		w.operator(operatorVersion{opFullyConnected, 1}, []int{y, zeros(w, 5, channels), -1}, []int{z}, optionsFully)
		return z
	}
	for want, build := range map[string]func(w *writer, x int) int{
		"operator 1 (MAX_POOL_2D): not a MobileNetV2: MobileNetV2 has no such operator": func(w *writer, x int) int {
			x = conv(w, x, 1, 3, 8)
			y := w.tensor("y", elemFloat32, []int{1, 64, 64, 8}, 0, nil)
			w.operator(operatorVersion{17, 1}, []int{x}, []int{y}, 0)
			return head(w, y, 8)
		},
		"operator 0 (CONV_2D): not a MobileNetV2: a 7x7 convolution": func(w *writer, x int) int { return head(w, conv(w, x, 7, 3, 8), 8) },
		"operator 0 (ADD): not a MobileNetV2": func(w *writer, x int) int {
			y := w.tensor("y", elemFloat32, []int{1, 64, 64, 3}, 0, nil)
			w.operator(operatorVersion{opAdd, 1}, []int{x, x}, []int{y}, optionsAdd)
			return head(w, y, 3)
		},
		"operator 0 (custom operator ): not a MobileNetV2: MobileNetV2 has no such operator": func(w *writer, x int) int {
			y := w.tensor("y", elemFloat32, []int{1, 10, 4}, 0, nil)
			w.operator(operatorVersion{opCustom, 1}, []int{x}, []int{y}, 0)
			return y
		},
		"its weights: 40 bytes for FLOAT32 of [8 1 1 3]": func(w *writer, x int) int {
			y := w.tensor("y", elemFloat32, []int{1, 64, 64, 8}, 0, nil)
			w.operator(operatorVersion{opConv, 1}, []int{x, w.constant("w", elemFloat32, []int{8, 1, 1, 3}, make([]byte, 40), nil)}, []int{y}, optionsConv)
			return y
		},
		"its weights: 3 scales on axis 0 of [8 1 1 3]": func(w *writer, x int) int {
			y := w.tensor("y", elemFloat32, []int{1, 64, 64, 8}, 0, nil)
			c := w.constant("w", elemInt8, []int{8, 1, 1, 3}, make([]byte, 24), &quantization{scale: []float32{1, 2, 3}, zero: []int64{0, 0, 0}})
			w.operator(operatorVersion{opConv, 1}, []int{x, c}, []int{y}, optionsConv)
			return y
		},
		"its weights: a scale of NaN":   scaled(float32(math.NaN())),
		"its weights: a scale of 0":     scaled(0),
		"its weights: a scale of -1":    scaled(-1),
		"its weights: a scale of +Inf":  scaled(float32(math.Inf(1))),
		"its weights: a scale of 1e-44": scaled(1e-44),
		"its outputs do not depend on its input": func(w *writer, x int) int {
			return w.tensor("nothing", elemFloat32, []int{1}, 0, nil)
		},
		`input "in\x1b[31m": not a MobileNetV2: the input, where the classifier should be`: func(w *writer, x int) int { return x },
	} {
		kind := fault.Unsupported
		if strings.HasPrefix(want, "its weights") {
			kind = fault.Broken
		}
		fails(t, chain(build), kind, want)
	}
}

// scaled has weights of one scale.
func scaled(scale float32) func(w *writer, x int) int {
	return func(w *writer, x int) int {
		y := w.tensor("y", elemFloat32, []int{1, 64, 64, 8}, 0, nil)
		c := w.constant("w", elemInt8, []int{8, 1, 1, 3}, make([]byte, 24), &quantization{scale: []float32{scale}, zero: []int64{0}})
		w.operator(operatorVersion{opConv, 1}, []int{x, c}, []int{y}, optionsConv)
		return y
	}
}

// TestArchives has labels that are not what they should be.
func TestArchives(t *testing.T) {
	m := trained(t, narrow())
	data, err := Export(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	with := func(write func(z *zip.Writer)) []byte {
		var b bytes.Buffer
		b.Write(data)
		z := zip.NewWriter(&b)
		z.SetOffset(int64(len(data)))
		write(z)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	file := func(name, text string) func(z *zip.Writer) {
		return func(z *zip.Writer) {
			f, err := z.Create(name)
			if err == nil {
				_, err = f.Write([]byte(text))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		text   string
		labels int
		notes  string
	}{
		{"a\nb\nc\nd\ne", 5, ""},
		{"a\r\nb\r\nc\r\nd\r\ne\r\n", 5, ""},
		{"a\nb\n", 0, "2 names for 5 classes"},
	} {
		m, err := Parse(with(file("names.txt", c.text)))
		if err != nil || len(m.Labels) != c.labels || len(m.Labels) > 0 && m.Labels[1] != "b" || !strings.Contains(strings.Join(m.Notes, ""), c.notes) {
			t.Errorf("%v, %+v", err, m)
		}
	}
	fails(t, with(file("names.txt", strings.Repeat("a", maxLabels+1))), fault.TooLarge, "names.txt: labels of more than the limit of 32 MiB")
	fails(t, with(file("names.txt", strings.Repeat("\n", maxLabels))), fault.TooLarge, "names.txt: 33554432 labels")
	fails(t, with(func(z *zip.Writer) {
		for range 30000 {
			file("x", "")(z)
		}
	}), fault.TooLarge, "lists 30000 files")
	cut := with(file("names.txt", "a\nb\nc\nd\ne"))
	cut = append(bytes.Clone(cut[:len(cut)-60]), cut[len(cut)-22:]...)
	fails(t, cut, fault.Broken, "the archive of its labels")
}

// TestMetadata has normalisations that can't be.
func TestMetadata(t *testing.T) {
	c := narrow()
	for _, p := range []func(p *model.Preprocess){
		func(p *model.Preprocess) { p.Std[1] = 0 },
		func(p *model.Preprocess) { p.Mean[2] = float32(math.NaN()) },
		func(p *model.Preprocess) { p.Std[1] = float32(math.Inf(1)) },
	} {
		c := c
		p(&c.Preprocess)
		g := &graph{metadata: map[string][]byte{metadataKey: about(c, "out", false)}}
		if _, err := g.describe(); err == nil || !strings.Contains(err.Error(), "metadata TFLITE_METADATA") {
			t.Errorf("error %v", err)
		}
	}
	whole := about(c, "out", true)
	for n := 1; n < len(whole); n++ {
		g := &graph{metadata: map[string][]byte{metadataKey: whole[:n]}}
		if _, err := g.describe(); err == nil || !strings.Contains(err.Error(), "metadata TFLITE_METADATA") {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// TestLarge has small files that ask for much: constants that thousands of operators
// share, tensors that share one name and one list of scales, and labels of nothing.
func TestLarge(t *testing.T) {
	files := map[string][]byte{
		"shared weights": chain(func(w *writer, x int) int {
			weight := w.constant("w", elemInt8, []int{512, 3, 3, 512}, make([]byte, 9<<18), &quantization{scale: []float32{1}, zero: []int64{0}})
			for range maxOperators - 1 {
				y := w.tensor("y", elemFloat32, []int{1, 64, 64, 512}, 0, nil)
				w.operator(operatorVersion{opConv, 1}, []int{x, weight}, []int{y}, optionsConv)
				x = y
			}
			return x
		}),
		"shared tensor": chain(func(w *writer, x int) int {
			n := 1 << 18
			y := w.tensor(strings.Repeat("n", 1<<20), elemInt8, []int{n}, 0, &quantization{scale: slices.Repeat([]float32{1}, n), zero: make([]int64, n)})
			for len(w.tensors) < maxTensors {
				w.tensors = append(w.tensors, w.tensors[y])
			}
			return y
		}),
		"a graph of one tensor": chain(func(w *writer, x int) int {
			for range maxOperators {
				w.operator(operatorVersion{opAdd, 1}, []int{x, x}, []int{x}, optionsAdd)
			}
			return x
		}),
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := testenv.CPU()
			if _, _, err := Network(data); err == nil {
				t.Error("it is a network")
			}
			Check(data)
			runtime.ReadMemStats(&after)
			took, made := testenv.CPU()-began, (after.TotalAlloc-before.TotalAlloc)>>20
			t.Logf("%.1f MB: %v, %d MB in all", float64(len(data))/1e6, took, made)
			if made > 300 || testenv.TooLong(took, 200) {
				t.Errorf("%d MB in all, %v", made, took)
			}
		})
	}
}

// FuzzNetwork checks that no file makes the reader panic, and that what it takes can be
// written and read again, to the byte.
func FuzzNetwork(f *testing.F) {
	c := narrow()
	c.FirstChannels, c.LastChannels, c.Classes = 4, 4, 2
	c.Table = []model.Stage{{T: 1, C: 4, N: 1, S: 1}, {T: 2, C: 4, N: 1, S: 2}}
	for _, half := range []bool{false, true} {
		m := trained(f, c)
		m.Labels = []string{"no", "yes"}
		data, err := Export(m, Options{Half: half})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	q := quantised(f, c)
	for _, average := range []bool{false, true} {
		if average {
			q.LiteRT, q.AveragePool, q.Pool = true, true, q.Convs[len(q.Convs)-1].Out
		}
		data, err := ExportQuantized(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Check(data)
		m, q, err := Network(data)
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok && !strings.Contains(err.Error(), "model config") {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		first, err := Export(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = Parse(first); err != nil {
			t.Fatal(err)
		}
		if again, err := Export(m, Options{}); err != nil || !bytes.Equal(again, first) {
			t.Fatalf("%v, or another file", err)
		}
		if q == nil {
			return
		}
		if first, err = ExportQuantized(q); errors.Is(err, errors.ErrUnsupported) {
			return // weights of uint8 further from their zero point than int8 goes
		} else if err != nil {
			t.Fatal(err)
		}
		if m, q, err = Network(first); err != nil || q == nil {
			t.Fatal(err, m.Unfit)
		}
		if again, err := ExportQuantized(q); err != nil || !bytes.Equal(again, first) {
			t.Fatalf("%v, or another file of bytes", err)
		}
	})
}
