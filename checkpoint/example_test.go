package checkpoint_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/model"
)

// A module that somebody saved as a whole: its network is an attribute, and the
// classifier another one.
func ExampleOpen() {
	m, err := checkpoint.Open("testdata/whole_user.pth")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Config.Classes, "classes,", len(m.Dict), "tensors")
	for _, note := range m.Notes {
		fmt.Println(note)
	}
	// Output:
	// 3 classes, 44 tensors
	// the network is net.backbone
	// its classifier is head.1
	// what the forward of Net does besides calling modules is not in the file
}

// From torchvision's names to timm's.
func ExampleSave() {
	m, err := checkpoint.Open("testdata/zip.pth")
	if err != nil {
		log.Fatal(err)
	}
	m.Labels = []string{"ant", "bee", "cat", "dog", "elk"}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "timm.safetensors")
	if err := checkpoint.Save(path, m, checkpoint.SaveOptions{Naming: checkpoint.TIMM}); err != nil {
		log.Fatal(err)
	}
	tensors, _, err := checkpoint.ReadTensors(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tensors["conv_stem.weight"].Shape)
	again, err := checkpoint.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Labels)
	// Output:
	// [8 3 3 3]
	// [ant bee cat dog elk]
}

// The shapes of a state dict say what network it is of.
func ExampleInferConfig() {
	c := model.Default()
	c.Width, c.Classes = 0.35, 10
	m, err := model.New(c, 1)
	if err != nil {
		log.Fatal(err)
	}
	inferred, err := checkpoint.InferConfig(m.Dict)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inferred.Width, inferred.Classes)
	// Output: 0.35 10
}
