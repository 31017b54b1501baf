package mobilenet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Classifier is a model ready to run, made by [Open] or [New]. It is safe for
// concurrent use. The methods of a zero or nil Classifier that can return an error
// do so.
type Classifier struct {
	config  model.Config
	assumed model.Assumed
	notes   []string
	rounded bool     // in the model's file, and not here
	unfit   string   // why not
	labels  []string // one per class
	named   bool     // these are names, and not indices
	engine  *engine.Engine
	atOnce  int // photos that a stream runs at a time
}

// maxBatch bounds the memory that a wrong option could take.
const maxBatch = 1 << 14

// maxInput is how many pixels a network takes that only its file asks for: 130 MB of
// activations, half a second.
const maxInput = 2048 * 2048

// Open loads a model as [LoadModel] does and prepares it for running. [WithCache]
// keeps what it prepares for the next process.
func Open(ctx context.Context, name string, opts ...Option) (*Classifier, error) {
	o := collect(opts)
	s, err := resolve(name, o)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key := ""
	if o.cache != "" {
		key = o.keyOf(s.key())
	}
	load := func() (engine.Source, string, error) {
		n, key, err := s.load(ctx)
		if err == nil {
			err = fault.In(s.name, n.setInput(o.input))
		}
		if err != nil {
			return engine.Source{}, "", err
		}
		return o.source(n), o.keyOf(key), nil
	}
	e, from, err := engine.Cached(o.cache, key, engine.Options{Threads: o.threads}, load)
	if err != nil {
		return nil, err
	}
	c, err := o.classifier(network{from.Model, from.Quantized}.about(), e)
	return c, fault.In(s.name, err)
}

// source returns n as it is to run.
func (o options) source(n network) engine.Source {
	if n.quantized != nil && o.precise != Float32 {
		return engine.Source{Quantized: n.quantized}
	}
	return engine.Source{Model: n.float32()}
}

// keyOf adds to the key of a model's files what else its engine depends on. The empty
// key stays empty: nothing is kept under it.
func (o options) keyOf(key string) string {
	if key == "" {
		return key
	}
	if o.precise == Float32 {
		key += ",float32"
	}
	if !o.input.IsZero() {
		key += fmt.Sprintf(",%+v", o.input)
	}
	return key
}

// NewQuantized is [New] for a network of 8-bit integers, which runs as that.
func NewQuantized(q *model.Quantized, opts ...Option) (*Classifier, error) {
	if q == nil {
		return nil, errors.New("no model")
	}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	o := collect(opts)
	if o.precise == Float32 {
		return New(q.Dequantize(), opts...)
	}
	own := *q
	if err := own.SetInput(o.input); err != nil {
		return nil, err
	}
	return o.quantized(&own)
}

// quantized makes a classifier that runs q.
func (o options) quantized(q *model.Quantized) (*Classifier, error) {
	e, err := engine.CompileQuantized(q, engine.Options{Threads: o.threads})
	if err != nil {
		return nil, err
	}
	return o.classifier(network{quantized: q}.about(), e)
}

// New prepares a model in memory for running. Later changes to m don't reach the
// classifier.
func New(m *model.Model, opts ...Option) (*Classifier, error) {
	if m == nil {
		return nil, errors.New("no model")
	}
	o := collect(opts)
	own := *m
	if err := own.SetInput(o.input); err != nil {
		return nil, err
	}
	e, err := engine.Compile(&own, engine.Options{Threads: o.threads})
	if err != nil {
		return nil, err
	}
	return o.classifier(&own, e)
}

