package tflite

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// narrow is a network that is quick to run and to write.
func narrow() model.Config {
	c := model.Default()
	c.SetInput(64, 64)
	c.Classes, c.RoundTo, c.FirstChannels, c.LastChannels = 5, 1, 8, 24
	c.Table = []model.Stage{{T: 1, C: 8, N: 1, S: 1}, {T: 6, C: 8, N: 2, S: 2}, {T: 4, C: 12, N: 2, S: 2}}
	return c
}

// networks are narrow ones, each with something of its own.
var networks = map[string]func(c *model.Config){
	"as it is":      func(c *model.Config) {},
	"same":          func(c *model.Config) { c.Padding = model.PadSame },
	"hidden layers": func(c *model.Config) { c.Head.Hidden = []int{7, 9} },
	"sigmoid":       func(c *model.Config) { c.Head.Sigmoid = true },
	"one class":     func(c *model.Config) { c.Classes, c.Head.Sigmoid = 1, true },
	"odd sizes":     func(c *model.Config) { c.SetInput(47, 90) },
	"odd and same":  func(c *model.Config) { c.SetInput(75, 33); c.Padding = model.PadSame },
	"expanding":     func(c *model.Config) { c.Table[0].Expand = true },
	"one pixel": func(c *model.Config) {
		c.SetInput(32, 32)
		c.Table = append(c.Table, model.Stage{T: 6, C: 20, N: 1, S: 2}, model.Stage{T: 6, C: 24, N: 1, S: 2})
	},
	"no residual": func(c *model.Config) { c.NoStemResidual = true },
}

// trained has norms that do something.
func trained(t testing.TB, c model.Config) *model.Model {
	t.Helper()
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, conv := range c.Network().Convs() {
		for j := range conv.Out {
			x := float32((i*7+j*3)%11)/11 + 0.5
			m.Dict[conv.Norm+".weight"].Data[j], m.Dict[conv.Norm+".bias"].Data[j] = x, x-0.7
			m.Dict[conv.Norm+".running_mean"].Data[j], m.Dict[conv.Norm+".running_var"].Data[j] = x-0.9, 1.5*x
		}
	}
	return m
}

// TestRoundTrip writes networks and reads them again: the same config and labels, and
// the same float32 logits to the bit.
func TestRoundTrip(t *testing.T) {
	for name, change := range networks {
		t.Run(name, func(t *testing.T) {
			c := narrow()
			change(&c)
			m := trained(t, c)
			for i := range c.Outcomes() {
				m.Labels = append(m.Labels, fmt.Sprintf("class\n%d", i))
			}
			data, err := Export(m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if !back.Config.Equal(c) || !slices.Equal(back.Labels, m.Labels) || back.Assumed != (model.Assumed{}) || back.Notes != nil {
				t.Errorf("%+v, %q, assumed %+v, notes %q", back.Config, back.Labels, back.Assumed, back.Notes)
			}
			h, w := c.InputSize()
			in := engine.Input{Pixels: make([]uint8, h*w*3), N: 1, H: h, W: w}
			for i := range in.Pixels {
				in.Pixels[i] = uint8(uint64(i) * 2654435761 >> 13)
			}
			want, got := logits(t, m, in), logits(t, back, in)
			for i := range want {
				if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
					t.Errorf("logit %d is %v, was %v", i, got[i], want[i])
				}
			}
			again, err := Export(back, Options{})
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("%v, or written again it is another file", err)
			}
		})
	}
}

// TestForgotten reads files of ours without our own entries, as after another tool has
// written them.
func TestForgotten(t *testing.T) {
	for name, change := range networks {
		c := narrow()
		change(&c)
		m := trained(t, c)
		data, err := Export(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(bytes.ReplaceAll(data, []byte("mobilenet.config"), []byte("mobilenet.garbag")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := back.Config
		h, w := c.InputSize()
		gh, gw := got.InputSize()
		if gh != h || gw != w || got.Classes != c.Classes || got.Head.Sigmoid != c.Head.Sigmoid || back.Assumed.Norm || back.Assumed.Resolution || !back.Assumed.Resize {
			t.Errorf("%s: %+v, assumed %+v", name, got, back.Assumed)
		}
		for i := range 3 {
			if math.Abs(float64(got.Preprocess.Mean[i]-c.Preprocess.Mean[i])) > 1e-6 || math.Abs(float64(got.Preprocess.Std[i]-c.Preprocess.Std[i])) > 1e-6 {
				t.Errorf("%s: %+v, want %+v", name, got.Preprocess, c.Preprocess)
			}
		}
		if name != "odd and same" && name != "odd sizes" && got.Padding != c.Padding {
			t.Errorf("%s: padding %s", name, got.Padding)
		}
	}
}

// TestFeatures has a network without classes.
func TestFeatures(t *testing.T) {
	c := narrow()
	c.Classes = 0
	m := trained(t, c)
	for name := range m.Dict {
		if strings.HasPrefix(name, "classifier") {
			delete(m.Dict, name)
		}
	}
	data, err := Export(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(data)
	if err != nil || !back.Config.Equal(c) {
		t.Errorf("%v, %+v", err, back)
	}
}

// TestHalf has weights as float16 holds them, in half the bytes.
func TestHalf(t *testing.T) {
	m := trained(t, narrow())
	whole, err := Export(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := Export(m, Options{Half: true})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Export(back, Options{Half: true})
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("%v, or float16 became another float16", err)
	}
	if len(data) > len(whole)*8/10 {
		t.Errorf("%d bytes of %d", len(data), len(whole))
	}
}

// TestLabelsFile looks at the archive as other programs do.
func TestLabelsFile(t *testing.T) {
	m := trained(t, narrow())
	m.Labels = []string{"ant", "bee", "two\r\nlines", "", "é"}
	data, err := Export(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(z.File) != 1 {
		t.Fatal(err)
	}
	f := z.File[0]
	offset, err := f.DataOffset()
	if err != nil || f.Method != zip.Store || f.Flags&8 != 0 || !bytes.HasPrefix(data[offset:], []byte("ant\nbee\ntwo lines\n\né\n")) {
		t.Errorf("%v, %+v", err, f.FileHeader)
	}
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || strings.Count(string(text), "\n") != 5 {
		t.Errorf("%v, %q", err, text)
	}
}

func TestExportChecksItsInput(t *testing.T) {
	broken := trained(t, narrow())
	delete(broken.Dict, "features.0.0.weight")
	for want, m := range map[string]*model.Model{"no model": nil, "features.0.0.weight": broken, "model config": {}} {
		if _, err := Export(m, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}
