package report_test

import (
	"fmt"
	"image"
	"log"
	"os"

	"github.com/mobilenet-go/mobilenet/train/report"
)

// Write the worst mistakes of a model, every prediction, the confusion matrix and the
// rest to a folder.
func ExamplePredictions() {
	p := report.NewPredictions([]string{"ant", "bee"})
	for _, photo := range []struct {
		name   string
		label  int
		logits []float32 // what Classifier.Logits gives
	}{{"1.png", 0, []float32{3, 1}}, {"2.png", 1, []float32{2, 1}}} {
		if err := p.Add(photo.name, photo.label, photo.logits); err != nil {
			log.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	photo := func(i int) (image.Image, error) { return image.NewRGBA(image.Rect(0, 0, 224, 224)), nil }
	if err := p.WriteFolder(dir, p.Evaluation(), photo); err != nil {
		log.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		fmt.Println(f.Name())
	}
	fmt.Println("worst:", p.Images[p.Worst(1)[0]].Name)
	// Output:
	// classes.csv
	// confusion_matrix.csv
	// confusion_matrix.png
	// evaluation.json
	// predictions.csv
	// reliability.png
	// val_predictions.jpg
	// worst: 2.png
}

// Count outcomes image by image, without keeping them.
func ExampleTally() {
	tally := report.NewTally([]string{"ant", "bee", "cat"})
	for _, image := range []struct {
		label  int
		logits []float32
	}{{0, []float32{3, 1, 0}}, {1, []float32{2, 1, 0}}, {2, []float32{0, 0, 5}}} {
		if _, err := tally.Add(image.label, image.logits); err != nil {
			log.Fatal(err)
		}
	}
	e := tally.Evaluation()
	fmt.Printf("top-1 %.1f %%, loss %.3f\n", 100*e.Top1Accuracy, e.Loss)
	for _, c := range e.MostConfused(3) {
		fmt.Printf("%s taken for %s: %d\n", e.PerClass[c.True].Name, e.PerClass[c.Predicted].Name, c.Count)
	}
	// Output:
	// top-1 66.7 %, loss 0.530
	// bee taken for ant: 1
}
