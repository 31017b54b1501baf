package dataset

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:generate /usr/bin/python3 testdata/imagenet_labels.py

//go:embed imagenet_labels.txt
var imageNetText string

var imageNet = sync.OnceValue(func() []string {
	_, names, _ := strings.Cut(imageNetText, "\n") // the first line is a comment
	return strings.Split(strings.TrimSuffix(names, "\n"), "\n")
})

// ImageNetLabels returns the names of ImageNet-1K's 1000 classes, as in
// torchvision's MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"].
func ImageNetLabels() []string { return slices.Clone(imageNet()) }

// ImageNet1001Labels returns "background" and then the names of
// [ImageNetLabels]: the outputs of networks trained in TensorFlow.
func ImageNet1001Labels() []string { return append([]string{"background"}, imageNet()...) }
