package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A subject is a model and the ways to export it.
type subject struct {
	name      string
	m         *model.Model
	engine    *engine.Engine
	tolerance float64 // of a logit: 1e-3 for trained weights, 1e-4 for random ones
	options   []options
	want      map[string][]float32 // outputs by options, batch and size: the same for all opsets
}

type options struct {
	onnx.ExportOptions
	simplify bool
}

func (o options) String() string {
	s := fmt.Sprintf("%s, %s", o.Mode, axes(o.Dynamic))
	for _, extra := range []struct {
		on   bool
		name string
	}{{o.Softmax, "softmax"}, {o.Preprocess, "preprocess"}, {o.Half, "half"}, {o.simplify, "simplify"}, {o.Batch > 1, "batch"}} {
		if extra.on {
			s += ", " + extra.name
		}
	}
	return s
}

func axes(d onnx.Dynamic) string {
	if d == onnx.Fixed {
		return "fixed"
	}
	return string(d)
}

// product is every mode with all axes at these opsets.
func product(opsets ...int) []options {
	var list []options
	for _, mode := range []onnx.Mode{onnx.Eval, onnx.Train, onnx.Preserve} {
		for _, dynamic := range []onnx.Dynamic{onnx.Fixed, onnx.DynamicBatch, onnx.DynamicAll} {
			for _, opset := range opsets {
				list = append(list, options{ExportOptions: onnx.ExportOptions{Mode: mode, Dynamic: dynamic, Opset: opset}})
			}
		}
	}
	return list
}

// extras is every other option at these opsets.
func extras(opsets ...int) []options {
	var list []options
	for _, mode := range []onnx.Mode{onnx.Eval, onnx.Train, onnx.Preserve} {
		plain := onnx.ExportOptions{Mode: mode}
		all := onnx.ExportOptions{Mode: mode, Softmax: true, Preprocess: true, Half: true, Dynamic: onnx.DynamicAll}
		batch := onnx.ExportOptions{Mode: mode, Batch: 3}
		for _, o := range []options{{plain, true}, {all, false}, {all, true}, {batch, false}} {
			for _, opset := range opsets {
				o.Opset = opset
				list = append(list, o)
			}
		}
	}
	return list
}

func everyOpset() []int {
	var list []int
	for v := onnx.MinOpset; v <= onnx.MaxOpset; v++ {
		list = append(list, v)
	}
	return list
}

