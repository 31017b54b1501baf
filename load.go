package mobilenet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/hub"
	"github.com/mobilenet-go/mobilenet/model"
)

// An Option changes how a model is opened.
type Option func(*options)

type options struct {
	fsys     fs.FS
	cache    string
	threads  int
	batch    int
	labels   []string
	input    model.Input
	precise  Precision
	offline  bool
	progress func(name string, done, total int64)
}

func collect(opts []Option) options {
	var o options
	for _, set := range opts {
		if set != nil {
			set(&o)
		}
	}
	return o
}

// WithFS takes files from fsys, such as an embed.FS, and not from the operating
// system. Names of published weights and of models in the program mean what they
// always do.
func WithFS(fsys fs.FS) Option { return func(o *options) { o.fsys = fsys } }

// WithCache has [Open] keep what it makes of a model's weights in the folder dir, some
// 14 MB for each of the eight models used last, so that the next process to open the
// same model starts sooner. The same model is one with the same content of all its
// files, whatever they are called. Without this option nothing is kept.
func WithCache(dir string) Option { return func(o *options) { o.cache = dir } }

// WithThreads sets how many cores a classifier uses at most; 0, the default,
// means all.
func WithThreads(n int) Option { return func(o *options) { o.threads = n } }

// WithBatch sets how many photos run at once in [Classifier.ClassifyAll] and
// [Classifier.EmbedAll]; 0, the default, means as many as threads. It changes no
// result. More photos at once are faster, take more memory, and are waited for
// before the first of them has its result.
func WithBatch(n int) Option { return func(o *options) { o.batch = n } }

// WithLabels names the classes, one each, in place of the model's own names. Names that are
// not as many as the classes are [ErrLabels].
func WithLabels(labels []string) Option { return func(o *options) { o.labels = labels } }

// WithInput says how photos become the input of the network, where the model does not
// say it or says it wrongly: resolution, resize, crop, normalisation.
func WithInput(in model.Input) Option { return func(o *options) { o.input = in } }

// A Precision is that of a network's weights and activations.
type Precision string

const (
	Float32 Precision = "float32"
	Int8    Precision = "int8" // 8-bit integers, see [model.Quantized]
)

// WithPrecision says what [Open] and [NewQuantized] run a network in. Without it one of
// 8-bit integers, whoever quantised it, runs as that where this engine can
// ([Classifier.Unfit] says why not), and everything else in float32. Float32 runs any
// network; Int8 is an error for one that can't run as such.
func WithPrecision(p Precision) Option { return func(o *options) { o.precise = p } }

// WithOffline uses published weights from the cache only.
func WithOffline(offline bool) Option { return func(o *options) { o.offline = offline } }

// WithProgress has f called while published weights are downloaded. total is 0
// while it is unknown.
func WithProgress(f func(name string, done, total int64)) Option {
	return func(o *options) { o.progress = f }
}

// LoadModel returns the model called name: one in the program ("fashion-mnist"),
// published weights ("imagenet1k_v1", "imagenet1k_v2"), which are downloaded once and
// cached, or that in the file of this name. The formats are those of [Formats]; which
// one it is shows in the content. Behind the name of a checkpoint that holds several
// networks stands that of one, with a #: "last.pth#model_ema". The model has a label for each class where they are
// known, and Assumed lists what its file leaves open.
//
// What was quantised comes as float32, and its Dequantized says so: [LoadQuantized] and
// [Open] take a network of 8-bit integers as it is.
//
// Errors about the content are *[fault.Error] and name the file. What is intact but
// not read is errors.ErrUnsupported, a file that isn't there fs.ErrNotExist.
func LoadModel(ctx context.Context, name string, opts ...Option) (*model.Model, error) {
	o := collect(opts)
	s, err := resolve(name, o)
	if err != nil {
		return nil, err
	}
	return o.load(ctx, s)
}

// LoadQuantized returns the network of 8-bit integers called name, as [LoadModel] does
// a model. Of any other model the error is [ErrNotQuantized].
func LoadQuantized(ctx context.Context, name string, opts ...Option) (*model.Quantized, error) {
	o := collect(opts)
	s, err := resolve(name, o)
	if err != nil {
		return nil, err
	}
	n, err := o.network(ctx, s)
	if err == nil && n.quantized == nil {
		err = fault.In(s.name, notQuantized(n.model))
	}
	if err != nil {
		return nil, err
	}
	n.quantized.Labels, err = o.labelsOf(n.about())
	return n.quantized, fault.In(s.name, err)
}

// ErrNotQuantized is returned where [Int8] is asked of a model that is not quantised.
var ErrNotQuantized = errors.New("not a network of 8-bit integers that runs as such here")

// notQuantized is the error for m, which is none, or doesn't run as one.
func notQuantized(m *model.Model) error {
	e := &fault.Error{Kind: fault.Unsupported, Reason: ErrNotQuantized.Error(), Err: ErrNotQuantized}
	switch {
	case m.Unfit != "":
		e.Reason += ": " + m.Unfit
	case !m.Dequantized:
		e.Reason += ": the file has float32 (mobilenet quantize makes 8 bits of it)"
	}
	return e
}

// ReadModel reads a model from r, as [LoadModel] reads that in a file. [New] makes a
// classifier of it. A model that refers to other files can't be read this way.
func ReadModel(r io.Reader, opts ...Option) (*model.Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxModel+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxModel {
		return nil, fault.TooLargef("more than the limit of %d bytes", maxModel)
	}
	return collect(opts).load(context.Background(), source{data: data})
}

// network reads what is in a source.
func (o options) network(ctx context.Context, s source) (network, error) {
	n, _, err := s.load(ctx)
	if err != nil {
		return n, err
	}
	return n, fault.In(s.name, n.setInput(o.input))
}

// load reads the model of a source and names its classes.
func (o options) load(ctx context.Context, s source) (*model.Model, error) {
	n, err := o.network(ctx, s)
	if err != nil {
		return nil, err
	}
	m := n.float32()
	if m.Labels, err = o.labelsOf(m); err != nil {
		return nil, fault.In(s.name, err)
	}
	return m, nil
}

// Published lists the names of the published weights, the oldest first.
func Published() []string {
	var names []string
	for _, w := range hub.List() {
		names = append(names, w.Name)
	}
	return names
}

// Names lists what [LoadModel] and [Open] know by name: the weights in the program
// and the published ones.
func Names() []string { return append(builtin.Names(), Published()...) }

// labelsOf names the classes of m: as the option says, as the model does, or, if
// their number says that it is ImageNet's (1000, or 1001 with TensorFlow's
// background class), as ImageNet does. It returns nil where nobody knows.
func (o options) labelsOf(m *model.Model) ([]string, error) {
	labels := o.labels
	if labels == nil {
		labels = m.Labels
	}
	if labels == nil {
		switch m.Config.Classes {
		case 1000:
			labels = dataset.ImageNetLabels()
		case 1001:
			labels = dataset.ImageNet1001Labels()
		}
	}
	if n := m.Config.Outcomes(); labels != nil && len(labels) != n {
		return nil, fmt.Errorf("%d %w of %d classes", len(labels), ErrLabels, n)
	}
	return labels, nil
}
