package train_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
)

// Fine-tune the classifier of published weights on a folder of photos.
func ExampleFit() {
	if _, err := os.Stat("photos"); err != nil {
		fmt.Println("put photos/CLASS/*.jpg here")
		return
	}
	o := train.Options{Hyperparameters: train.Finetune()}
	var err error
	if o.Train, o.Val, err = dataset.Open("photos", dataset.Options{Val: 0.2}); err != nil {
		log.Fatal(err)
	}
	m, err := checkpoint.Open("mobilenet_v2-7ebf99e0.pth")
	if err != nil {
		log.Fatal(err)
	}
	if o.Model, err = train.Prepare(m, o.Train, o.Seed); err != nil {
		log.Fatal(err)
	}
	o.RunDir, o.Freeze = "runs/photos", train.FreezeBackbone
	r, err := train.Fit(context.Background(), o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("epoch %d: %.1f %%\n", r.Best, 100*r.Evaluation.Top1Accuracy)
	// Output: put photos/CLASS/*.jpg here
}
