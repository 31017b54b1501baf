package onnx_test

import (
	"fmt"
	"log"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

func Example() {
	c := model.Default()
	c.Width, c.Classes = 0.35, 10
	m, err := model.New(c, 1)
	if err != nil {
		log.Fatal(err)
	}
	p, err := onnx.Export(m, onnx.ExportOptions{Dynamic: onnx.DynamicBatch})
	if err != nil {
		log.Fatal(err)
	}
	s, err := onnx.Simplify(p)
	if err != nil {
		log.Fatal(err)
	}
	if err := onnx.Check(s); err != nil {
		log.Fatal(err)
	}
	fmt.Println(onnx.Nodes(p), "nodes became", onnx.Nodes(s))
	// Output: 210 nodes became 100
}
