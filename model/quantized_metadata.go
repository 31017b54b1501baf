package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// QuantizedKey is the entry of a file's metadata that says that it holds a
// [Quantized], and everything of it but config, labels, weights, their scales and
// biases. The value is JSON.
const QuantizedKey = "mobilenet.quantized"

// quantizedEntry is the value under QuantizedKey.
type quantizedEntry struct {
	Input   Quantization            `json:"input"`
	Layers  map[string]layerOutput  `json:"layers"`         // by module path, the classifier's too
	Sums    map[string]QuantizedSum `json:"sums,omitempty"` // by module path of the block
	Pool    Quantization            `json:"avgpool"`
	Logits  bool                    `json:"logits,omitempty"`
	Bias    *ClassBias              `json:"class_bias,omitempty"`
	Signed  bool                    `json:"signed,omitempty"`
	ReLU    bool                    `json:"relu,omitempty"`
	LiteRT  bool                    `json:"litert,omitempty"`
	Average bool                    `json:"average_pool,omitempty"`
	QNNPACK bool                    `json:"qnnpack,omitempty"`
	Wide    bool                    `json:"wide,omitempty"`
	Assumed Assumed                 `json:"assumed"`
}

// layerOutput is what the bytes stand for that a layer puts out, and their bounds.
type layerOutput struct {
	Quantization
	Min uint8 `json:"min"`
	Max uint8 `json:"max"`
}

// Metadata returns what a file of q holds beside weights, their scales and biases. q
// is valid.
func (q *Quantized) Metadata() (map[string]string, error) {
	entries, err := (&Model{Config: q.Config, Labels: q.Labels}).Metadata()
	if err != nil {
		return nil, err
	}
	e := quantizedEntry{
		Input: q.Input, Layers: map[string]layerOutput{}, Sums: map[string]QuantizedSum{}, Pool: q.Pool,
		Logits: q.Logits, Bias: q.ClassBias, Signed: q.Signed, ReLU: q.ReLU, LiteRT: q.LiteRT, Average: q.AveragePool, QNNPACK: q.QNNPACK, Wide: q.Wide, Assumed: q.Assumed,
	}
	for _, p := range q.Parts() {
		e.Layers[p.Name] = layerOutput{p.Layer.Out, p.Layer.Min, p.Layer.Max}
	}
	for i, b := range q.Config.Network().Blocks {
		if b.Residual() {
			e.Sums[b.Name] = q.Sums[i]
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	entries[QuantizedKey] = string(text)
	return entries, nil
}

// MetadataQuantized returns the network among a file's metadata, which lacks the
// weights, scales and biases of its [Quantized.Parts]; ok is false where there is none.
// Errors are *[fault.Error].
func MetadataQuantized(entries map[string]string) (q *Quantized, ok bool, err error) {
	text, ok := entries[QuantizedKey]
	if !ok {
		return nil, false, nil
	}
	c, known, err := MetadataConfig(entries)
	if err != nil {
		return nil, true, err
	}
	if !known {
		return nil, true, wrongEntry(ConfigKey, fmt.Errorf("missing beside %s", QuantizedKey))
	}
	var e quantizedEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return nil, true, wrongEntry(QuantizedKey, err)
	}
	n := c.Network()
	q = &Quantized{
		Config: c, Assumed: e.Assumed, Input: e.Input, Pool: e.Pool, Logits: e.Logits, ClassBias: e.Bias, Signed: e.Signed, ReLU: e.ReLU, LiteRT: e.LiteRT, AveragePool: e.Average, QNNPACK: e.QNNPACK, Wide: e.Wide,
		Convs: make([]QuantizedLayer, len(n.Convs())), Sums: make([]QuantizedSum, len(n.Blocks)),
	}
	for _, p := range q.Parts() {
		out, ok := e.Layers[p.Name]
		if !ok {
			return nil, true, wrongEntry(QuantizedKey, fmt.Errorf("nothing about layer %s", p.Name))
		}
		p.Layer.Out, p.Layer.Min, p.Layer.Max = out.Quantization, out.Min, out.Max
		delete(e.Layers, p.Name)
	}
	for i, b := range n.Blocks {
		sum, ok := e.Sums[b.Name]
		if ok != b.Residual() {
			return nil, true, wrongEntry(QuantizedKey, fmt.Errorf("%s: a sum is %v, a residual %v", b.Name, ok, b.Residual()))
		}
		q.Sums[i] = sum
		delete(e.Sums, b.Name)
	}
	for _, unknown := range [][]string{slices.Sorted(maps.Keys(e.Layers)), slices.Sorted(maps.Keys(e.Sums))} {
		if len(unknown) > 0 {
			return nil, true, wrongEntry(QuantizedKey, fmt.Errorf("%d modules that the network doesn't have", len(unknown)))
		}
	}
	q.Labels, err = MetadataLabels(entries, c.Outcomes())
	return q, true, err
}

// A QuantizedPart is a layer of a [Quantized] with what its network says of it.
type QuantizedPart struct {
	Name  string // module path
	Shape []int  // of the weights
	Layer *QuantizedLayer
}

// Parts lists the convolutions and the classifier, in the order they run. q.Convs has
// one for each convolution.
func (q *Quantized) Parts() []QuantizedPart {
	n := q.Config.Network()
	var parts []QuantizedPart
	for i, c := range n.Convs() {
		parts = append(parts, QuantizedPart{c.Name, c.WeightShape(), &q.Convs[i]})
	}
	l := n.Classifier
	return append(parts, QuantizedPart{l.Name, []int{l.Out, l.In}, &q.Classifier})
}
