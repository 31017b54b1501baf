package mobilenet_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

var errPhoto = errors.New("a photo that nobody could read")

// A pair is what photos gives, and what comes of it.
type pair struct {
	img image.Image
	err error

	want     []mobilenet.Prediction
	features []float32
}

// pairs are photos, and what is none.
func pairs(t *testing.T, c *mobilenet.Classifier) []pair {
	t.Helper()
	ctx := t.Context()
	all := []pair{{err: errPhoto}, {err: context.Canceled}, {}, {img: (*image.NRGBA)(nil)}, {img: &vision.Image{W: 3, H: 3}}}
	for i := range 9 {
		img := image.NewNRGBA(image.Rect(0, 0, 40+i, 50-i))
		for j := range img.Pix {
			img.Pix[j] = byte(j * (i + 3))
		}
		want, err := c.Classify(ctx, img, 3)
		if err != nil {
			t.Fatal(err)
		}
		features, err := c.Embed(ctx, img)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pair{img, nil, want, features}, pair{c.Prepare(img), nil, want, features})
	}
	return all
}

// TestAllIsTheSameAsOneByOne draws photos with bad ones among them, and where the
// loop ends. However it does, no goroutine is left.
func TestAllIsTheSameAsOneByOne(t *testing.T) {
	var classifiers []*mobilenet.Classifier
	for _, opts := range [][]mobilenet.Option{
		nil, {mobilenet.WithThreads(1)}, {mobilenet.WithBatch(5)}, {mobilenet.WithThreads(3), mobilenet.WithBatch(1)},
	} {
		classifiers = append(classifiers, open(t, opts...))
	}
	known := pairs(t, classifiers[0])
	rapid.Check(t, func(r *rapid.T) {
		c := rapid.SampledFrom(classifiers).Draw(r, "classifier")
		stream := rapid.SliceOfN(rapid.SampledFrom(known), 0, 20).Draw(r, "photos")
		end := rapid.IntRange(0, 20).Draw(r, "end")
		before := runtime.NumGoroutine()
		i := 0
		for got, err := range c.ClassifyAll(t.Context(), seq(stream), 3) {
			checkPair(t, stream[i], err)
			if diff := cmp.Diff(stream[i].want, got.Predictions); diff != "" {
				t.Errorf("photo %d: %s", i, diff)
			}
			if i++; i == end {
				break
			}
		}
		if want := min(len(stream), max(end, 1)); i != want && end > 0 {
			t.Errorf("%d results, want %d", i, want)
		}
		i = 0
		for got, err := range c.EmbedAll(t.Context(), seq(stream)) {
			checkPair(t, stream[i], err)
			if !slices.Equal(got, stream[i].features) {
				t.Errorf("photo %d: other features", i)
			}
			i++
		}
		if i != len(stream) {
			t.Errorf("%d embeddings, want %d", i, len(stream))
		}
		for end := time.Now().Add(3 * time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) { // the last one may be about to end
			if time.Now().After(end) {
				r.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			}
		}
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}

func checkPair(t *testing.T, p pair, err error) {
	t.Helper()
	if (err != nil) != (p.want == nil) || p.err != nil && err != p.err {
		t.Errorf("error %v for %v", err, p)
	}
}

func seq(all []pair) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for _, p := range all {
			if !yield(p.img, p.err) {
				return
			}
		}
	}
}

// A watched image calls f when its pixels are asked for.
type watched struct {
	image.Image
	f func()
}

func (w watched) At(x, y int) color.Color {
	w.f()
	return w.Image.At(x, y)
}

