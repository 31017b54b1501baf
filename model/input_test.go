package model

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSetInput holds the sizes that torchvision's users take for these inputs
// (resize = input/0.875), starting from IMAGENET1K_V1's 256 for 224.
func TestSetInput(t *testing.T) {
	for side, want := range map[int]int{96: 110, 128: 146, 160: 183, 192: 219, 224: 256, 299: 342, 320: 366} {
		c := Default()
		c.SetInput(side, side)
		if c.Preprocess.Resize != want || DefaultResize(side) != want {
			t.Errorf("input %d: resize %d, by default %d; want %d", side, c.Preprocess.Resize, DefaultResize(side), want)
		}
	}
	c := Default()
	c.Preprocess.Resize = 232 // IMAGENET1K_V2's
	c.SetInput(192, 256)
	if h, w := c.InputSize(); h != 192 || w != 256 || c.Preprocess.Resize != 265 {
		t.Errorf("input %dx%d, resize %d", h, w, c.Preprocess.Resize)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestInputApply(t *testing.T) {
	third := []float32{0.1, 0.2, 0.3}
	for _, tt := range []struct {
		name string
		in   Input
		want string // what changes in the config's JSON, or the error's beginning after "!"
	}{
		{"nothing", Input{}, ``},
		{"resolution", Input{Height: 96}, `"resolution":96 "resize":110`},
		{"rectangle", Input{Height: 96, Width: 160}, `"resolution":96 "input_width":160 "resize":183`},
		{"resolution and resize", Input{Height: 96, Resize: 96}, `"resolution":96 "resize":96`},
		{"torchvision's pair", Input{Resize: 232, Crop: 224}, `"resize":232`},
		{"crop in pixels", Input{Crop: 160}, `"resolution":160 "resize":183`},
		{"timm's crop_pct", Input{Crop: 0.9}, `"resize":248`}, // int(224/0.9)
		{"squash", Input{Squash: true}, `"squash":true`},
		{"bicubic", Input{Interpolation: Bicubic}, `"interpolation":"bicubic"`},
		{"mean and std", Input{Mean: third, Std: []float32{0.5}}, `"mean":[0.1,0.2,0.3] "std":[0.5,0.5,0.5]`},
		{"-1 to 1", Input{Rescale: 1 / 127.5, Mean: []float32{1}, Std: []float32{1}}, `"mean":[0.5,0.5,0.5] "std":[0.5,0.5,0.5]`},
		{"levels to 255", Input{Rescale: 1, Mean: []float32{127.5}, Std: []float32{51}}, `"mean":[0.5,0.5,0.5] "std":[0.2,0.2,0.2]`},
		{"levels as they are", Input{Rescale: 1}, `"mean":[0,0,0] "std":[0.003921569,0.003921569,0.003921569]`},
		{"rescale below 0", Input{Rescale: -1}, `!rescale -1: want more than 0`},
		{"crop against resolution", Input{Height: 192, Crop: 224}, `!crop 224, resolution 192`},
		{"crop against resize", Input{Crop: 0.9, Resize: 256}, `!crop as a share`},
		{"squash against crop", Input{Crop: 0.9, Squash: true}, `!squash resizes`},
		{"half a pixel", Input{Crop: 99.5}, `!crop 99.5`},
		{"two means", Input{Mean: third[:2]}, `!mean has 2 values`},
		{"std 0", Input{Std: []float32{0}}, `!model config: channel 0`},
		{"tiny", Input{Height: 8}, `!model config: resolution 8`},
		{"negative", Input{Height: -1}, `!resolution, resize and crop`},
	} {
		c := Default()
		before := fields(t, c)
		err := tt.in.Apply(&c)
		if want, fails := strings.CutPrefix(tt.want, "!"); fails {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: error %v, want %s", tt.name, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		after := fields(t, c)
		changed := 0
		for field := range after {
			if !before[field] {
				changed++
				if !strings.Contains(tt.want, field) {
					t.Errorf("%s: %s", tt.name, field)
				}
			}
		}
		if changed != len(strings.Fields(tt.want)) {
			t.Errorf("%s: %d fields changed, want %s", tt.name, changed, tt.want)
		}
	}
}

// fields are those of a config's and its preprocessing's JSON, one by one.
func fields(t *testing.T, c Config) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, v := range []any{c, c.Preprocess} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		for name, value := range m {
			if name != "preprocess" {
				out[`"`+name+`":`+string(value)] = true
			}
		}
	}
	return out
}

func TestAssumed(t *testing.T) {
	m := &Model{Config: Default(), Assumed: AllAssumed}
	for _, step := range []struct {
		in   Input
		want string
	}{
		{Input{}, "--resolution 224 --resize 256 --interpolation bilinear --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"},
		{Input{Height: 96}, "--resize 110 --interpolation bilinear --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"},
		{Input{Interpolation: Bilinear, Squash: true}, "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"},
		{Input{Mean: []float32{0.5}, Std: []float32{0.5}}, ""},
	} {
		if err := m.SetInput(step.in); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(m.Assumed.List(m.Config), " "); got != step.want {
			t.Errorf("after %+v: %s, want %s", step.in, got, step.want)
		}
	}
}

// TestAssumedNorm: what is said of the mean is not assumed, and leaves the deviation so.
func TestAssumedNorm(t *testing.T) {
	m := &Model{Config: Default(), Assumed: Assumed{Norm: true}}
	for _, step := range []struct {
		in   Input
		want string
	}{
		{Input{}, "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"},
		{Input{Mean: []float32{1}}, "--std 0.229,0.224,0.225"},
		{Input{Mean: []float32{0.5}}, "--std 0.229,0.224,0.225"},
		{Input{Std: []float32{0.5}}, ""},
	} {
		if err := m.SetInput(step.in); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(m.Assumed.List(m.Config), " "); got != step.want {
			t.Errorf("after %+v: %q, want %q", step.in, got, step.want)
		}
	}
	m.Assumed = Assumed{Norm: true}
	if err := m.SetInput(Input{Std: []float32{0.5}}); err != nil || m.Assumed != (Assumed{Mean: true}) {
		t.Errorf("%+v, %v", m.Assumed, err)
	}
}
