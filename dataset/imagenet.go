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

// imageNetIDs holds the classes' WordNet ids in the order of ILSVRC2012_ID, by
// which the competition's ground truth numbers them from 1. The networks' order
// is that of the sorted ids: image ILSVRC2012_val_00000001 is 490 in the ground
// truth, n01751748, class 65.
//
//go:embed imagenet_synsets.txt
var imageNetIDs string

var ilsvrc = sync.OnceValue(func() []string {
	_, ids, _ := strings.Cut(imageNetIDs, "\n")
	return strings.Fields(ids)
})

// synsets are the WordNet ids of the classes in their order, which is sorted.
var synsets = sync.OnceValue(func() []string { return slices.Sorted(slices.Values(ilsvrc())) })
