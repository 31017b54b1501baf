package train_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// paint makes a folder of pictures of two colours, twelve of each.
func paint(dir string) error {
	for class, c := range map[string]color.RGBA{"orange": {240, 150, 20, 255}, "blue": {30, 60, 200, 255}} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o777); err != nil {
			return err
		}
		for i := range 12 {
			m := image.NewRGBA(image.Rect(0, 0, 48, 48))
			for y := range 48 {
				for x := range 48 {
					m.Set(x, y, color.RGBA{c.R, c.G, c.B + uint8((x*y+i)%40), 255})
				}
			}
			f, err := os.Create(filepath.Join(dir, class, fmt.Sprint(i, ".png")))
			if err != nil {
				return err
			}
			if err := png.Encode(f, m); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Train a small network on a folder with a folder of photos per class, a quarter of
// them held out.
func ExampleFit() {
	photos, err := os.MkdirTemp("", "photos")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(photos)
	if err := paint(photos); err != nil {
		log.Fatal(err)
	}

	var o train.Options
	if o.Train, o.Val, err = dataset.Open(photos, dataset.Options{Val: 0.25}); err != nil {
		log.Fatal(err)
	}
	recipe, err := train.RecipeNamed("torchvision", false)
	if err != nil {
		log.Fatal(err)
	}
	o.Hyperparameters = recipe.Hyperparameters
	o.Epochs, o.Batch, o.LR = 8, 6, 0.1
	config := model.Default()
	config.Width = 0.1
	config.SetInput(32, 32)
	if o.Model, err = train.New(config, o.Train, o.Seed); err != nil {
		log.Fatal(err)
	}
	o.RunDir = filepath.Join(photos, ".run")
	epochs := 0
	o.EpochDone = func(e, best report.Epoch) { epochs++ }

	r, err := train.Fit(context.Background(), o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(epochs, "epochs")
	fmt.Println("right:", r.Evaluation.Top1Accuracy > 0.5, "of", r.Evaluation.Images)
	_, err = os.Stat(filepath.Join(o.RunDir, train.BestFile))
	fmt.Println("weights:", err == nil)
	// Output:
	// 8 epochs
	// right: true of 6
	// weights: true
}

// Fine-tune only the classifier of pretrained weights: make a model for the classes
// of the photos, and freeze the rest.
func ExamplePrepare() {
	pretrained, err := model.New(model.Default(), 1) // stands for mobilenet.LoadModel(ctx, "imagenet1k_v2")
	if err != nil {
		log.Fatal(err)
	}
	photos := &dataset.Set{Classes: []string{"ant", "bee", "wasp"}}
	m, err := train.Prepare(pretrained, photos, 0)
	if err != nil {
		log.Fatal(err)
	}
	o := train.Options{Hyperparameters: train.Finetune(), Data: train.Data{Model: m, Train: photos}}
	o.Freeze = train.FreezeBackbone
	fmt.Println(m.Labels, m.Dict["classifier.1.weight"].Shape)
	// Output: [ant bee wasp] [3 1280]
}

// What a recipe makes of changes, as the flags of mobilenet train are.
func ExampleRecipe_With() {
	recipe, err := train.RecipeNamed("finetune", true)
	if err != nil {
		log.Fatal(err)
	}
	given := map[string]bool{"epochs": true}
	h, err := recipe.With(train.Changes{
		Given:   func(name string) bool { return given[name] },
		Values:  train.Hyperparameters{Epochs: 2},
		Augment: "basic",
		Freeze:  "none",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.HeadEpochs, h.Optimizer, h.Epochs, h.Warmup)
	// Output: 20 adamw 2 0.5
}

// The recipes that there are.
func ExampleRecipes() {
	for _, r := range train.Recipes() {
		fmt.Println(r.Name, r.Optimizer, r.LR)
	}
	// Output:
	// finetune adamw 0.0005
	// plain sgd 0.003
	// qat adamw 3e-05
	// paper rmsprop 0.045
	// torchvision sgd 0.045
	// fashion-mnist sgd 0.1
}
