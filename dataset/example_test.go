package dataset_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mobilenet-go/mobilenet/dataset"
)

func Example() {
	fmt.Println(dataset.ImageNetLabels()[258])

	labels, err := dataset.ReadLabels("testdata/id2label.json")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(labels)
	// Output:
	// Samoyed
	// [daisy rose tulip]
}

// The folder has images/ and the table of an export that marks the class of each image
// with a 1.
func ExampleOpen() {
	train, val, err := dataset.Open("testdata/flowers", dataset.Options{Val: 0.25, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, note := range train.Notes {
		fmt.Println("note:", note)
	}
	fmt.Println(train.Classes, train.Counts(), val.Counts())
	img, err := train.Image(context.Background(), 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(img.W, "x", img.H)
	// Output:
	// note: testdata/flowers/labels.csv: the paths are in column "filename", the classes are the columns of 0 and 1 (daisy, rose)
	// note: testdata/flowers/labels.csv: the paths are those of files in testdata/flowers/images
	// note: testdata/flowers/labels.csv: the images are those of the table
	// [daisy rose] [3 3] [1 1]
	// 2 x 2
}

// The classes of the set are the model's, whatever the data calls them by.
func ExampleOpenEval() {
	s, err := dataset.OpenEval("testdata/flowers", dataset.EvalOptions{Labels: []string{"tulip", "Rose", "Daisy"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Items[0].Name, s.Classes[s.Items[0].Label])
	// Output: testdata/flowers/images/d1.png Daisy
}

func ExampleImages() {
	paths, skipped, err := dataset.Images("testdata/flowers")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(paths), paths[0])
	for _, s := range skipped {
		fmt.Println(s)
	}
	// Output:
	// 8 testdata/flowers/images/d1.png
	// testdata/flowers/images/r5.heic: HEIC, which is not read
}