// readSubjects returns small random models, for everything, and two for the opsets
// people use: one of width 1, with trained weights if shared has them, and the one
// in the program, which train has made.
func readSubjects(shared string) ([]*subject, error) {
	small := model.Default()
	small.Width, small.Classes = 0.1, 10
	same := small
	same.Padding, same.Preprocess = model.PadSame, model.TFPreprocess(256)
	var list []*subject
	for _, s := range []*subject{
		{name: "width 0.1", options: append(product(everyOpset()...), extras(9, 13, 17, 23)...)},
		{name: "width 0.1, SAME", options: append(product(13, 17), extras(13)...)},
	} {
		c := small
		if len(list) == 1 {
			c = same
		}
		var err error
		if s.m, err = random(c); err != nil {
			return nil, err
		}
		s.tolerance = 1e-4
		list = append(list, s)
	}
	full := &subject{name: "width 1, trained", tolerance: 1e-3, options: append(product(13, 17), extras(13)...)}
	var err error
	full.m, err = checkpoint.Open(filepath.Join(shared, "weights", "mobilenet_v2_imagenet.pth"))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("skipped: trained weights are not there, random ones stand in")
		full.name, full.tolerance = "width 1, random", 1e-4
		full.m, err = random(model.Default())
	}
	if err != nil {
		return nil, err
	}
	list = append(list, full)
	data, _ := builtin.Lookup("fashion-mnist")
	ours := &subject{name: "fashion-mnist", tolerance: 1e-3, options: append(product(13, 17), extras(13)...)}
	if ours.m, err = checkpoint.Parse(data); err != nil {
		return nil, err
	}
	list = append(list, ours)
	for _, s := range list {
		s.want = map[string][]float32{}
		s.m.Config.Dropout = 0 // what it drops is random: runs could not be compared
		if s.engine, err = engine.Compile(s.m, engine.Options{}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// random returns a model whose features neither vanish nor grow from layer to layer,
// as those of trained ones: filters have the same length, norms differ from channel
// to channel.
func random(c model.Config) (*model.Model, error) {
	m, err := model.New(c, 1)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, conv := range c.Network().Convs() {
		weights := m.Dict[conv.Name+".weight"].Data
		for filter := range slices.Chunk(weights, len(weights)/conv.Out) {
			var squares float64
			for _, w := range filter {
				squares += float64(w) * float64(w)
			}
			for i := range filter {
				filter[i] *= float32(math.Sqrt(2 / squares))
			}
		}
		for i := range conv.Out {
			m.Dict[conv.Norm+".weight"].Data[i] = 0.5 + rng.Float32()
			m.Dict[conv.Norm+".bias"].Data[i] = rng.Float32()
			m.Dict[conv.Norm+".running_mean"].Data[i] = rng.Float32() - 0.5
			m.Dict[conv.Norm+".running_var"].Data[i] = 0.5 + rng.Float32()
		}
	}
	return m, nil
}

// readPhotos returns three photos: shared ones, or a drawing of the repository
// three times over, moved.
func readPhotos(shared string) ([]*vision.Image, error) {
	files, err := filepath.Glob(filepath.Join(shared, "images", "nips17", "*.png"))
	if err != nil {
		return nil, err
	}
	if len(files) < 3 {
		fmt.Println("skipped: shared photos are not there, testdata/shapes.png stands in")
		files = []string{"testdata/shapes.png", "testdata/shapes.png", "testdata/shapes.png"}
	}
	var photos []*vision.Image
	for i, file := range files[:3] {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		photo, err := vision.Decode(context.Background(), data, vision.DecodeOptions{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		shift := 3 * 10 * i
		photo.Pix = append(append([]byte{}, photo.Pix[shift:]...), photo.Pix[:shift]...)
		photos = append(photos, photo)
	}
	return photos, nil
}

// A testCase is one exported file and the inputs it is run on.
type testCase struct {
	subject *subject
	options options
	file    string
	runs    []*trial
	checked int // by so many checkers
	failed  []string
}

func (c *testCase) String() string {
	return fmt.Sprintf("%s, %s, opset %d", c.subject.name, c.options, c.options.Opset)
}

// A trial is an input of a case and what the engine makes of it; the same files are
// named in what the peers are told.
type trial struct {
	Model  string `json:"model"`
	Input  string `json:"input"`
	Type   string `json:"type"`
	Dims   []int  `json:"dims"`
	Output string `json:"output"`

	want       []float32
	ran        bool // by ONNX Runtime
	difference float64
}

// newCase exports a model, checks the file as we do, and computes what it should.
func newCase(path string, s *subject, o options, photos []*vision.Image) (*testCase, error) {
	c := &testCase{subject: s, options: o, file: path + ".onnx"}
	p, err := onnx.Export(s.m, o.ExportOptions)
	if err != nil {
		return nil, err
	}
	if o.simplify {
		if p, err = onnx.Simplify(p); err != nil {
			return nil, err
		}
	}
	if err := onnx.Save(c.file, p); err != nil {
		return nil, err
	}
	if err := onnx.Check(p); err != nil {
		c.failed = append(c.failed, "our own check: "+err.Error())
	}
	for _, n := range c.batches() {
		for _, size := range c.sizes() {
			t := &trial{Model: c.file, Input: fmt.Sprintf("%s-%d-%d.in", path, n, size), Output: fmt.Sprintf("%s-%d-%d.out", path, n, size)}
			if err := c.prepare(t, p, n, size, photos); err != nil {
				return nil, err
			}
			c.runs = append(c.runs, t)
		}
	}
	return c, nil
}

func (c *testCase) batches() []int {
	switch {
	case c.options.Dynamic != onnx.Fixed:
		return []int{1, 3}
	case c.options.Batch > 1:
		return []int{c.options.Batch}
	}
	return []int{1}
}

func (c *testCase) sizes() []int {
	side := c.subject.m.Config.Resolution
	if c.options.Dynamic == onnx.DynamicAll {
		return []int{side, side * 6 / 7}
	}
	return []int{side}
}

// prepare writes t's input and computes its expected output: with the engine, or
// by the graph's own meaning where the engine computes something else: for graphs
// in training form and rounded weights.
func (c *testCase) prepare(t *trial, p *onnx.Graph, n, size int, photos []*vision.Image) error {
	pre := c.subject.m.Config.Preprocess
	pixels := make([]byte, 0, n*size*size*3)
	nhwc := make([]float32, n*size*size*3)
	for i := range n {
		crop := vision.Crop(photos[i], pre, size)
		pixels = append(pixels, crop.Pix...)
		vision.Normalize(nhwc[i*size*size*3:], crop, pre.Mean, pre.Std)
	}
	var input []float32
	var raw []byte
	if c.options.Preprocess {
		t.Type, t.Dims, raw = "uint8", []int{n, size, size, 3}, pixels
		for _, v := range pixels {
			input = append(input, float32(v))
		}
	} else {
		t.Type, t.Dims, input = "float32", []int{n, 3, size, size}, planes(nhwc, n, size)
		for _, v := range input {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	if err := os.WriteFile(t.Input, raw, 0o644); err != nil {
		return err
	}
	o := c.options
	key := fmt.Sprint(o.Mode, o.Half, o.Softmax, o.Preprocess, n, size)
	var err error
	if t.want = c.subject.want[key]; t.want == nil {
		if o.Mode == onnx.Train || o.Half {
			t.want, err = interpret(p, t.Dims, input)
		} else {
			t.want, err = c.infer(nhwc, n, size)
		}
		c.subject.want[key] = t.want
	}
	return err
}

func interpret(p *onnx.Graph, dims []int, input []float32) ([]float32, error) {
	outputs, err := onnx.Run(p, dims, input)
	if err != nil {
		return nil, err
	}
	return outputs[0], nil
}

func (c *testCase) infer(nhwc []float32, n, size int) ([]float32, error) {
	want := make([]float32, n*c.subject.m.Config.Classes)
	err := c.subject.engine.Run(context.Background(), engine.Input{Data: nhwc, N: n, H: size, W: size}, engine.Output{Logits: want})
	if c.options.Softmax {
		for row := range slices.Chunk(want, len(want)/n) {
			softmax(row)
		}
	}
	return want, err
}

// planes turns [N,H,W,3] into [N,3,H,W].
func planes(nhwc []float32, n, size int) []float32 {
	dst := make([]float32, len(nhwc))
	area := size * size
	for i, v := range nhwc {
		image, pixel, c := i/(area*3), i/3%area, i%3
		dst[(image*3+c)*area+pixel] = v
	}
	return dst
}

func softmax(row []float32) {
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v))
	}
	for i, v := range row {
		row[i] = float32(math.Exp(float64(v)) / sum)
	}
}
