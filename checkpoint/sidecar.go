package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/model"
)

// Sidecars are the files beside a state dict that say what its weights don't show:
// transformers' MobileNetV2Config and MobileNetV2ImageProcessor, and timm's config.
var Sidecars = []string{"config.json", "preprocessor_config.json"}

// maxSidecar bounds such a file: one with names for 21,000 classes has 1 MB.
const maxSidecar = 16 << 20

// ReadSidecars takes from the files beside a state dict what that leaves open: see
// [Sidecars]. Those of other kinds of models are passed over. Where the file of m says
// everything itself they change nothing. A number of classes that is not m's is noted:
// such a file may be of other weights. Errors are *[fault.Error] and name the file.
func ReadSidecars(m *model.Model, folder fs.FS) error {
	settled := m.Assumed == (model.Assumed{})
	for _, name := range Sidecars {
		text, err := wholefile.Read(folder, name, maxSidecar)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && !settled {
			return fault.In(name, err)
		}
		if !describes(text) {
			continue
		}
		var s sidecar
		err = json.Unmarshal(text, &s)
		if err == nil {
			s.compare(name, m)
		}
		if settled {
			continue
		}
		if err != nil {
			return fault.In(name, fault.Brokenf("not JSON as it should be: %.200v", err))
		}
		if err := s.apply(m); err != nil {
			return fault.In(name, err)
		}
	}
	return m.Config.Validate()
}

// describes reports whether a sidecar is, or was meant to be, about a model of these
// libraries. Many things are called config.json.
func describes(text []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return bytes.Contains(text, []byte("mobilenet")) // a file that is cut
	}
	is := func(field, prefix string) bool {
		var value string
		return json.Unmarshal(fields[field], &value) == nil && strings.HasPrefix(value, prefix)
	}
	_, processor := fields["do_resize"]
	_, normalises := fields["image_mean"]
	_, rescales := fields["rescale_factor"]
	return is("model_type", "mobilenet_v2") || is("architecture", "mobilenetv2") || processor || normalises || rescales
}

// A sidecar has the fields of all three files that are of use.
type sidecar struct {
	// config.json of transformers
	ModelType    string            `json:"model_type"`
	ImageSize    int               `json:"image_size"`
	TFPadding    *bool             `json:"tf_padding"`
	LayerNormEps float64           `json:"layer_norm_eps"`
	OutputStride int               `json:"output_stride"`
	ID2Label     map[string]string `json:"id2label"`
	ProblemType  string            `json:"problem_type"`

	// preprocessor_config.json
	ImageProcessorType string    `json:"image_processor_type"`
	FeatureExtractor   string    `json:"feature_extractor_type"`
	DoResize           *bool     `json:"do_resize"`
	Size               sides     `json:"size"`
	Resample           *int      `json:"resample"`
	DoCenterCrop       *bool     `json:"do_center_crop"`
	CropSize           sides     `json:"crop_size"`
	DoRescale          *bool     `json:"do_rescale"`
	RescaleFactor      float64   `json:"rescale_factor"`
	DoNormalize        *bool     `json:"do_normalize"`
	ImageMean          []float64 `json:"image_mean"`
	ImageStd           []float64 `json:"image_std"`

	// config.json of timm
	Architecture string   `json:"architecture"`
	NumClasses   int      `json:"num_classes"`
	Pretrained   timmData `json:"pretrained_cfg"`
	Args         struct {
		PadType string  `json:"pad_type"`
		BNEps   float64 `json:"bn_eps"`
	} `json:"model_args"`
}

