package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawn calls write with a path and returns the picture that it wrote there.
func drawn(t *testing.T, write func(path string) error) image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "picture")
	if err := write(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFitAll: names that are too long to be told apart by their ends are told apart
// by what they differ in, or by their numbers.
func TestFitAll(t *testing.T) {
	c, st := newCanvas(1, 1), style(11, ink, false)
	alike := func(format string) (names []string) {
		for i := range 36 {
			names = append(names, fmt.Sprintf(format, i))
		}
		return names
	}
	for _, test := range []struct {
		names []string
		want  map[int]string
	}{
		{alike("class number %02d which has a very long name indeed, and goes on"), map[int]string{0: "…00…", 35: "…35…"}},
		{alike("class number %d which has a very long name indeed, and goes on"), map[int]string{7: "…7…", 17: "…17…"}},
		{append(alike("one thing that has a very long name, and number %d, and goes on and on"), "ant"), map[int]string{3: "…3…", 36: "ant"}},
		{[]string{"ant", "bee"}, map[int]string{0: "ant", 1: "bee"}},
		{append(alike("a long name that does not begin with %d as others do"), alike("some name that does not end with %d as others do")...), nil},
		{[]string{"same", "same"}, map[int]string{0: "0: same", 1: "1: same"}},
	} {
		got := c.fitAll(test.names, 120, st)
		if same := repeated(got); same != nil {
			t.Errorf("alike: %q", got)
		}
		for i, want := range test.want {
			if got[i] != want {
				t.Errorf("%q is %q, want %q", test.names[i], got[i], want)
			}
		}
		for _, name := range got {
			if c.Width(name, st) > 120 {
				t.Errorf("%q is too wide", name)
			}
		}
	}
}

func TestResultsPNG(t *testing.T) {
	nan := math.NaN()
	for name, epochs := range map[string][]Epoch{
		"none":          nil,
		"one":           {{1, 2, 0.5, 1, 0.5, 1, 0.1, 1, 1, "", 0}},
		"no validation": {{1, 2, 0.5, nan, nan, nan, 0.1, 1, 1, "", 0}, {2, 1, 0.6, nan, nan, nan, 0.1, 1, 1, "", 0}},
		"nothing":       {{1, nan, nan, nan, nan, nan, nan, nan, nan, "", 0}},
		"all zero":      {{Epoch: 1}, {Epoch: 2}},
		"denormal":      {{1, 1e-320, 0, 5e-324, 0, 0, 1e-320, 1, 1, "", 0}, {2, 2e-320, 0, 1e-310, 0, 0, 1e-321, 1, 1, "", 0}},
		"largest":       {{1, math.MaxFloat64, 0, -math.MaxFloat64, 0, 0, math.MaxFloat64, 1, 1, "", 0}, {2, 1e289, 0, -1e289, 0, 0, 1e289, 1, 1, "", 0}},
		"huge":          {{1, 1e30, 0, 1e-30, 1, 1, 1e-12, 1, 1, "", 0}, {100000, math.Inf(1), 1, 1, 1, 1, 1, 1, 1, "", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			m := drawn(t, func(path string) error { return WriteResultsPNG(path, epochs) })
			if want := image.Rect(0, 0, 3*panelW, panelH); m.Bounds() != want {
				t.Errorf("bounds %v, want %v", m.Bounds(), want)
			}
		})
	}
}

// TestFit: a name that is too long keeps both its ends, and the width.
func TestFit(t *testing.T) {
	c := newCanvas(10, 10)
	st := style(16, ink, true)
	const name = "Japanese_katakana-character17"
	for _, w := range []float64{0, 10, 40, 100, 150, 1000} {
		got := c.fit(name, w, st)
		front, back, cut := strings.Cut(got, "…")
		if !strings.HasPrefix(name, front) || !strings.HasSuffix(name, back) || cut == (w == 1000) || w >= 40 && c.Width(got, st) > w || w == 100 && (front == "" || back == "") {
			t.Errorf("%v pixels: %q", w, got)
		}
	}
}

// TestRatePanel: the rate of the classifier alone is not on the axis of what follows,
// which would lie on its floor; if nothing follows, it is.
func TestRatePanel(t *testing.T) {
	rates := func(epochs []Epoch) []mark { return panels(epochs)[2].curves[0].points(epochs) }
	run := []Epoch{{Epoch: 0, LR: 0.003}, {Epoch: 1, LR: 2e-5}, {Epoch: 2, LR: 1e-5}}
	if got := rates(run); len(got) != 2 || got[0] != (mark{1, 2e-5}) {
		t.Errorf("%v", got)
	}
	if got := rates(run[:1]); len(got) != 1 {
		t.Errorf("the classifier alone: %v", got)
	}
	if got := rates(run[1:]); len(got) != 2 {
		t.Errorf("without it: %v", got)
	}
}

// TestOneEpoch: a run of one epoch has its value amid an axis of no other.
func TestOneEpoch(t *testing.T) {
	a := axes{x: 10, w: 100, h: 100, first: 1, last: 1, high: 1, step: 1}
	if x, y := a.at(mark{1, 0.5}); x != 60 || y != 50 {
		t.Errorf("it is at %v, %v", x, y)
	}
}

// An axis holds its values, on lines that are not too many.
func TestScale(t *testing.T) {
	for _, test := range [][2]float64{{0, 1}, {0.5, 0.5}, {0, 0}, {-3, -3}, {1e-9, 3e-9}, {0.98, 0.99}, {1, 1e30}, {-5, 17}, {2.3, 2.4}} {
		from, to, step := scale(test[0], test[1])
		rounding := 1e-9 * max(math.Abs(test[0]), math.Abs(test[1]))
		if lines := (to - from) / step; !(from <= test[0]+rounding && to >= test[1]-rounding && lines >= 1 && lines <= 10) {
			t.Errorf("%v: from %v to %v by %v", test, from, to, step)
		}
	}
}

// TestAccuracyPanel: no axis of accuracies goes beyond all of them, where every epoch
// has the same, either.
func TestAccuracyPanel(t *testing.T) {
	accuracy := panels(nil)[1]
	for _, test := range [][2]float64{{1, 1}, {0.97, 0.97}, {0, 1}, {0.9, 1}, {0, 0}} {
		if from, to, _ := accuracy.scale(test[0], test[1]); from > test[0] || to < test[1] || to > 1 || from == to {
			t.Errorf("%v: from %v to %v", test, from, to)
		}
	}
}

// TestIllegible: pictures in which a class has no name say what stands for it.
func TestIllegible(t *testing.T) {
	for _, test := range []struct {
		classes []string
		want    bool
	}{{[]string{"cat", "猫"}, false}, {[]string{"cat", "แมว"}, true}, {[]string{"🐈", "dog"}, true}} {
		e := evaluated(t, 2)
		for i := range e.PerClass {
			e.PerClass[i].Name = test.classes[i]
		}
		p := Predictions{Classes: test.classes}
		for what, text := range map[string]string{"matrix": newMatrix(e).caption(e), "sheet": p.title()} {
			if strings.Contains(text, byNumber) != test.want {
				t.Errorf("%v: %s: %q", test.classes, what, text)
			}
		}
	}
}

// TestNamedRows: so many classes have their names beside the rows, and a matrix of more
// says where names are.
func TestNamedRows(t *testing.T) {
	for classes, want := range map[int]bool{10: true, 200: true, 201: false, 1000: false} {
		e := evaluated(t, classes)
		m := newMatrix(e)
		if m.named() != want || want == strings.Contains(m.caption(e), "card") || m.side() > namedSide {
			t.Errorf("%d classes: named %v, side %v, %q", classes, m.named(), m.side(), m.caption(e))
		}
	}
}

// evaluated is of a model that takes one image of class 0 for class 1 and has
// another right of each class.
func evaluated(t *testing.T, classes int) *Evaluation {
	names := make([]string, classes)
	logits := make([]float32, classes)
	for i := range names {
		names[i] = fmt.Sprintf("class %d", i)
	}
	tally := NewTally(names)
	add := func(label, predicted int) {
		logits[predicted] = 9
		if _, err := tally.Add(label, logits); err != nil {
			t.Fatal(err)
		}
		logits[predicted] = 0
	}
	for i := range classes {
		add(i, i)
	}
	add(0, min(1, classes-1))
	return tally.Evaluation()
}

func TestConfusionPNG(t *testing.T) {
	for _, classes := range []int{1, 2, 10, 30, 150, 1000, 2100} {
		t.Run(fmt.Sprint(classes), func(t *testing.T) {
			e := evaluated(t, classes)
			m := drawn(t, func(path string) error { return WriteConfusionPNG(path, e) })
			if w, h := m.Bounds().Dx(), m.Bounds().Dy(); w > 2600 || h > 2600 || h < 150 {
				t.Errorf("%dx%d pixels", w, h)
			}
			// The diagonal is dark: as many pixels as it has, with a gap of 1 and a
			// number in each cell.
			layout := newMatrix(e)
			dark := 0
			for y := range m.Bounds().Dy() {
				for x := range m.Bounds().Dx() {
					if color.NRGBAModel.Convert(m.At(x, y)) == shadeOf(1) {
						dark++
					}
				}
			}
			rows, side := layout.rows(), int(layout.cell)
			if least := (rows - 1) * max(1, side*(side-4)/2); dark < least {
				t.Errorf("%d dark pixels, want at least %d", dark, least)
			}
		})
	}
	empty := NewTally([]string{"a", "b"}).Evaluation()
	drawn(t, func(path string) error { return WriteConfusionPNG(path, empty) })
	drawn(t, func(path string) error { return WriteReliabilityPNG(path, empty) })
}

func TestWriteFolder(t *testing.T) {
	dir := t.TempDir()
	if err := evaluated(t, 3).WriteFolder(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := fmt.Sprint(names), "[classes.csv confusion_matrix.csv confusion_matrix.png evaluation.json reliability.png]"; got != want {
		t.Errorf("files %v, want %v", got, want)
	}
	if err := evaluated(t, 3).WriteFolder(filepath.Join(dir, "absent")); err == nil {
		t.Error("no error for a folder that does not exist")
	}
}

func TestSheet(t *testing.T) {
	plain := image.NewUniform(color.NRGBA{200, 100, 50, 255})
	tall := image.NewNRGBA(image.Rect(5, 5, 15, 305))
	for i := range tall.Pix {
		tall.Pix[i] = 255
	}
	photo := crop{plain, image.Rect(0, 0, 224, 224)}
	tiles := []Tile{
		{Image: photo, Caption: "97 % dog", Verdict: Right}, {Image: photo, Caption: "50 % cat", Detail: "is dog", Verdict: Wrong},
		{Image: tall, Caption: "a name that is much too long for the tile"}, {Image: image.NewGray(image.Rectangle{})},
	}
	m := drawn(t, func(path string) error { return WriteSheet(path, "", tiles) })
	for i, want := range []color.NRGBA{{21, 128, 61, 255}, {200, 30, 30, 255}, {0, 0, 0, 255}, {0, 0, 0, 255}} {
		x := tileGap + i*(tileSide+tileGap)
		near(t, m, x+2, tileGap+tileSide/2, want) // the frame, or what is beside the picture
		if i < 2 {
			near(t, m, x+tileSide/2, tileGap+tileSide/2, color.NRGBA{200, 100, 50, 255})
		}
	}
	near(t, m, tileGap+2*(tileSide+tileGap)+tileSide/2, tileGap+tileSide/2, color.NRGBA{255, 255, 255, 255})
	if err := WriteSheet(filepath.Join(t.TempDir(), "x.jpg"), "title", nil); err == nil {
		t.Error("no error for no tiles")
	}
}

// crop is an image of a part of the plane.
type crop struct {
	image.Image
	r image.Rectangle
}

func (c crop) Bounds() image.Rectangle { return c.r }

// near allows for what JPEG loses.
func near(t *testing.T, m image.Image, x, y int, want color.NRGBA) {
	t.Helper()
	got := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
	for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
		if d < -24 || d > 24 {
			t.Errorf("(%d, %d) is %v, want %v", x, y, got, want)
			return
		}
	}
}

// A broken write leaves no half of a picture.
func TestNoHalfPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.png")
	if err := writePNG(path, image.NewGray(image.Rectangle{})); err == nil {
		t.Error("no error for a picture without pixels")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%v; want no file", err)
	}
}

