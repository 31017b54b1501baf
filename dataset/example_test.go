package dataset_test

import (
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
