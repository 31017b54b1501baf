package mobilenet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/mobilenet-go/mobilenet"
)

// The files of these examples are in the repository: a small network of five
// classes with random weights, and a drawing.
const (
	weights = "checkpoint/testdata/zip.pth"
	photo   = "testdata/shapes.png"
)

func Example() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights, mobilenet.WithLabels([]string{"ant", "bee", "cat", "dog", "elk"}))
	if err != nil {
		log.Fatal(err)
	}
	img, err := mobilenet.DecodeFile(ctx, photo)
	if err != nil {
		log.Fatal(err)
	}
	best, err := c.Classify(ctx, img, 2)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range best {
		fmt.Printf("%s %.2f\n", p.Label, p.Probability)
	}
	// Output:
	// elk 0.87
	// ant 0.06
}

func ExampleClassifier_Embed() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights)
	if err != nil {
		log.Fatal(err)
	}
	img, err := mobilenet.DecodeFile(ctx, photo)
	if err != nil {
		log.Fatal(err)
	}
	features, err := c.Embed(ctx, img)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(features), "features")
	// Output: 64 features
}

func ExampleClassifier_ClassifyAll() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights, mobilenet.WithLabels([]string{"ant", "bee", "cat", "dog", "elk"}))
	if err != nil {
		log.Fatal(err)
	}
	// One result or error for each, in order. Photos are decoded ahead on all cores,
	// and a million of them take no more memory than a dozen.
	paths := []string{photo, "absent.jpg", photo}
	i := 0
	for r, err := range c.ClassifyAll(ctx, mobilenet.DecodeFiles(ctx, slices.Values(paths)), 1) {
		if err != nil {
			fmt.Println(i, errors.Is(err, fs.ErrNotExist))
		} else {
			fmt.Println(i, r.Predictions[0].Label)
		}
		i++
	}
	// Output:
	// 0 elk
	// 1 true
	// 2 elk
}

// The photos may come from anywhere: these are the frames of a small film.
func ExampleClassifier_EmbedAll() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights)
	if err != nil {
		log.Fatal(err)
	}
	frames := func(yield func(image.Image, error) bool) {
		for i := range 3 {
			frame := image.NewGray(image.Rect(0, 0, 320, 240))
			draw.Draw(frame, image.Rect(40*i, 100, 40*i+40, 140), image.White, image.Point{}, draw.Src)
			if !yield(frame, nil) {
				return
			}
		}
	}
	for features, err := range c.EmbedAll(ctx, frames) {
		fmt.Println(len(features), err)
	}
	// Output:
	// 64 <nil>
	// 64 <nil>
	// 64 <nil>
}

// Weights in the program's own files, such as an embed.FS.
func ExampleWithFS() {
	files := os.DirFS("checkpoint/testdata")
	c, err := mobilenet.Open(context.Background(), "timm.safetensors", mobilenet.WithFS(files))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Config().Classes, "classes")
	// Output: 5 classes
}

// A model that comes over the network, or out of a database.
func ExampleReadModel() {
	data, err := os.ReadFile(weights)
	if err != nil {
		log.Fatal(err)
	}
	m, err := mobilenet.ReadModel(bytes.NewReader(data))
	if err != nil {
		log.Fatal(err)
	}
	c, err := mobilenet.New(m)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Config().Classes, "classes")
	// Output: 5 classes
}

// From torch's format to ONNX.
func ExampleSaveModel() {
	m, err := mobilenet.LoadModel(context.Background(), weights)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.onnx")
	if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{Half: true}); err != nil {
		log.Fatal(err)
	}
	for _, f := range mobilenet.Formats() {
		fmt.Println(f.Name, f.Endings)
	}
	// Output:
	// torch [.pth .pt]
	// safetensors [.safetensors]
	// Paddle [.pdparams]
	// Keras [.keras .h5]
	// ONNX [.onnx]
	// TFLite [.tflite]
}

// What a file is that can't be opened.
func ExampleLoadModel_errors() {
	_, err := mobilenet.LoadModel(context.Background(), photo)
	fmt.Println(err)
	fmt.Println("intact, but not read here:", errors.Is(err, errors.ErrUnsupported))
	_, err = mobilenet.LoadModel(context.Background(), "absent.pth")
	fmt.Println("not there:", errors.Is(err, fs.ErrNotExist))
	// Output:
	// testdata/shapes.png: an image (PNG), not a model
	// intact, but not read here: true
	// not there: true
}

// The mean of a class's map and the bias are its logit.
func ExampleClassifier_Explain() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights, mobilenet.WithLabels([]string{"ant", "bee", "cat", "dog", "elk"}))
	if err != nil {
		log.Fatal(err)
	}
	img, err := mobilenet.DecodeFile(ctx, photo)
	if err != nil {
		log.Fatal(err)
	}
	e, err := c.Explain(ctx, img, mobilenet.ExplainOptions{Top: 2})
	if err != nil {
		log.Fatal(err)
	}
	seen := c.Seen(img.W, img.H)
	fmt.Printf("%s of %s, %dx%d values over columns %.1f to %.1f\n", e.Method, e.Layer, e.Width, e.Height, seen.Left, seen.Right)
	for _, m := range e.Maps {
		var sum float32
		for _, v := range m.Values {
			sum += v
		}
		fmt.Printf("%s: logit %.3f = %.3f + %.3f\n", m.Label, m.Logit, sum/float32(len(m.Values)), m.Bias)
	}
	// Output:
	// cam of features.7, 14x14 values over columns 27.2 to 132.3
	// elk: logit 2.784 = 2.876 + -0.091
	// ant: logit 0.067 = 0.112 + -0.045
}
