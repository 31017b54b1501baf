package mobilenet

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Classifier is a model ready to run. It is safe for concurrent use.
type Classifier struct {
	config model.Config
	labels []string // one per class
	engine *engine.Engine
}

// Open loads a model as [LoadModel] does and prepares it for running. What it
// prepares is kept in the cache folder, so that the next process to open the same
// file starts sooner.
func Open(ctx context.Context, source string, opts ...Option) (*Classifier, error) {
	o := collect(opts)
	m, e, err := compiled(ctx, source, o)
	if err != nil {
		return nil, err
	}
	c, err := o.classifier(m, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return c, nil
}

// compiled returns a model, with the labels that are its own, and its engine. If
// the engine is from the cache, the model has no weights.
func compiled(ctx context.Context, source string, o options) (*model.Model, *engine.Engine, error) {
	dir, key := packedFor(source)
	e, m, err := engine.Cached(dir, key, engine.Options{Threads: o.threads}, func() (*model.Model, string, error) {
		m, err := read(ctx, source, o)
		_, now := packedFor(source) // another one if the file was replaced meanwhile
		return m, now, err
	})
	return m, e, err
}

// New prepares a model in memory for running. Later changes to m don't reach the
// classifier.
func New(m *model.Model, opts ...Option) (*Classifier, error) {
	o := collect(opts)
	e, err := engine.Compile(m, engine.Options{Threads: o.threads})
	if err != nil {
		return nil, err
	}
	return o.classifier(m, e)
}

// classifier names the classes of m, which e runs.
func (o options) classifier(m *model.Model, e *engine.Engine) (*Classifier, error) {
	labels, err := o.labelsOf(m)
	if err != nil {
		return nil, err
	}
	if labels == nil {
		labels = make([]string, m.Config.Classes)
		for i := range labels {
			labels[i] = strconv.Itoa(i)
		}
	}
	return &Classifier{config: m.Config, labels: slices.Clone(labels), engine: e}, nil
}

// Config is the model's config.
func (c *Classifier) Config() model.Config { return c.config }

// Labels names the classes by index. Where the model has no names they are the
// indices.
func (c *Classifier) Labels() []string { return slices.Clone(c.labels) }

// Decode reads a photo (JPEG, PNG, GIF, WebP, BMP, TIFF), turned as its EXIF
// orientation says, with the pixels that Pillow gives. It is better input than
// what image.Decode returns, which ignores the orientation.
func Decode(ctx context.Context, r io.Reader) (*vision.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return vision.Decode(ctx, data, vision.DecodeOptions{})
}

// DecodeFile reads the photo at path as [Decode] does.
func DecodeFile(ctx context.Context, path string) (*vision.Image, error) {
	return vision.DecodeFile(ctx, path, vision.DecodeOptions{})
}

// Classify returns the k most probable classes of a photo, the best first.
func (c *Classifier) Classify(ctx context.Context, img image.Image, k int) ([]Prediction, error) {
	out, err := c.ClassifyBatch(ctx, []image.Image{img}, k)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// ClassifyBatch classifies photos together and returns the k most probable
// classes of each. The results are those of [Classifier.Classify] to the bit.
func (c *Classifier) ClassifyBatch(ctx context.Context, imgs []image.Image, k int) ([][]Prediction, error) {
	if k < 1 {
		return nil, fmt.Errorf("the best %d classes: want at least 1", k)
	}
	logits, err := c.Logits(ctx, imgs...)
	if err != nil {
		return nil, err
	}
	out := make([][]Prediction, len(imgs))
	for i, row := range logits {
		if !finite(row) {
			return nil, errors.New("the model's output is not finite: its weights are damaged")
		}
		out[i] = top(row, c.labels, k)
	}
	return out, nil
}

// Logits returns the classifier's outputs, [classes] for each photo, before the
// softmax.
func (c *Classifier) Logits(ctx context.Context, imgs ...image.Image) ([][]float32, error) {
	logits := make([]float32, len(imgs)*c.config.Classes)
	if err := c.run(ctx, imgs, engine.Output{Logits: logits}); err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(logits, c.config.Classes)), nil
}

// Embed returns the features of a photo: the output of the global average pool,
// 1280 values at width 1.
func (c *Classifier) Embed(ctx context.Context, img image.Image) ([]float32, error) {
	features := make([]float32, c.config.Network().Classifier.In)
	if err := c.run(ctx, []image.Image{img}, engine.Output{Features: features}); err != nil {
		return nil, err
	}
	return features, nil
}

func (c *Classifier) run(ctx context.Context, imgs []image.Image, out engine.Output) error {
	if len(imgs) == 0 {
		return errors.New("no images")
	}
	side := c.config.Resolution
	pixels := make([]byte, 0, len(imgs)*side*side*3)
	for _, img := range imgs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if img == nil || img.Bounds().Empty() {
			return errors.New("an image without pixels")
		}
		if b := img.Bounds(); uint64(b.Dx())*uint64(b.Dy()) > vision.DefaultMaxPixels {
			return fmt.Errorf("an image of %dx%d pixels, more than the limit of %d", b.Dx(), b.Dy(), vision.DefaultMaxPixels)
		}
		pixels = append(pixels, c.prepare(img).Pix...)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.engine.Run(ctx, engine.Input{Pixels: pixels, N: len(imgs), H: side, W: side}, out)
}

// Prepare returns what the network sees of a photo: resized and cropped to the
// model's resolution. Given to the classifier it is used as it is, so that many
// photos can be prepared at the same time before they run as a batch.
func (c *Classifier) Prepare(img image.Image) image.Image { return c.prepare(img) }

// prepared marks an image that needs no resizing.
type prepared struct{ *vision.Image }

func (c *Classifier) prepare(img image.Image) prepared {
	if p, ok := img.(prepared); ok && p.W == c.config.Resolution && p.H == p.W {
		return p
	}
	return prepared{vision.Crop(vision.FromImage(img), c.config.Preprocess, c.config.Resolution)}
}
