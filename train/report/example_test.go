package report_test

import (
	"fmt"
	"log"

	"github.com/mobilenet-go/mobilenet/train/report"
)

func Example() {
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
