package mobilenet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/hub"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// An Option changes how a model is opened.
type Option func(*options)

type options struct {
	threads  int
	batch    int
	labels   []string
	offline  bool
	progress func(name string, done, total int64)
}

func collect(opts []Option) options {
	var o options
	for _, set := range opts {
		set(&o)
	}
	return o
}

// WithThreads sets how many cores a classifier uses at most; 0, the default,
// means all.
func WithThreads(n int) Option { return func(o *options) { o.threads = n } }

// WithBatch sets how many photos run at once in [Classifier.ClassifyAll] and
// [Classifier.EmbedAll]; 0, the default, means as many as threads. It changes no
// result. More photos at once are faster, take more memory, and are waited for
// before the first of them has its result.
func WithBatch(n int) Option { return func(o *options) { o.batch = n } }

// WithLabels names the classes, one each, in place of the model's own names.
func WithLabels(labels []string) Option { return func(o *options) { o.labels = labels } }

// WithOffline uses published weights from the cache only.
func WithOffline(offline bool) Option { return func(o *options) { o.offline = offline } }

// WithProgress has f called while published weights are downloaded. total is 0
// while it is unknown.
func WithProgress(f func(name string, done, total int64)) Option {
	return func(o *options) { o.progress = f }
}

// LoadModel returns the weights called source: those in the program
// ("fashion-mnist"), published ones ("imagenet1k_v1", "imagenet1k_v2"), which are
// downloaded once and cached, or the path of a .pth, .safetensors or .onnx file. The
// model has a label for each class where they are known.
func LoadModel(ctx context.Context, source string, opts ...Option) (*model.Model, error) {
	o := collect(opts)
	m, err := read(ctx, source, o)
	if err != nil {
		return nil, err
	}
	if m.Labels, err = o.labelsOf(m); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return m, nil
}

func read(ctx context.Context, source string, o options) (*model.Model, error) {
	if data, ok := builtin.Lookup(source); ok {
		return checkpoint.Parse(data)
	}
	w, ok := hub.Lookup(source)
	if !ok {
		return readFile(source)
	}
	client, err := hub.FromEnv()
	if err != nil {
		return nil, err
	}
	client.Offline, client.Progress = o.offline, o.progress
	path, err := client.Pull(ctx, w)
	if err != nil {
		return nil, err
	}
	m, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	m.Config.Preprocess = w.Preprocess
	return m, nil
}

// readFile tells the formats apart: ONNX by the name, the others by the content.
func readFile(path string) (*model.Model, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(path, `./\`) {
		return nil, fmt.Errorf("%q is neither a file nor a model with a name (%s)", path, strings.Join(Names(), ", "))
	}
	if strings.EqualFold(filepath.Ext(path), ".onnx") {
		return onnx.Import(path)
	}
	return checkpoint.Open(path)
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
	if labels != nil && len(labels) != m.Config.Classes {
		return nil, fmt.Errorf("%d labels for a model of %d classes", len(labels), m.Config.Classes)
	}
	return labels, nil
}
