package dataset

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

func TestImageNetLabels(t *testing.T) {
	names := ImageNetLabels()
	if len(names) != 1000 {
		t.Fatalf("%d names, want 1000", len(names))
	}
	for class, want := range map[int]string{0: "tench", 258: "Samoyed", 999: "toilet tissue"} {
		if names[class] != want {
			t.Errorf("class %d is %q, want %q", class, names[class], want)
		}
	}
	names[0] = "changed"
	tf := ImageNet1001Labels()
	if want := append([]string{"background"}, ImageNetLabels()...); !cmp.Equal(want, tf) {
		t.Errorf("TensorFlow's labels: %q and %d more", tf[0], len(tf)-1)
	}
	if tf[1] != "tench" {
		t.Errorf("a caller changed the labels: class 0 is %q", tf[1])
	}
}

func TestImageNetLabelsEqualTorchvision(t *testing.T) {
	const script = `
import json, sys
from torchvision.models import MobileNet_V2_Weights
json.dump(MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"], sys.stdout)`
	text, err := exec.Command(testenv.SystemPython(t, "torchvision"), "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ImageNetLabels()); diff != "" {
		t.Errorf("-torchvision +ours:\n%s", diff)
	}
}