// TestCancelWithinABatch cancels while the tenth of many photos is prepared. Those that are
// prepared beside it wait for that: else there would be many of them where its thread stands
// still just before.
func TestCancelWithinABatch(t *testing.T) {
	const many = 10_000
	c := open(t, mobilenet.WithThreads(2))
	for name, run := range map[string]func(context.Context, []image.Image) error{
		"ClassifyBatch": func(ctx context.Context, imgs []image.Image) error {
			_, err := c.ClassifyBatch(ctx, imgs, 1)
			return err
		},
		"Logits": func(ctx context.Context, imgs []image.Image) error { _, err := c.Logits(ctx, imgs); return err },
		"ClassifyAll": func(ctx context.Context, imgs []image.Image) (last error) {
			var all []pair
			for _, img := range imgs {
				all = append(all, pair{img: img})
			}
			for _, last = range c.ClassifyAll(ctx, seq(all), 1) {
			}
			return last
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		canceled := make(chan struct{})
		var seen atomic.Int64
		imgs := make([]image.Image, many)
		for i := range imgs {
			var once atomic.Bool
			imgs[i] = watched{image.NewGray(image.Rect(0, 0, 40, 40)), func() {
				if once.Swap(true) {
					return
				}
				switch n := seen.Add(1); {
				case n == 10:
					cancel()
					close(canceled)
				case n > 10:
					<-canceled
				}
			}}
		}
		if err := run(ctx, imgs); err != context.Canceled {
			t.Errorf("%s: error %v, want %v", name, err, context.Canceled)
		}
		if n := seen.Load(); n > 100 {
			t.Errorf("%s: %d photos were prepared, and the tenth ended it", name, n)
		}
	}
}

// TestMemoryIsByTheBatch counts the photos that were taken and have no result yet.
func TestMemoryIsByTheBatch(t *testing.T) {
	const threads, batch = 3, 4
	c := open(t, mobilenet.WithThreads(threads), mobilenet.WithBatch(batch))
	taken, most := 0, 0
	endless := func(yield func(image.Image, error) bool) {
		for taken++; yield(image.NewGray(image.Rect(0, 0, 40, 40)), nil); taken++ {
		}
	}
	n := 0
	for _, err := range c.ClassifyAll(t.Context(), endless, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 200 {
			break
		}
	}
	most = taken - n
	if most > 2*batch+threads+1 {
		t.Errorf("%d photos were taken ahead", most)
	}
}

func TestPreparedForAnotherModel(t *testing.T) {
	build := func(change func(*model.Config)) *mobilenet.Classifier {
		t.Helper()
		config := model.Default()
		config.Width, config.Resolution, config.Classes = 0.1, 64, 5
		change(&config)
		m, err := model.New(config, 1)
		if err != nil {
			t.Fatal(err)
		}
		c, err := mobilenet.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	p := build(func(*model.Config) {}).Prepare(photos()[0])
	if p.Bounds() != image.Rect(0, 0, 64, 64) {
		t.Errorf("bounds %v", p.Bounds())
	}
	for name, test := range map[string]struct {
		change func(*model.Config)
		want   string // in the error; "" for none
	}{
		"other weights":       {func(c *model.Config) { c.Width, c.Classes = 0.35, 7 }, ""},
		"other normalisation": {func(c *model.Config) { c.Preprocess.Mean[0] = 0.1 }, ""},
		"other resolution":    {func(c *model.Config) { c.Resolution = 96 }, "prepared for another model: 64x64 pixels"},
		"other resize":        {func(c *model.Config) { c.Preprocess.Resize = 70 }, "this one wants 64x64 pixels of a photo resized to 70"},
		"other filter":        {func(c *model.Config) { c.Preprocess.Interpolation = model.Bicubic }, "(bicubic)"},
	} {
		c := build(test.change)
		got, err := c.Classify(t.Context(), p, 1)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want it to contain %q", name, err, test.want)
			}
			// Prepare doesn't hide it.
			if _, again := c.Classify(t.Context(), c.Prepare(p), 1); again == nil || again.Error() != err.Error() {
				t.Errorf("%s: error %v after Prepare, want %v", name, again, err)
			}
			continue
		}
		want, wantErr := c.Classify(t.Context(), photos()[0], 1)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || wantErr != nil {
			t.Errorf("%s: errors %v, %v; %s", name, err, wantErr, diff)
		}
	}
}

// A liar is an image whose bounds need not be true.
type liar struct{ image.Rectangle }

func (liar) ColorModel() color.Model   { return color.NRGBAModel }
func (l liar) Bounds() image.Rectangle { return l.Rectangle }
func (liar) At(x, y int) color.Color   { return color.White }

