package model_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/mobilenet-go/mobilenet/model"
)

// The network of the paper's Table 2, at half the width and for other photos.
func ExampleConfig() {
	c := model.Default()
	c.Width, c.Classes, c.Resolution = 0.5, 10, 160
	s := c.Summarize()
	fmt.Printf("%d parameters, %.1f million multiply-adds\n", s.Params, float64(s.MACs)/1e6)
	// Output: 700490 parameters, 48.9 million multiply-adds
}

// The layers, with torchvision's names.
func ExampleConfig_Network() {
	n := model.Default().Network()
	b := n.Blocks[3]
	fmt.Println(b.Name, "has", b.In, "channels in,", b.Hidden, "hidden,", b.Out, "out, stride", b.Stride)
	for _, c := range b.Convs() {
		fmt.Println(c.Name+".weight", c.WeightShape())
	}
	// Output:
	// features.4 has 24 channels in, 144 hidden, 32 out, stride 2
	// features.4.conv.0.0.weight [144 24 1 1]
	// features.4.conv.1.0.weight [144 1 3 3]
	// features.4.conv.2.weight [32 144 1 1]
}

// A state dict of another network is told by its names and shapes.
func ExampleFromDict() {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		log.Fatal(err)
	}
	delete(m.Dict, "classifier.1.bias")
	m.Dict["fc.bias"] = model.Tensor{Shape: []int{1000}, Data: make([]float32, 1000)}
	_, err = model.FromDict(m.Config, m.Dict)
	if e, ok := errors.AsType[*model.MismatchError](err); ok {
		fmt.Println("missing:", e.Missing)
		fmt.Println("unexpected:", e.Unexpected)
	}
	// Output:
	// missing: [classifier.1.bias]
	// unexpected: [fc.bias]
}

// What a file of ours holds beside the weights.
func ExampleModel_Metadata() {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		log.Fatal(err)
	}
	m.Config.Classes, m.Labels = 2, []string{"cat", "dog"}
	entries, err := m.Metadata()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(entries[model.LabelsKey])
	c, _, err := model.MetadataConfig(entries)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Classes, c.Preprocess.Resize)
	// Output:
	// ["cat","dog"]
	// 2 256
}
