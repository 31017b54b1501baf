package train

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// vehicles are ImageNet's classes of what drives, swims and flies.
var vehicles = []int{
	403, 404, 405, 407, 408, 417, 436, 444, 450, 466, 468, 472, 484, 510, 511, 537, 547, 554, 555, 561, 565, 569, 573, 575, 576,
	586, 595, 603, 609, 612, 621, 625, 627, 628, 654, 656, 661, 665, 670, 671, 675, 690, 705, 717, 724, 734, 751, 757, 779, 780,
	802, 803, 812, 814, 817, 820, 829, 833, 847, 856, 864, 866, 867, 870, 871, 874, 880, 895, 913, 914,
}

// coarse is the group of an ImageNet class, or empty for none of the four.
func coarse(class int) string {
	in := func(first, last int) bool { return first <= class && class <= last }
	switch {
	case in(7, 24), in(80, 100), in(127, 146):
		return "bird"
	case in(25, 68):
		return "reptile or amphibian"
	case in(300, 326):
		return "insect"
	case slices.Contains(vehicles, class):
		return "vehicle"
	}
	return ""
}

// TestTransfer fine-tunes the classifier of pretrained weights on photos of four
// coarse groups and looks at those it has not seen, for five ways to divide them.
func TestTransfer(t *testing.T) {
	if testing.Short() {
		t.Skip("photos take a while with the race detector")
	}
	weights := testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth")
	list := coarseList(t)
	right, seen := 0.0, 0.0
	for seed := range uint64(5) {
		recipe, err := RecipeNamed("finetune", true)
		if err != nil {
			t.Fatal(err)
		}
		var o Options
		if o.Hyperparameters, err = recipe.With(Changes{Given: func(string) bool { return false }, Augment: "basic", Freeze: "backbone"}); err != nil {
			t.Fatal(err)
		}
		if o.Train, o.Val, err = dataset.Open(list, dataset.Options{Val: 0.25, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		m, err := checkpoint.Open(weights)
		if err != nil {
			t.Fatal(err)
		}
		if o.Model, err = Prepare(m, o.Train, seed); err != nil {
			t.Fatal(err)
		}
		o.RunDir, o.Seed = t.TempDir(), seed
		r, err := Fit(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		n := float64(len(o.Val.Items))
		seen += n
		right += n * r.Epochs[len(r.Epochs)-1].ValAcc1
		t.Logf("seed %d: %.0f of %.0f right after the last epoch", seed, n*r.Epochs[len(r.Epochs)-1].ValAcc1, n)
	}
	if right < 0.95*seen {
		t.Errorf("%.0f of %.0f right, want 95 %%", right, seen)
	}
}

// coarseList writes a CSV of the photos that are in a group.
func coarseList(t *testing.T) string {
	var out strings.Builder
	files, classes := testenv.NIPS17(t)
	for i, file := range files {
		if group := coarse(classes[i]); group != "" {
			out.WriteString(file + "," + group + "\n")
		}
	}
	path := filepath.Join(t.TempDir(), "coarse.csv")
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
