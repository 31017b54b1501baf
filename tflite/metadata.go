package tflite

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
	"github.com/mobilenet-go/mobilenet/model"
)

// LiteRT's metadata is another flatbuffer, by tflite-support's metadata_schema.fbs, in
// the buffer of this name. The files it speaks of are in a zip archive behind the
// model's own bytes.
const (
	metadataKey        = "TFLITE_METADATA"
	metadataIdentifier = "M001"
)

// Slots of its tables.
const (
	aboutName, aboutDescription, aboutVersion, aboutSubgraphs, aboutParser = 0, 1, 2, 3, 7
	subgraphInputs, subgraphOutputs                                        = 2, 3
	aboutTensorName, aboutTensorText, aboutTensorContent, aboutTensorUnits = 0, 1, 3, 4
	aboutTensorStats, aboutTensorFiles                                     = 5, 6
	contentType, contentValue                                              = 0, 1
	imageColours                                                           = 0
	unitType, unitValue                                                    = 0, 1
	normMean, normStd                                                      = 0, 1
	statsMax, statsMin                                                     = 0, 1
	fileName, fileText, fileType                                           = 0, 1, 2
)

// Numbers of its unions and enumerations.
const (
	contentFeature, contentImage = 1, 2
	unitNormalization            = 1
	coloursRGB                   = 1
	axisLabels, valueLabels      = 2, 3
)

// A description is what a file's metadata says that is wanted.
type description struct {
	mean, std []float32 // of levels from 0 to 255, one or three each; nil for none
	labels    string    // the file of labels, "" for none
}

// describe reads the metadata.
func (g *graph) describe() (*description, error) {
	d := &description{}
	data := g.metadata[metadataKey]
	if len(data) == 0 {
		return d, nil
	}
	w := &wire{data: data}
	about := w.root().tables(aboutSubgraphs, maxEntries, "subgraphs")
	if len(about) > 0 {
		for i, in := range about[0].tables(subgraphInputs, maxEntries, "inputs") {
			for _, u := range in.tables(aboutTensorUnits, maxEntries, "process units") {
				if i == 0 && u.u8(unitType) == unitNormalization {
					d.normalisation(u.table(unitValue, "normalisation"))
				}
			}
		}
		for _, out := range about[0].tables(subgraphOutputs, maxEntries, "outputs") {
			for _, f := range out.tables(aboutTensorFiles, maxEntries, "associated files") {
				if kind := f.u8(fileType); d.labels == "" && (kind == axisLabels || kind == valueLabels) {
					d.labels = f.string(fileName, "name of a file")
				}
			}
		}
	}
	if w.err != nil {
		e := *w.err.(*fault.Error)
		e.Place = "metadata " + metadataKey + ": " + e.Place
		return nil, &e
	}
	return d, d.check()
}

func (d *description) normalisation(t table) {
	numbers := func(slot int) []float32 {
		b, _ := t.vector(slot, 4, "normalisation")
		return float32s(b[:min(len(b), 4*4)]) // more than 3 is wrong already
	}
	d.mean, d.std = numbers(normMean), numbers(normStd)
}

// check wants numbers that photos can be normalised with.
func (d *description) check() error {
	bad := func(list []float32, positive bool) bool {
		for _, v := range list {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || positive && !(v > 0 && !math.IsInf(float64(1/v), 0)) {
				return true
			}
		}
		return len(list) != 1 && len(list) != 3
	}
	if (d.mean != nil || d.std != nil) && (bad(d.mean, false) || bad(d.std, true)) {
		return &fault.Error{Kind: fault.Broken, Place: "metadata " + metadataKey, Reason: fmt.Sprintf("mean %v, std %v: want 1 or 3 numbers, std above 0", d.mean, d.std)}
	}
	return nil
}

// channel is the mean and standard deviation of a colour.
func (d *description) channel(c int) (mean, std float64) {
	return float64(d.mean[c%len(d.mean)]), float64(d.std[c%len(d.std)])
}

// levels says what the network's input is for a level of each colour: level*scale +
// offset, nil where nothing says so. pixels is set where the input's bytes are the levels.
func (d *description) levels(x *tensor) (scale, offset []float64, pixels bool) {
	if x.elem.bytes() && x.quantization == "" && len(x.scale) == 1 {
		s, zero := x.pixels()
		low, high := x.held()
		p, known := recognise.Range{Low: low, High: high}.Preprocess()
		imageNet := known && p == model.ImageNetPreprocess(256)
		if d.mean == nil && !imageNet || d.mean != nil && d.bytesArePixels(s, zero) {
			return []float64{s}, []float64{-zero * s}, true
		}
	}
	if d.mean == nil {
		return nil, nil, false
	}
	for c := range 3 {
		mean, std := d.channel(c)
		scale, offset = append(scale, 1/std), append(offset, -mean/std)
	}
	return scale, offset, true
}

