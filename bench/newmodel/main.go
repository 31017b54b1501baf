// Command newmodel writes a MobileNetV2 with random weights, for measuring: how
// long a network runs does not depend on what it has learned.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/model"
)

func main() {
	c := model.Default()
	flag.Float64Var(&c.Width, "width", 1, "width multiplier")
	flag.IntVar(&c.Resolution, "resolution", 224, "height and width of the input")
	out := flag.String("o", "model.safetensors", "file to write")
	flag.Parse()
	m, err := model.New(c, 1)
	if err == nil {
		err = checkpoint.Save(*out, m, checkpoint.SaveOptions{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
