package model

import (
	"math"
	"strings"
	"testing"
)

// TestCounts holds the parameter and MAC counts that torchvision 0.14.1 gives
// for its mobilenet_v2 at 224x224 with 1000 classes.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		width        float64
		params, macs int
	}{
		{0.1, 1_367_080, 26_659_648},
		{0.25, 1_519_112, 37_201_312},
		{0.35, 1_677_128, 59_285_808},
		{0.5, 1_968_680, 97_131_840},
		{0.75, 2_636_424, 209_069_792},
		{1.0, 3_504_872, 300_774_272},
		{1.3, 5_386_792, 509_374_560},
		{1.4, 6_108_776, 582_195_824},
	} {
		cfg := Default()
		cfg.Width = c.width
		s := cfg.Summarize()
		if s.Params != c.params || s.MACs != c.macs {
			t.Errorf("width %v: %d params and %d MACs, want %d and %d", c.width, s.Params, s.MACs, c.params, c.macs)
		}
	}
}

func TestSpecsOfWidthOne(t *testing.T) {
	specs := Default().Network().Specs()
	if len(specs) != 314 {
		t.Fatalf("%d entries, want 314", len(specs))
	}
	trained := 0
	for _, s := range specs {
		if s.Trained() {
			trained += elements(s.Shape)
		}
	}
	if trained != 3_504_872 {
		t.Errorf("%d trained parameters, want 3504872", trained)
	}
}

func TestNewInitialisation(t *testing.T) {
	cfg := Default()
	m, err := New(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Network().Check(m.Dict); err != nil {
		t.Fatal(err)
	}
	// features.18.0 has fan_out 1280: 409,600 draws pin its deviation down.
	for name, want := range map[string]float64{
		"features.18.0.weight": math.Sqrt(2.0 / 1280),
		"classifier.1.weight":  0.01,
	} {
		sum := 0.0
		data := m.Dict[name].Data
		for _, v := range data {
			sum += float64(v) * float64(v)
		}
		if got := math.Sqrt(sum / float64(len(data))); math.Abs(got/want-1) > 0.01 {
			t.Errorf("%s: standard deviation %v, want %v", name, got, want)
		}
	}
	again, _ := New(cfg, 1)
	if again.Dict["features.0.0.weight"].Data[5] != m.Dict["features.0.0.weight"].Data[5] {
		t.Error("the same seed gave other weights")
	}
}

func TestValidate(t *testing.T) {
	for want, mutate := range map[string]func(*Config){
		"width multiplier 0":     func(c *Config) { c.Width = 0 },
		"width multiplier NaN":   func(c *Config) { c.Width = math.NaN() },
		"-1 classes":             func(c *Config) { c.Classes = -1 },
		"resolution 31":          func(c *Config) { c.Resolution = 31 },
		"table row 1: stride 3":  func(c *Config) { c.Table[1].S = 3 },
		"residuals is empty":     func(c *Config) { c.Table = nil },
		"expand ratio 0":         func(c *Config) { c.Table[0].T = 0 },
		"padding \"reflect\"":    func(c *Config) { c.Padding = "reflect" },
		"std 0":                  func(c *Config) { c.Preprocess.Std[1] = 0 },
		"channels at width 16":   func(c *Config) { c.Width = 16; c.Table[6].C = 4000 },
		"interpolation \"area\"": func(c *Config) { c.Preprocess.Interpolation = "area" },
	} {
		cfg := Default()
		mutate(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestCheckNamesEveryDifference(t *testing.T) {
	m, err := New(Default(), 1)
	if err != nil {
		t.Fatal(err)
	}
	delete(m.Dict, "features.4.conv.1.0.weight")
	m.Dict["layer1.0.conv1.weight"] = Tensor{Shape: []int{1}, Data: []float32{0}}
	m.Dict["classifier.1.bias"] = Tensor{Shape: []int{10}, Data: make([]float32, 10)}
	_, err = FromDict(m.Config, m.Dict)
	for _, want := range []string{
		"1 missing (features.4.conv.1.0.weight)",
		"1 unexpected (layer1.0.conv1.weight)",
		"1 misshapen (classifier.1.bias: shape [10], want [1000])",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{"width": 0.5, "classes": 7}`))
	if err != nil || c.Width != 0.5 || c.Classes != 7 || c.Resolution != 224 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := ParseConfig([]byte(`{"width": -1}`)); err == nil {
		t.Error("no error for a negative width")
	}
}
