package checkpoint

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mobilenet-go/mobilenet/model"
)

// open is a model whose file says nothing of its input.
func open(classes int) *model.Model {
	c := model.Default()
	c.Classes = classes
	return &model.Model{Config: c, Assumed: model.AllAssumed}
}

const (
	// What transformers' MobileNetV2Config and MobileNetV2ImageProcessor write.
	config35 = `{"architectures": ["MobileNetV2ForImageClassification"], "model_type": "mobilenet_v2", "depth_multiplier": 0.35,
		"image_size": 96, "tf_padding": false, "layer_norm_eps": 0.002, "id2label": {"0": "daisy", "1": "rose"}}`
	processor = `{"do_center_crop": true, "crop_size": {"height": 96, "width": 96}, "do_resize": true, "size": {"shortest_edge": 128},
		"resample": 2, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
		"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "image_processor_type": "MobileNetV2ImageProcessor"}`
	// What timm writes.
	timmConfig = `{"architecture": "mobilenetv2_100", "num_classes": 2, "pretrained_cfg": {"input_size": [3, 128, 160],
		"interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}`
)

func TestSidecars(t *testing.T) {
	for _, tt := range []struct {
		name, config, processor string
		assumed                 string // what is still
		check                   func(m *model.Model) bool
	}{
		{"both of transformers", config35, processor, "", func(m *model.Model) bool {
			c := m.Config
			return c.Resolution == 96 && c.Padding == model.PadTorch && c.BNEps == 0.002 && strings.Join(m.Labels, " ") == "daisy rose" &&
				c.Preprocess.Resize == 128 && c.Preprocess.Mean == [3]float32{0.5, 0.5, 0.5} && c.Preprocess.Interpolation == model.Bilinear
		}},
		{"the config alone", config35, "", "--resize 110 --interpolation bilinear --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
			func(m *model.Model) bool { return m.Config.Resolution == 96 }},
		{"levels from 0 to 1", "", strings.Replace(processor, `"do_normalize": true`, `"do_normalize": false`, 1), "", func(m *model.Model) bool {
			return m.Config.Preprocess.Mean == [3]float32{} && m.Config.Preprocess.Std == [3]float32{1, 1, 1}
		}},
		{"levels from 0 to 255", "", strings.Replace(processor, `"do_rescale": true`, `"do_rescale": false`, 1), "", func(m *model.Model) bool {
			p := m.Config.Preprocess // (v - 0.5)/0.5
			return p.Mean[0] == 0.5/255 && p.Std[0] == float32(0.5/255.)
		}},
		{"rescaled to -1 to 1", "", strings.NewReplacer("0.00392156862745098", "0.00784313725490196", `"do_normalize": true`, `"do_normalize": false`).Replace(processor), "",
			func(m *model.Model) bool { return m.Config.Preprocess.Std[0] == 0.5 }},
		{"no crop", "", strings.NewReplacer(`"do_center_crop": true`, `"do_center_crop": false`, `{"shortest_edge": 128}`, `{"height": 64, "width": 96}`).Replace(processor), "",
			func(m *model.Model) bool {
				h, w := m.Config.InputSize()
				return m.Config.Preprocess.Squash && h == 64 && w == 96
			}},
		{"older sizes", "", strings.NewReplacer(`{"height": 96, "width": 96}`, "96", `{"shortest_edge": 128}`, "128").Replace(processor), "",
			func(m *model.Model) bool { return m.Config.Resolution == 96 && m.Config.Preprocess.Resize == 128 }},
		{"timm", timmConfig, "", "", func(m *model.Model) bool {
			h, w := m.Config.InputSize()
			return h == 128 && w == 160 && m.Config.Preprocess.Resize == 177 && m.Config.Preprocess.Interpolation == model.Bicubic // int(160/0.9)
		}},
		{"settings of a training", `{"architecture": {"backbone": "mobilenetv2"}, "size": "large", "model_type": 3}`, `- 1`,
			"--resolution 224 --resize 256 --interpolation bilinear --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
			func(m *model.Model) bool { return m.Config.Equal(open(2).Config) && m.Labels == nil }},
		{"of something else", `{"model_type": "bert", "image_size": 5}`, `{"image_processor_type": "ViTImageProcessor", "do_resize": false}`,
			"--resolution 224 --resize 256 --interpolation bilinear --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
			func(m *model.Model) bool { return m.Config.Equal(open(2).Config) && m.Labels == nil }},
	} {
		folder := fstest.MapFS{}
		if tt.config != "" {
			folder["config.json"] = &fstest.MapFile{Data: []byte(tt.config)}
		}
		if tt.processor != "" {
			folder["preprocessor_config.json"] = &fstest.MapFile{Data: []byte(tt.processor)}
		}
		m := open(2)
		if err := ReadSidecars(m, folder); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := strings.Join(m.Assumed.List(m.Config), " "); got != tt.assumed {
			t.Errorf("%s: still assumed: %s, want %s", tt.name, got, tt.assumed)
		}
		if !tt.check(m) {
			t.Errorf("%s: %+v, labels %v", tt.name, m.Config, m.Labels)
		}
	}
}