// classifier names the classes of m, which e runs.
func (o options) classifier(m *model.Model, e *engine.Engine) (*Classifier, error) {
	switch got := Precision(e.Precision()); {
	case o.precise != "" && o.precise != Float32 && o.precise != Int8:
		return nil, fmt.Errorf("precision %q: want %s or %s", o.precise, Float32, Int8)
	case o.precise == Int8 && got != Int8:
		return nil, notQuantized(m)
	}
	labels, err := o.labelsOf(m)
	if err != nil {
		return nil, err
	}
	named := labels != nil
	if !named {
		labels = make([]string, m.Config.Outcomes())
		for i := range labels {
			labels[i] = strconv.Itoa(i)
		}
	}
	h, w := m.Config.InputSize()
	if told := o.input.Height != 0 || o.input.Crop > 1; h > maxInput/w && !told {
		return nil, fault.TooLargef("an input of %dx%d pixels, which takes gigabytes of memory; a resolution that is asked for is not refused (--resolution)", h, w)
	}
	if o.batch < 0 || o.batch > maxBatch {
		return nil, fmt.Errorf("a batch of %d photos: want 1 to %d, or 0 for as many as threads", o.batch, maxBatch)
	}
	return &Classifier{
		config: m.Config, assumed: m.Assumed, notes: m.Notes, rounded: m.Dequantized, unfit: m.Unfit,
		labels: slices.Clone(labels), named: named, engine: e,
		atOnce: cmp.Or(o.batch, e.Threads()),
	}, nil
}

// OnThreads returns a classifier with the same weights in memory that runs on so many
// threads: for who runs many photos at a time, one on a core, and one on all of them.
func (c *Classifier) OnThreads(n int) (*Classifier, error) {
	if c == nil || c.engine == nil {
		return nil, errNoClassifier
	}
	e, err := c.engine.WithThreads(n)
	if err != nil {
		return nil, err
	}
	other := *c
	other.engine = e
	if c.atOnce == c.engine.Threads() {
		other.atOnce = e.Threads()
	}
	return &other, nil
}

// Config is the model's config.
func (c *Classifier) Config() model.Config { return c.config }

// Assumed lists what the model's file leaves open of its input and what was taken
// for it, each as the command's flag that says it: "--resize 256". [WithInput] says it
// here. Where an assumption is wrong so are the answers: show them to somebody.
func (c *Classifier) Assumed() []string { return c.assumed.List(c.config) }

// Notes say what was found in the model's file, or left out of it, where somebody
// might have expected something else.
func (c *Classifier) Notes() []string { return slices.Clone(c.notes) }

// Dequantized reports whether the model is one of 8-bit integers that runs as float32.
// Its answers differ from those of programs that round as its file says.
func (c *Classifier) Dequantized() bool { return c.rounded }

// Unfit says why such a model does not run in 8-bit integers here: the first operator of
// its file that does not fit. It is empty for all other models.
func (c *Classifier) Unfit() string { return c.unfit }

// Precision is what the network runs in.
func (c *Classifier) Precision() Precision { return Precision(c.engine.Precision()) }

// Labels names the classes by index, those of a single output as not and yes. Where
// the model has no names they are the indices.
func (c *Classifier) Labels() []string { return slices.Clone(c.labels) }

// Named reports whether the classes have names.
func (c *Classifier) Named() bool { return c.named }