// TestBadCalls wants an error, and no panic, from what no caller should do.
func TestBadCalls(t *testing.T) {
	const minInt, maxInt = -1 << 63, 1<<63 - 1
	c := open(t)
	images := map[string]image.Image{
		"nil":                     nil,
		"nil of a type":           (*image.RGBA)(nil),
		"nil of ours":             (*vision.Image)(nil),
		"nil Prepared":            (*mobilenet.Prepared)(nil),
		"zero Prepared":           new(mobilenet.Prepared),
		"Prepare of nil":          c.Prepare(nil),
		"empty":                   image.NewRGBA(image.Rect(5, 5, 5, 9)),
		"zero of ours":            new(vision.Image),
		"negative sides":          &vision.Image{W: -9, H: -9},
		"negative sides, bytes":   &vision.Image{W: -1, H: -1, Pix: make([]byte, 3)},
		"too few bytes":           &vision.Image{W: 9, H: 9, Pix: make([]byte, 5)},
		"sides that overflow":     &vision.Image{W: 1 << 62, H: 4, Pix: nil},
		"2^32 x 2^32":             liar{image.Rect(0, 0, 1<<32, 1<<32)},
		"a width that overflows":  liar{image.Rectangle{image.Pt(minInt, 0), image.Pt(maxInt, 1)}},
		"a height that overflows": liar{image.Rectangle{image.Pt(0, minInt), image.Pt(1, maxInt)}},
		"uniform":                 image.NewUniform(color.White),
	}
	ctx, sound := t.Context(), photos()[0]
	for name, img := range images {
		_, err1 := c.Classify(ctx, img, 1)
		_, err2 := c.Embed(ctx, img)
		_, err3 := c.ClassifyBatch(ctx, []image.Image{sound, img, sound}, 1)
		_, err4 := c.Logits(ctx, []image.Image{sound, img})
		if err1 == nil || err2 == nil || err3 == nil || err4 == nil {
			t.Errorf("%s: errors %v, %v, %v, %v; want four", name, err1, err2, err3, err4)
			continue
		}
		if want := "photo 1: " + err1.Error(); err3.Error() != want || err4.Error() != want {
			t.Errorf("%s: errors %v and %v, want %s", name, err3, err4, want)
		}
		if p := c.Prepare(img); !p.Bounds().Empty() || p.At(0, 0) != (color.NRGBA{A: 255}) {
			t.Errorf("%s: Prepare gives pixels", name)
		}
	}
	imgs := []image.Image{sound}
	for name, c := range map[string]*mobilenet.Classifier{"zero": {}, "nil": nil} {
		_, err1 := c.Classify(ctx, sound, 1)
		_, err2 := c.Embed(ctx, sound)
		_, err3 := c.ClassifyBatch(ctx, imgs, 1)
		_, err4 := c.Logits(ctx, imgs)
		_, err5 := open(t).Classify(ctx, c.Prepare(sound), 1)
		errs := []error{err1, err2, err3, err4, err5}
		for _, err := range c.ClassifyAll(ctx, seq([]pair{{img: sound}, {img: sound}}), 1) {
			errs = append(errs, err)
		}
		for _, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "neither Open nor New") {
				t.Errorf("%s Classifier: %v", name, errs)
				break
			}
		}
		if len(errs) != 6 {
			t.Errorf("%s Classifier: %d errors, want that of ClassifyAll once", name, len(errs))
		}
	}
	var none context.Context
	if _, err := c.Classify(none, sound, 1); err == nil {
		t.Error("no context, no error")
	}
	if _, err := c.ClassifyBatch(none, imgs, 1); err == nil {
		t.Error("no context, no error of a batch")
	}
	for _, n := range []int{-1, 1 << 40} {
		if _, err := mobilenet.Open(ctx, weights, mobilenet.WithBatch(n)); err == nil {
			t.Errorf("a batch of %d photos", n)
		}
	}
	for _, err := range c.ClassifyAll(ctx, seq([]pair{{img: sound}}), 0) {
		if err == nil {
			t.Error("the best 0 classes")
		}
	}
}

// TestDamagedWeightsEndTheStream reports once what is wrong with the model.
func TestDamagedWeightsEndTheStream(t *testing.T) {
	c := damaged(t)
	n := 0
	for _, err := range c.ClassifyAll(t.Context(), seq([]pair{{err: errPhoto}, {img: photos()[0]}, {img: photos()[1]}}), 1) {
		if want := []error{errPhoto, mobilenet.ErrNotFinite}[n]; !errors.Is(err, want) {
			t.Errorf("pair %d: error %v, want %v", n, err, want)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d pairs, want 2", n)
	}
}

func TestDecodeFiles(t *testing.T) {
	paths := []string{photo, "doc.go", photo, "absent.png", photo}
	c := open(t)
	var failed []string
	i := 0
	for r, err := range c.ClassifyAll(t.Context(), mobilenet.DecodeFiles(t.Context(), slices.Values(paths)), 1) {
		if err != nil {
			failed = append(failed, err.Error())
		} else if r.Predictions[0].Index != 4 || paths[i] != photo {
			t.Errorf("%s: %v", paths[i], r.Predictions)
		}
		i++
	}
	if len(failed) != 2 || !strings.HasPrefix(failed[0], "doc.go: not an image") || !strings.Contains(failed[1], "absent.png") {
		t.Errorf("errors %q", failed)
	}
}

// TestPrepareFile: what is prepared of a file is what Prepare makes of its pixels.
func TestPrepareFile(t *testing.T) {
	c := open(t)
	for _, name := range []string{"420.jpg", "progressive.jpg", "exif6.jpg", "rgb.png"} {
		path := filepath.Join("vision/testdata/images", name)
		img, err := mobilenet.DecodeFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.PrepareFile(t.Context(), path, vision.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := c.Prepare(img)
		for i := range 224 * 224 {
			if x, y := i%224, i/224; got.At(x, y) != want.At(x, y) {
				t.Fatalf("%s: another pixel at %d, %d", name, x, y)
			}
		}
		if _, err := c.Classify(t.Context(), got, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.PrepareFile(t.Context(), "none.jpg", vision.DecodeOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
