package quant_test

import (
	"context"
	"fmt"
	"image"
	"log"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/vision"
)

// Quantise the model in the program with a few pictures, and run it.
func ExampleCalibrate() {
	ctx := context.Background()
	m, err := mobilenet.LoadModel(ctx, "fashion-mnist")
	if err != nil {
		log.Fatal(err)
	}
	boot, err := vision.DecodeFile(ctx, "../testdata/ankle-boot.png", vision.DecodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	photos := func(yield func(image.Image, error) bool) { yield(boot, nil) } // 32 to 512 of them
	q, err := quant.Calibrate(ctx, m, photos, quant.Options{})
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.CompileQuantized(q, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	c, err := quant.Compare(ctx, m, q, photos, quant.CompareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, the same class: %v\n", e.Precision(), c.Agreement == 1)
	// Output: int8, the same class: true
}
