package explain_test

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/explain"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/vision"
)

// TestMain keeps the tests out of the user's cache folder.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mobilenet")
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("MOBILENET_CACHE", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

const small = "../checkpoint/testdata/zip.pth"

func open(t testing.TB, path string) *mobilenet.Classifier {
	t.Helper()
	c, err := mobilenet.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func decode(t testing.TB, path string) *vision.Image {
	t.Helper()
	img, err := mobilenet.DecodeFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestAgainstPyTorchGradCAM holds maps of CAM, where it is one, and of Grad-CAM at three
// layers against pytorch-grad-cam's, within a level of 255 (testdata/gradcam.py).
func TestAgainstPyTorchGradCAM(t *testing.T) {
	text, err := os.ReadFile("testdata/gradcam.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Maps []struct {
			Weights, Photo, Layer string
			Class                 int
			Values                []float32
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	opened := map[string]*mobilenet.Classifier{}
	for _, want := range golden.Maps {
		t.Run(fmt.Sprintf("%s/%s/%d", filepath.Base(want.Photo), want.Layer, want.Class), func(t *testing.T) {
			weights, photo := small, filepath.Join("..", want.Photo)
			if want.Weights != "" {
				weights, photo = testenv.Shared(t, want.Weights), testenv.Shared(t, want.Photo)
			}
			c := opened[weights]
			if c == nil {
				c = open(t, weights)
				opened[weights] = c
			}
			layers := c.Layers()
			methods := []mobilenet.Method{mobilenet.GradCAM}
			if want.Layer == layers[len(layers)-1] {
				methods = append(methods, mobilenet.CAM)
			}
			for _, method := range methods {
				e, err := c.Explain(t.Context(), decode(t, photo), mobilenet.ExplainOptions{
					Method: method, Layer: want.Layer, Classes: []int{want.Class},
				})
				if err != nil {
					t.Fatal(err)
				}
				heat := explain.Heat(e, 0, 224, 224, true)
				for i, v := range want.Values {
					x, y := 8+16*(i%14), 8+16*(i/14)
					if got := heat[y*224+x]; !(math.Abs(float64(got-v)) <= 1./255) {
						t.Fatalf("%s: %v at %d, %d, want %v", method, got, x, y, v)
					}
				}
			}
		})
	}
}

// TestHeat: the ends are 0 and 1, values between are linear, a map of one value is 0.
func TestHeat(t *testing.T) {
	e := &mobilenet.Explanation{Height: 1, Width: 2, Maps: []mobilenet.ClassMap{{Values: []float32{-1, 3}}, {Values: []float32{2, 2}}}}
	for _, test := range []struct {
		i    int
		relu bool
		want []float32
	}{
		{0, false, []float32{0, 0, 0.25, 0.75, 1, 1}},
		{0, true, []float32{0, 0, 0.25, 0.75, 1, 1}},
		{1, false, []float32{0, 0, 0, 0, 0, 0}},
	} {
		got := explain.Heat(e, test.i, 2, 6, test.relu)
		for row := range 2 {
			for x, v := range got[row*6:][:6] {
				// pixel x is at (x+0.5)/3-0.5 of the map: -1/3, 0, 1/3, 2/3, 1, 4/3
				want := []float32{0, 0, 1. / 3, 2. / 3, 1, 1}[x]
				if test.i == 1 {
					want = 0
				}
				if math.Abs(float64(v-want)) > 1e-6 {
					t.Errorf("map %d, relu %v, row %d: %v", test.i, test.relu, row, got)
				}
			}
		}
	}
	if e.Maps[0].Values[0] != -1 {
		t.Error("the explanation was changed")
	}
}

// TestPicture: what is seen has colours, and the rest not; the legend has them all; no
// photo is too small, large, narrow or wide.
func TestPicture(t *testing.T) {
	c := open(t, small)
	for _, size := range [][2]int{{1, 1}, {32, 32}, {28, 400}, {3000, 60}, {2000, 6}, {640, 480}} {
		photo := vision.NewImage(size[0], size[1])
		for i := range photo.Pix {
			photo.Pix[i] = byte(i * 7)
		}
		for _, top := range []int{1, 5} {
			e, err := c.Explain(t.Context(), photo, mobilenet.ExplainOptions{Top: top})
			if err != nil {
				t.Fatal(err)
			}
			for _, contours := range []bool{false, true} {
				name := "name\nof two lines"
				m, err := explain.Picture(photo, c.Seen(photo.W, photo.H), e, explain.Options{Contours: contours, Name: name})
				if err != nil {
					t.Fatal(err)
				}
				if b := m.Bounds(); b.Dx() < 300 || b.Dx() > 6*700 || b.Dy() > 6*800 {
					t.Errorf("%v, %d classes: a picture of %v", size, top, b)
				}
			}
		}
	}
}

// TestOverlay: a white photo, in which the network sees the middle. At an alpha of 1 the
// colours are those of the table, and beyond the frame there are none.
func TestOverlay(t *testing.T) {
	photo := vision.NewImage(400, 200)
	for i := range photo.Pix {
		photo.Pix[i] = 255
	}
	e := &mobilenet.Explanation{Method: mobilenet.CAM, Layer: "features.18", Height: 1, Width: 2, Maps: []mobilenet.ClassMap{{Values: []float32{0, 1}}}}
	m, err := explain.Picture(photo, vision.Region{Left: 100, Top: 0, Right: 300, Bottom: 200}, e, explain.Options{Alpha: 1})
	if err != nil {
		t.Fatal(err)
	}
	at := func(x, y int) [3]byte { c := m.RGBAAt(16+416+x, 16+y); return [3]byte{c.R, c.G, c.B} }
	first, last := [3]byte{0, 0, 4}, [3]byte{252, 255, 164} // of inferno
	if got := at(130, 100); got != first {
		t.Errorf("the least value is %v, want %v", got, first)
	}
	if got := at(270, 100); got != last {
		t.Errorf("the largest value is %v, want %v", got, last)
	}
	for _, x := range []int{0, 50, 98, 302, 399} {
		if got := at(x, 100); got[0] != got[1] || got[1] != got[2] || got[0] == 255 {
			t.Errorf("column %d is %v: beyond the frame", x, got)
		}
	}
	if got := m.RGBAAt(16+200, 16+100); got.R != 255 || got.G != 255 || got.B != 255 {
		t.Errorf("the photo alone is %v", got)
	}
}

// TestColormaps: the ends and the middle of matplotlib's.
func TestColormaps(t *testing.T) {
	want := map[explain.Colormap][2][3]byte{
		explain.Inferno: {{0, 0, 4}, {252, 255, 164}},
		explain.Turbo:   {{48, 18, 59}, {122, 4, 3}},
		explain.Jet:     {{0, 0, 128}, {128, 0, 0}},
	}
	photo := vision.NewImage(300, 300)
	e := &mobilenet.Explanation{Height: 1, Width: 2, Maps: []mobilenet.ClassMap{{Values: []float32{0, 1}}}}
	for _, colors := range explain.Colormaps() {
		m, err := explain.Picture(photo, vision.Region{Right: 300, Bottom: 300}, e, explain.Options{Alpha: 1, Colors: colors})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range []int{20, 280} {
			if got := m.RGBAAt(16+316+x, 100); [3]byte{got.R, got.G, got.B} != want[colors][i] {
				t.Errorf("%s: %v, want %v", colors, got, want[colors][i])
			}
		}
	}
}

func TestPictureErrors(t *testing.T) {
	photo := vision.NewImage(300, 300)
	e := &mobilenet.Explanation{Height: 1, Width: 1, Maps: []mobilenet.ClassMap{{Values: []float32{1}}}}
	for _, o := range []explain.Options{{Alpha: 2}, {Alpha: -1}, {Alpha: math.NaN()}, {Colors: "grey"}} {
		if m, err := explain.Picture(photo, vision.Region{Right: 300, Bottom: 300}, e, o); err == nil {
			t.Errorf("%+v: a picture of %v", o, m.Bounds())
		}
	}
	if !slices.Contains(explain.Colormaps(), explain.Inferno) {
		t.Error("no inferno")
	}
}

// BenchmarkPicture is of a photo of 640x480 and a class.
func BenchmarkPicture(b *testing.B) {
	photo := vision.NewImage(640, 480)
	for i := range photo.Pix {
		photo.Pix[i] = byte(i * i >> 9)
	}
	e := &mobilenet.Explanation{Height: 7, Width: 7, Maps: []mobilenet.ClassMap{{Values: make([]float32, 49)}}}
	for i := range e.Maps[0].Values {
		e.Maps[0].Values[i] = float32(i * i % 13)
	}
	for _, contours := range []bool{false, true} {
		b.Run(fmt.Sprintf("contours=%v", contours), func(b *testing.B) {
			for b.Loop() {
				if _, err := explain.Picture(photo, vision.Region{Right: 640, Bottom: 480}, e, explain.Options{Contours: contours}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