// pixels is the scale of an input of bytes, and the level that stands for 0: a byte of
// int8 is a level less 128.
func (t *tensor) pixels() (scale, zero float64) {
	if len(t.zero) > 0 {
		zero = float64(t.zero[0])
	}
	if t.elem == elemInt8 {
		zero += 128
	}
	return float64(t.scale[0]), zero
}

// bytesArePixels reports whether the normalised levels are the same levels as bytes.
// LiteRT's own programs take that for granted. Halves are on their way to another
// byte often enough: one is the same.
func (d *description) bytesArePixels(s, zero float64) bool {
	for c := range 3 {
		mean, std := d.channel(c)
		for _, level := range []float64{0, 255} {
			if !(math.Abs((level-mean)/std/s+zero-level) <= 1) {
				return false
			}
		}
	}
	return true
}

// exact replaces the preprocessing that was worked out from constants by the numbers
// that the file has, where they are the same but for rounding.
func (d *description) exact(p *model.Preprocess, x *tensor) {
	same := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }
	for c := range 3 {
		var mean, std float32
		switch {
		case x.elem.bytes() && x.quantization == "" && len(x.scale) == 1:
			s, zero := x.pixels()
			mean, std = float32(zero/255), float32(1/(255*s))
		case d.mean != nil:
			m, s := d.channel(c)
			mean, std = float32(m/255), float32(s/255)
		default:
			return
		}
		if same(mean, p.Mean[c]) && same(std, p.Std[c]) {
			p.Mean[c], p.Std[c] = mean, std
		}
	}
}

// Bounds on the archive behind the model: the names of a million classes, and what
// lists one file.
const (
	maxDirectory = 1 << 20
	maxLabels    = 32 << 20
	maxClasses   = 1 << 20
)

// labelsOf returns the names of the classes in the archive behind the model, or nil.
func (d *description) labelsOf(data []byte) ([]string, error) {
	archive, err := archiveIn(data)
	if archive == nil || err != nil {
		return nil, err
	}
	for _, f := range archive.File {
		// Without metadata a file of text is that of the labels.
		if f.Name == d.labels || d.labels == "" && strings.EqualFold(path.Ext(f.Name), ".txt") {
			return readLabels(f)
		}
	}
	return nil, nil
}

// archiveIn opens the archive at the end of a file, nil if there is none. One that
// lists more than a few files is refused before it is read.
func archiveIn(data []byte) (*zip.Reader, error) {
	const length = 22 // of the record at its end, without a comment
	at := bytes.LastIndex(data[max(0, len(data)-length-1<<16):], []byte("PK\x05\x06"))
	if at += max(0, len(data)-length-1<<16); at < 0 || at < max(0, len(data)-length-1<<16) || at > len(data)-length {
		return nil, nil
	}
	size := binary.LittleEndian.Uint32(data[at+12:])
	if entries := binary.LittleEndian.Uint16(data[at+10:]); entries == math.MaxUint16 || size > maxDirectory || binary.LittleEndian.Uint32(data[at+16:]) == math.MaxUint32 {
		return nil, fault.TooLargef("the archive of its labels lists %d files in %d bytes", entries, size)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil { // chance has put those four bytes there, or it is cut
		return nil, &fault.Error{Kind: fault.Broken, Place: fmt.Sprintf("at byte %d", at), Reason: "the archive of its labels: " + err.Error()}
	}
	return r, nil
}

func readLabels(f *zip.File) ([]string, error) {
	wrong := func(kind fault.Kind, reason string) error {
		return &fault.Error{Kind: kind, Place: fault.Shown(f.Name), Reason: reason}
	}
	r, err := f.Open()
	if err != nil {
		return nil, wrong(fault.Unsupported, err.Error())
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxLabels+1))
	switch {
	case err != nil:
		return nil, wrong(fault.Broken, err.Error())
	case len(text) > maxLabels:
		return nil, wrong(fault.TooLarge, fmt.Sprintf("labels of more than the limit of %d MiB", maxLabels>>20))
	}
	if n := bytes.Count(text, []byte("\n")); n > maxClasses {
		return nil, wrong(fault.TooLarge, fmt.Sprintf("%d labels", n))
	}
	lines := strings.Split(strings.ToValidUTF8(string(text), "\uFFFD"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	return lines, nil
}
