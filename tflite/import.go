package tflite

import (
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
	"github.com/mobilenet-go/mobilenet/model"
)

// Parse recognises the MobileNetV2 in a .tflite file by its structure, whatever its
// names, and returns its weights as float32 under torchvision's names. It takes
//
//   - float32, float16 weights, and quantised files, whose weights become what their
//     integers stand for: the model's Dequantized says that it does not round, as what
//     [Network] returns does;
//   - what TensorFlow's converters make of Keras' network and of Slim's, PyTorch's
//     with PAD operators, our own;
//   - heads of FULLY_CONNECTED or 1x1 CONV_2D, with SOFTMAX, LOGISTIC or neither;
//   - preparation of the photos in the graph.
//
// How photos become input is said by LiteRT's metadata, by an input of bytes, which
// are the pixels then, or is assumed: see [model.Model]. Labels come from the metadata
// or from the text file in the archive behind the model.
//
// The error of a graph that is something else is a *[fault.Error] whose Place is the
// first operator, seen from the output, that does not fit.
func Parse(data []byte) (*model.Model, error) {
	m, _, err := Network(data)
	return m, err
}

// Network is [Parse], and where the file has a network of 8-bit integers that this engine
// runs as such, q has them, with the file's own scales: int8 with a scale for each output
// channel, as TensorFlow's converters write it, and uint8 with one scale and zero point,
// as they did before.
//
// q computes the bytes that LiteRT's default kernels (XNNPACK) compute. What is behind the
// logits is left to who runs it: LiteRT's SOFTMAX rounds to bytes once more.
//
// Where part of the graph computes with numbers q is nil, and Unfit of the model names the
// first operator that does.
func Network(data []byte) (m *model.Model, q *model.Quantized, err error) {
	g, err := parse(data)
	if err != nil {
		return nil, nil, err
	}
	about, err := g.describe()
	if err != nil {
		return nil, nil, err
	}
	own, err := g.config()
	if err != nil {
		return nil, nil, err
	}
	t, outputs, err := g.trace(about)
	if err != nil {
		return nil, nil, err
	}
	m, out, err := firstModel(outputs, t.source, own)
	if err != nil {
		return nil, nil, err
	}
	if own == nil {
		about.exact(&m.Config.Preprocess, &g.tensors[g.inputs[0]])
	}
	if err := g.labels(m, about, data); err != nil || !m.Dequantized {
		return m, nil, err
	}
	if q, err = recognise.Quantized(out, t.source, m); err == nil {
		q.LiteRT, q.AveragePool, q.ReLU = true, averages(out), pastSix(q)
		err = q.Validate()
	}
	if errors.Is(err, errors.ErrUnsupported) {
		m.Unfit, q, err = err.Error(), nil, nil
	}
	return m, q, err
}

// averages reports whether the pool behind which out is is AVERAGE_POOL_2D.
func averages(out *recognise.Layer) bool {
	for l := out; l != nil; l = l.From {
		if l.Kind == recognise.Pool {
			return l.Reason == opAveragePool.String()
		}
	}
	return false
}

// pastSix reports whether bytes behind an activation of q stand for more than 6: RELU is
// what bounds them then.
func pastSix(q *model.Quantized) bool {
	for i, c := range q.Config.Network().Convs() {
		l := &q.Convs[i]
		if _, high := l.Out.Range(); c.ReLU6 && l.Max == 255 && l.Out.Quantize(6) < 255 && high > 6 {
			return true
		}
	}
	return false
}

// firstModel is that of the first output which a MobileNetV2 makes: some graphs have
// features beside the classes. The error is that of the first output.
func firstModel(outputs []*recognise.Layer, source recognise.Source, own *model.Config) (m *model.Model, out *recognise.Layer, first error) {
	for _, out := range outputs {
		m, err := recognise.Model(out, source, own)
		if err == nil {
			return m, out, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, nil, first
}

// entries are those of our own in the metadata.
func (g *graph) entries() map[string]string {
	entries := map[string]string{}
	for _, key := range []string{model.ConfigKey, model.LabelsKey} {
		if text, ok := g.metadata[key]; ok {
			entries[key] = string(text)
		}
	}
	return entries
}

// config is what a file of ours says of itself, nil for others.
func (g *graph) config() (*model.Config, error) {
	c, ok, err := model.MetadataConfig(g.entries())
	if !ok || err != nil {
		return nil, err
	}
	return &c, nil
}

// labels names m's classes. Those of others, that are not as many, are left out and
// said.
func (g *graph) labels(m *model.Model, about *description, data []byte) (err error) {
	n := m.Config.Outcomes()
	if m.Labels, err = model.MetadataLabels(g.entries(), n); m.Labels != nil || err != nil {
		return err
	}
	labels, err := about.labelsOf(data)
	switch {
	case err != nil:
		return err
	case labels == nil && about.labels != "":
		m.Notes = append(m.Notes, fmt.Sprintf("its labels, %s, are not in the file", fault.Shown(about.labels)))
	case labels != nil && len(labels) != n:
		m.Notes = append(m.Notes, fmt.Sprintf("its file of labels has %d names for %d classes, and is not used", len(labels), n))
	default:
		m.Labels = labels
	}
	return nil
}
