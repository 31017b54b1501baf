// Command augment measures the training data pipeline on one core: photos of a
// folder from files to normalised tensors, by RandomResizedCrop and a flip.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

func main() {
	resolution := flag.Int("resolution", 224, "height and width of the tensor")
	seconds := flag.Float64("seconds", 2, "how long to measure, about")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(flag.Arg(0), *resolution, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run goes through all photos until the time is over and prints what it measured
// as JSON.
func run(folder string, resolution int, least time.Duration) error {
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no photos in %q", folder)
	}
	augment := vision.Augment{MinScale: 0.08, Flip: 0.5}
	p := model.ImageNetPreprocess(256)
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, resolution*resolution*3)
	photo := func(path string) error {
		img, err := vision.DecodeFile(context.Background(), path, vision.DecodeOptions{})
		if err != nil {
			return err
		}
		vision.Normalize(x, augment.Apply(img, p, resolution, rng), p.Mean, p.Std)
		return nil
	}
	if err := photo(files[0]); err != nil {
		return err
	}
	n, start := 0, time.Now()
	for time.Since(start) < least {
		for _, path := range files {
			if err := photo(path); err != nil {
				return err
			}
		}
		n += len(files)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"images_per_second": float64(n) / time.Since(start).Seconds(),
		"images":            n,
	})
}
