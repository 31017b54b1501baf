package tflite

import (
	"archive/zip"
	"bytes"
	"hash/crc32"
	"slices"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/mobilenet-go/mobilenet/model"
)

// labelsName is the file of labels in the archive behind the model.
const labelsName = "labels.txt"

// about is LiteRT's metadata of a classifier whose input is normalised pixels, with
// what the metadata writers of tflite-support put there.
func about(c model.Config, outputName string, labels bool) []byte {
	w := &writer{b: flatbuffers.NewBuilder(1024)}
	b := w.b
	mean, std, low, high := make([]float32, 3), make([]float32, 3), make([]float32, 3), make([]float32, 3)
	for i, levels := range c.Preprocess.Levels() {
		mean[i], std[i] = c.Preprocess.Mean[i]*255, c.Preprocess.Std[i]*255
		low[i], high[i] = levels[0], levels[255]
	}

	one := func(list []float32) bool { return list[0] == list[1] && list[1] == list[2] }
	if one(mean) && one(std) { // MediaPipe takes no more than one of each
		mean, std, low, high = mean[:1], std[:1], low[:1], high[:1]
	}
	means, stds := w.floats(mean), w.floats(std)
	b.StartObject(2)
	b.PrependUOffsetTSlot(normMean, means, 0)
	b.PrependUOffsetTSlot(normStd, stds, 0)
	unit := w.union(unitNormalization, b.EndObject())
	b.StartObject(2)
	b.PrependByteSlot(imageColours, coloursRGB, 0)
	content := w.union(contentImage, b.EndObject())
	input := w.tables([]flatbuffers.UOffsetT{w.aboutTensor(tensorText{
		name: inputName, text: "Photo, its shorter side resized and its centre cut out, in RGB, normalised.",
		content: content, units: w.tables([]flatbuffers.UOffsetT{unit}), low: low, high: high,
	})})

	var files flatbuffers.UOffsetT
	if labels {
		name, text := b.CreateString(labelsName), b.CreateString("The names of the classes, one a line.")
		b.StartObject(5)
		b.PrependUOffsetTSlot(fileName, name, 0)
		b.PrependUOffsetTSlot(fileText, text, 0)
		b.PrependByteSlot(fileType, axisLabels, 0)
		files = w.tables([]flatbuffers.UOffsetT{b.EndObject()})
	}
	b.StartObject(0)
	content = w.union(contentFeature, b.EndObject())
	out := tensorText{name: outputName, text: "Probabilities of the classes.", content: content, files: files, low: []float32{0}, high: []float32{1}}
	if c.Classes == 0 {
		out = tensorText{name: outputName, text: "Features, the mean of the last map.", content: content, low: []float32{0}, high: []float32{6}}
	}
	output := w.tables([]flatbuffers.UOffsetT{w.aboutTensor(out)})
	b.StartObject(4)
	b.PrependUOffsetTSlot(subgraphInputs, input, 0)
	b.PrependUOffsetTSlot(subgraphOutputs, output, 0)
	subgraphs := w.tables([]flatbuffers.UOffsetT{b.EndObject()})

	name, text, parser := b.CreateString("MobileNetV2"), b.CreateString("MobileNetV2, written by mobilenet-go."), b.CreateString("1.0.0")
	b.StartObject(8)
	b.PrependUOffsetTSlot(aboutName, name, 0)
	b.PrependUOffsetTSlot(aboutDescription, text, 0)
	b.PrependUOffsetTSlot(aboutSubgraphs, subgraphs, 0)
	b.PrependUOffsetTSlot(aboutParser, parser, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte(metadataIdentifier))
	return b.FinishedBytes()
}

// union writes a table with one field that is a union: a process unit, or a content.
func (w *writer) union(kind byte, value flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	w.b.StartObject(2)
	w.b.PrependByteSlot(unitType, kind, 0)
	w.b.PrependUOffsetTSlot(unitValue, value, 0)
	return w.b.EndObject()
}

// tensorText is what is said of an input or output.
type tensorText struct {
	name, text            string
	content, units, files flatbuffers.UOffsetT // 0 for none
	low, high             []float32
}

func (w *writer) aboutTensor(t tensorText) flatbuffers.UOffsetT {
	b := w.b
	high, low := w.floats(t.high), w.floats(t.low)
	b.StartObject(2)
	b.PrependUOffsetTSlot(statsMax, high, 0)
	b.PrependUOffsetTSlot(statsMin, low, 0)
	stats := b.EndObject()
	name, text := b.CreateString(t.name), b.CreateString(t.text)
	b.StartObject(7)
	b.PrependUOffsetTSlot(aboutTensorName, name, 0)
	b.PrependUOffsetTSlot(aboutTensorText, text, 0)
	b.PrependUOffsetTSlot(aboutTensorContent, t.content, 0)
	b.PrependUOffsetTSlot(aboutTensorUnits, t.units, 0)
	b.PrependUOffsetTSlot(aboutTensorStats, stats, 0)
	b.PrependUOffsetTSlot(aboutTensorFiles, t.files, 0)
	return b.EndObject()
}

// withLabels appends the archive of the labels to a model. Its entry is stored as it
// is, with its size in front: Android's reader maps it into memory.
func withLabels(data []byte, labels []string) ([]byte, error) {
	if labels == nil {
		return data, nil
	}
	lines := slices.Clone(labels)
	for i, l := range lines {
		lines[i] = strings.Join(strings.FieldsFunc(l, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	}
	text := []byte(strings.Join(lines, "\n") + "\n")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	z.SetOffset(int64(len(data)))
	f, err := z.CreateRaw(&zip.FileHeader{
		Name: labelsName, Method: zip.Store, CRC32: crc32.ChecksumIEEE(text),
		CompressedSize64: uint64(len(text)), UncompressedSize64: uint64(len(text)),
	})
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return append(data, archive.Bytes()...), nil
}