// TestAnnotated looks for the picture, in its size and colour, and for ink below.
func TestAnnotated(t *testing.T) {
	orange := color.NRGBA{230, 120, 20, 255}
	for _, test := range []struct{ w, h, wantW, wantH int }{
		{2400, 1350, 1280, 720}, {1350, 2400, 720, 1280}, {300, 200, 300, 200}, {28, 28, minAnnotated, 224}, {1, 1, minAnnotated, 240},
		{5000, 60, 1280, 15},
	} {
		m := image.NewNRGBA(image.Rect(7, 9, 7+test.w, 9+test.h))
		draw.Draw(m, m.Bounds(), image.NewUniform(orange), image.Point{}, draw.Src)
		data, err := Annotated(m, []string{"99.0 %  cat", "0.5 %  a label that is longer than any picture is wide, or nearly any, and then some more"}, 1280)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		b := got.Bounds()
		if b.Dx() != test.wantW || b.Dy() < test.wantH+40 || b.Dy() > test.wantH+140 {
			t.Errorf("%dx%d became %v", test.w, test.h, b)
		}
		near(t, got, b.Dx()/2, test.wantH/2, orange)
		dark := 0
		for y := test.wantH; y < b.Dy(); y++ {
			for x := range b.Dx() {
				if r, _, _, _ := got.At(x, y).RGBA(); r < 0x6000 {
					dark++
				}
			}
		}
		if dark < 100 {
			t.Errorf("%dx%d has %d dark pixels of text", test.w, test.h, dark)
		}
	}
	if _, err := Annotated(image.NewNRGBA(image.Rectangle{}), nil, 9); err == nil {
		t.Error("no error for a picture without pixels")
	}
}
