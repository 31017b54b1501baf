package mobilenet_test

import (
	"context"
	"fmt"
	"log"

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
