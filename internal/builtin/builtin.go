// Package builtin holds the models that are in the program, for a first look
// without a network. docs/fashion-mnist.md is the model card.
package builtin

import (
	"bytes"
	_ "embed"
)

// fashionMNIST is a model of Fashion-MNIST (arXiv 1708.07747) as a .safetensors
// file, its matrices in float16.
//
//go:embed fashion-mnist.safetensors
var fashionMNIST []byte

// FashionMNISTConfig is its architecture and preprocessing, as JSON. Its
// training is the recipe "fashion-mnist" of package train.
//
//go:embed fashion-mnist.json
var FashionMNISTConfig []byte

// Names lists the models.
func Names() []string { return []string{"fashion-mnist"} }

// Lookup returns the .safetensors file of the model called name, a copy: tensors
// may share memory with what they are read from, and training changes them.
func Lookup(name string) ([]byte, bool) {
	if name != "fashion-mnist" {
		return nil, false
	}
	return bytes.Clone(fashionMNIST), true
}