type timmData struct {
	InputSize     []int     `json:"input_size"` // [3, h, w]
	Interpolation string    `json:"interpolation"`
	CropPct       float64   `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Mean          []float32 `json:"mean"`
	Std           []float32 `json:"std"`
	LabelNames    []string  `json:"label_names"`
}

// sides are a size: of the shorter side, or of both.
type sides struct{ shortest, h, w int }

// UnmarshalJSON takes a number, too, as older versions wrote it.
func (s *sides) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &s.shortest) == nil {
		return nil
	}
	var v struct {
		Shortest int `json:"shortest_edge"`
		H        int `json:"height"`
		W        int `json:"width"`
	}
	err := json.Unmarshal(text, &v)
	*s = sides{v.Shortest, v.H, v.W}
	return err
}

// compare notes a number of classes that is not that of m.
func (s *sidecar) compare(file string, m *model.Model) {
	theirs := s.NumClasses
	if s.ModelType == "mobilenet_v2" {
		theirs = len(s.ID2Label)
	}
	if c := m.Config; theirs > 0 && c.Classes > 0 && theirs != c.Classes && theirs != c.Outcomes() {
		m.Notes = append(m.Notes, fmt.Sprintf("%s is of %d classes, the weights of %d: is it of another model?", file, theirs, c.Classes))
	}
}

func (s *sidecar) apply(m *model.Model) error {
	switch {
	case s.ModelType == "mobilenet_v2":
		return s.network(m)
	case s.processor():
		return s.photos(m)
	case strings.HasPrefix(s.Architecture, "mobilenetv2"):
		m.Assumed.Head = false
		if s.Args.PadType == "same" {
			m.Config.Padding = model.PadSame
		}
		if s.Args.BNEps != 0 {
			m.Config.BNEps = s.Args.BNEps
		}
		return s.Pretrained.apply(m)
	}
	return nil
}

// processor reports whether this is a preprocessor_config.json, of a kind that does
// what MobileNetV2's does.
func (s *sidecar) processor() bool {
	kind := s.ImageProcessorType + s.FeatureExtractor
	return (kind == "" || strings.Contains(kind, "MobileNetV2")) && (s.DoResize != nil || s.ImageMean != nil || s.RescaleFactor != 0)
}

// network applies MobileNetV2Config.
func (s *sidecar) network(m *model.Model) error {
	c := &m.Config
	m.Assumed.Head = false
	if s.OutputStride != 0 && s.OutputStride != 32 {
		return fault.Unsupportedf("output_stride %d: only the network of stride 32 is run, without dilated convolutions", s.OutputStride)
	}
	if s.TFPadding != nil {
		c.Padding = model.PadTorch
		if *s.TFPadding {
			c.Padding = model.PadSame
		}
	}
	if s.LayerNormEps != 0 {
		c.BNEps = s.LayerNormEps
	}
	if s.ProblemType == multiLabel && c.Classes > 0 {
		c.Head.Sigmoid = true
	}
	if s.ImageSize != 0 {
		if err := m.SetInput(model.Input{Height: s.ImageSize}); err != nil {
			return err
		}
	}
	// LABEL_0 and so on are what transformers writes where nobody gave names.
	if labels := inOrder(s.ID2Label, c.Outcomes()); labels != nil && labels[0] != "LABEL_0" {
		m.Labels = labels
	}
	return nil
}

// inOrder lists the labels by index, if there is one for each of n.
func inOrder(byIndex map[string]string, n int) []string {
	if n == 0 || len(byIndex) != n {
		return nil
	}
	labels := make([]string, n)
	for i := range labels {
		label, ok := byIndex[strconv.Itoa(i)]
		if !ok {
			return nil
		}
		labels[i] = label
	}
	return labels
}

// photos applies MobileNetV2ImageProcessor.
func (s *sidecar) photos(m *model.Model) error {
	var in model.Input
	switch {
	case s.DoResize != nil && !*s.DoResize:
		return fault.Unsupportedf("do_resize is false: photos are always resized here")
	case s.Resample != nil && *s.Resample == 3:
		in.Interpolation = model.Bicubic
	case s.Resample != nil && *s.Resample != 2:
		return fault.Unsupportedf("resample %d: want 2 (bilinear) or 3 (bicubic)", *s.Resample)
	default:
		in.Interpolation = model.Bilinear
	}
	crops := s.DoCenterCrop == nil || *s.DoCenterCrop
	switch {
	case crops && s.CropSize.shortest != 0:
		in.Height, in.Width = s.CropSize.shortest, s.CropSize.shortest
	case crops:
		in.Height, in.Width = s.CropSize.h, s.CropSize.w
	case s.Size.h != 0:
		in.Height, in.Width, in.Squash = s.Size.h, s.Size.w, true
	default:
		return fault.Unsupportedf("without do_center_crop and a size of height and width, photos of all shapes are run: the input is of one here")
	}
	if !in.Squash {
		in.Resize = s.Size.shortest
	}
	in.Mean, in.Std = s.normalisation()
	return m.SetInput(in)
}

// normalisation says (v*factor - mean)/std of levels v from 0 to 255 as (v/255 - mean)/std.
func (s *sidecar) normalisation() (mean, std []float32) {
	factor := 1.0
	if s.DoRescale == nil || *s.DoRescale {
		factor = 1. / 255
		if s.RescaleFactor != 0 {
			factor = s.RescaleFactor
		}
	}
	m, d := []float64{0, 0, 0}, []float64{1, 1, 1}
	if s.DoNormalize == nil || *s.DoNormalize {
		m, d = []float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5} // its defaults, IMAGENET_STANDARD_MEAN
		if s.ImageMean != nil {
			m = s.ImageMean
		}
		if s.ImageStd != nil {
			d = s.ImageStd
		}
	}
	whole := 255 * factor
	if whole > 0.999999 && whole < 1.000001 { // 0.00392156862745098 is 1/255
		whole = 1
	}
	for i := range m {
		mean = append(mean, float32(m[i]/whole))
	}
	for i := range d {
		std = append(std, float32(d[i]/whole))
	}
	return mean, std
}

// apply applies timm's pretrained_cfg.
func (t timmData) apply(m *model.Model) error {
	in := model.Input{Mean: t.Mean, Std: t.Std}
	if len(t.InputSize) == 3 {
		in.Height, in.Width = t.InputSize[1], t.InputSize[2]
	}
	switch t.Interpolation {
	case "bilinear", "bicubic":
		in.Interpolation = model.Interpolation(t.Interpolation)
	case "", "random": // the latter is for training
	default:
		return fault.Unsupportedf("interpolation %q: want bilinear or bicubic", t.Interpolation)
	}
	switch t.CropMode {
	case "", "center":
		in.Crop = t.CropPct
	case "squash":
		if t.CropPct != 0 && t.CropPct != 1 {
			return fault.Unsupportedf("crop_mode squash with a crop_pct of %v", t.CropPct)
		}
		in.Squash = true
	default:
		return fault.Unsupportedf("crop_mode %q: want center or squash", t.CropMode)
	}
	if err := m.SetInput(in); err != nil {
		return err
	}
	if n := len(t.LabelNames); n > 0 {
		if n != m.Config.Outcomes() {
			return fmt.Errorf("%d label_names for %d classes", n, m.Config.Outcomes())
		}
		m.Labels = t.LabelNames
	}
	return nil
}
