package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// Two grey images through a network with random weights.
func ExampleEngine_Run() {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	in := engine.Input{Pixels: make([]uint8, 2*96*96*3), N: 2, H: 96, W: 96}
	for i := range in.Pixels {
		in.Pixels[i] = 128
	}
	out := engine.Output{
		Logits:   make([]float32, 2*m.Config.Classes),
		Features: make([]float32, 2*1280),
	}
	if err := e.Run(context.Background(), in, out); err != nil {
		log.Fatal(err)
	}
	first, second := out.Logits[:1000], out.Logits[1000:]
	fmt.Println("equal images, equal logits:", first[7] == second[7])
	// Output: equal images, equal logits: true
}

// The map of the last convolution, as a heat map of what the network saw needs it.
func ExampleTap() {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	in := engine.Input{Pixels: make([]uint8, 224*160*3), N: 1, H: 224, W: 160}
	var out engine.Output
	for _, module := range e.Modules() {
		if module.Name == "features.14.conv.0" || module.Name == "features.18" {
			c, h, w := module.Shape(in.H, in.W)
			out.Taps = append(out.Taps, engine.Tap{Module: module.Name, Data: make([]float32, c*h*w)})
			fmt.Println(module.Name, c, h, w)
		}
	}
	if err := e.Run(context.Background(), in, out); err != nil {
		log.Fatal(err)
	}
	// Output:
	// features.14.conv.0 576 14 10
	// features.18 1280 7 5
}

// The second call finds the weights of the first.
func ExampleCached() {
	dir, err := os.MkdirTemp("", "packed")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const key = "random weights, seed 1"
	for range 2 {
		e, from, err := engine.Cached(dir, key, engine.Options{}, func() (engine.Source, string, error) {
			fmt.Println("loading")
			m, err := model.New(model.Default(), 1)
			return engine.Source{Model: m}, key, err
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(from.Config().Classes, "classes")
		e.Close()
	}
	// Output:
	// loading
	// 1000 classes
	// 1000 classes
}