// Decode reads a photo (JPEG, PNG, GIF, WebP, BMP, TIFF, PPM; see package vision),
// turned as its EXIF orientation says, with the pixels that Pillow gives. It is
// better input than what image.Decode returns, which ignores the orientation. Of r
// at most [vision.MaxFile] bytes are read.
func Decode(ctx context.Context, r io.Reader) (*vision.Image, error) {
	data, err := io.ReadAll(io.LimitReader(r, vision.MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > vision.MaxFile {
		return nil, fault.TooLargef("more than the limit of %d MiB", vision.MaxFile>>20)
	}
	return vision.Decode(ctx, data, vision.DecodeOptions{})
}

// DecodeFile reads the photo at path as [Decode] does.
func DecodeFile(ctx context.Context, path string) (*vision.Image, error) {
	return vision.DecodeFile(ctx, path, vision.DecodeOptions{})
}

// Classify returns the k most probable classes of a photo, the best first.
func (c *Classifier) Classify(ctx context.Context, img image.Image, k int) ([]Prediction, error) {
	if k < 1 {
		return nil, tooFew(k)
	}
	v, err := c.one(ctx, img, logits)
	if err != nil {
		return nil, err
	}
	return c.Best(v, k)
}

// ClassifyBatch classifies photos together and returns the k most probable
// classes of each. The results are those of [Classifier.Classify] to the bit. A
// photo that can't be used ends it, with an error that has the photo's index.
//
// Photos are prepared while others run. Besides them and the results, memory is
// needed for a few dozen prepared ones, however many there are. Where photos come
// one by one, or may fail one by one, [Classifier.ClassifyAll] serves better.
func (c *Classifier) ClassifyBatch(ctx context.Context, imgs []image.Image, k int) ([][]Prediction, error) {
	if k < 1 {
		return nil, tooFew(k)
	}
	var all [][]Prediction
	err := c.batch(ctx, imgs, logits, func(v []float32) error {
		p, err := c.Best(v, k)
		all = append(all, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Logits returns the classifier's outputs, [classes] for each photo, before the
// softmax, or the sigmoid if the model's head has one. A single output z is returned
// as [0, z]: the softmax of these two is 1-sigmoid(z) and sigmoid(z). It works as [Classifier.ClassifyBatch] does.
func (c *Classifier) Logits(ctx context.Context, imgs []image.Image) ([][]float32, error) {
	var all [][]float32
	err := c.batch(ctx, imgs, logits, func(v []float32) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Embed returns the features of a photo: the output of the global average pool,
// 1280 values at width 1.
func (c *Classifier) Embed(ctx context.Context, img image.Image) ([]float32, error) {
	return c.one(ctx, img, features)
}

var (
	logits   = Wanted{Logits: true}
	features = Wanted{Features: true}
)

// one runs one photo.
func (c *Classifier) one(ctx context.Context, img image.Image, want Wanted) ([]float32, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	p, err := c.prepare(img)
	if err != nil {
		return nil, err
	}
	return c.run(ctx, []*Prepared{p}, want)
}

// run runs prepared photos together. It ends early when ctx does.
func (c *Classifier) run(ctx context.Context, photos []*Prepared, want Wanted) ([]float32, error) {
	out, err := c.Infer(ctx, photos, want)
	if want.Features {
		return out.Features, err
	}
	return out.Logits, err
}

// ErrNoClasses is about a model without a classifier, which is for embeddings.
var ErrNoClasses error = fault.Unsupportedf("the model has no classifier: it gives embeddings, and no classes")

// ErrLabels is about names of classes that are not as many as the model's classes.
var ErrLabels = errors.New("labels for a model")

// inMemory is how many photos of a slice run at once. The engine is at its fastest
// from about 16 on; of large inputs it is as many as take 64 MB, which at 224x224
// would be 445.
func (c *Classifier) inMemory() int {
	const most, bytes = 32, 64 << 20
	h, w := c.config.InputSize()
	return max(1, min(most, bytes/(3*h*w)))
}

// batch runs photos that are in memory and calls f with what is wanted of each.
func (c *Classifier) batch(ctx context.Context, imgs []image.Image, want Wanted, f func([]float32) error) error {
	if len(imgs) == 0 {
		return errors.New("no images")
	}
	photos := func(yield func(image.Image, error) bool) {
		for _, img := range imgs {
			if !yield(img, nil) {
				return
			}
		}
	}
	if err := c.usable(ctx); err != nil {
		return err
	}
	i := 0
	for v, err := range c.stream(ctx, photos, c.inMemory(), want) {
		if err == nil {
			err = f(v)
		}
		switch {
		case err == nil:
			i++
		case c.usable(ctx) != nil: // the same for every photo
			return err
		default:
			return fmt.Errorf("photo %d: %w", i, err)
		}
	}
	return nil
}

// usable reports what makes every call fail.
func (c *Classifier) usable(ctx context.Context) error {
	switch {
	case c == nil || c.engine == nil:
		return errNoClassifier
	case ctx == nil:
		return errors.New("no context")
	}
	return ctx.Err()
}

var errNoClassifier = errors.New("a Classifier that neither Open nor New has made")

// ErrNotFinite is about the model, not about a photo: whatever the pixels are, sound
// weights don't overflow.
var ErrNotFinite error = fault.Brokenf("the output is not finite: the model's weights are damaged")

func tooFew(k int) error { return fmt.Errorf("the best %d classes: want at least 1", k) }