// TestSidecarOfOwnFile: what a file of ours says itself is not overridden.
func TestSidecarOfOwnFile(t *testing.T) {
	m := open(2)
	m.Assumed = model.Assumed{}
	folder := fstest.MapFS{"config.json": &fstest.MapFile{Data: []byte(config35)}}
	if err := ReadSidecars(m, folder); err != nil || !m.Config.Equal(open(2).Config) {
		t.Errorf("%+v, %v", m.Config, err)
	}
}

func TestBadSidecars(t *testing.T) {
	for text, want := range map[string]string{
		`{"model_type": "mobilenet_v2"`:                                                  "config.json: not JSON as it should be",
		`{"model_type": "mobilenet_v2", "image_size": -3}`:                               "config.json: resolution, resize and crop",
		`{"model_type": "mobilenet_v2", "image_size": 1000000}`:                          "config.json: model config: resolution 1000000",
		`{"model_type": "mobilenet_v2", "output_stride": 8}`:                             "config.json: output_stride 8",
		`{"do_resize": true, "resample": 1, "size": 256}`:                                "config.json: resample 1",
		`{"do_resize": true, "image_mean": [1, 2], "size": 256}`:                         "config.json: mean has",
		`{"architecture": "mobilenetv2_100", "pretrained_cfg": {"crop_mode": "border"}}`: `config.json: crop_mode "border"`,
	} {
		err := ReadSidecars(open(2), fstest.MapFS{"config.json": &fstest.MapFile{Data: []byte(text)}})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
		if strings.Contains(want, "resample") && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: not ErrUnsupported", text)
		}
	}
}

// FuzzSidecar: whatever stands beside a model, a valid config comes of it or an error.
func FuzzSidecar(f *testing.F) {
	for _, text := range []string{config35, processor, timmConfig, `{"size": []}`, `{"do_resize": true, "rescale_factor": 1e-300}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := open(2)
		if err := ReadSidecars(m, fstest.MapFS{"config.json": &fstest.MapFile{Data: text}}); err != nil {
			return
		}
		if err := m.Config.Validate(); err != nil {
			t.Errorf("accepted: %v", err)
		}
		if m.Labels != nil && len(m.Labels) != 2 {
			t.Errorf("%d labels", len(m.Labels))
		}
	})
}

// TestSidecarOfOtherWeights: a config that says another number of classes is said to, also
// beside a file that has a config of its own.
func TestSidecarOfOtherWeights(t *testing.T) {
	for _, tt := range []struct {
		config  string
		classes int
		want    string
	}{
		{config35, 2, ""},
		{config35, 1, ""}, // one logit of two outcomes
		{config35, 0, ""},
		{config35, 3, "config.json is of 2 classes, the weights of 3: is it of another model?"},
		{timmConfig, 3, "config.json is of 2 classes, the weights of 3: is it of another model?"},
		{`{"model_type": "bert", "id2label": {"0": "a"}}`, 3, ""},
	} {
		for _, settled := range []bool{false, true} {
			m := open(tt.classes)
			m.Config.Head.Sigmoid = tt.classes == 1
			if settled {
				m.Assumed = model.Assumed{}
			}
			before := m.Config
			if err := ReadSidecars(m, fstest.MapFS{"config.json": {Data: []byte(tt.config)}}); err != nil {
				t.Error(err)
			}
			if got := strings.Join(m.Notes, "; "); got != tt.want {
				t.Errorf("%d classes: %q, want %q", tt.classes, got, tt.want)
			}
			if settled && !m.Config.Equal(before) {
				t.Errorf("%d classes: the config is changed", tt.classes)
			}
		}
	}
}
