package mobilenet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/tflite"
)

// A Format is a way to keep a model in a file.
type Format struct {
	Name    string   // as people call it
	Endings []string // of file names, the usual one first; what [SaveModel] goes by
	Written bool     // by SaveModel; all formats are read
}

// Formats lists the formats that [LoadModel] reads.
func Formats() []Format {
	var out []Format
	for _, f := range formats {
		out = append(out, Format{f.name, slices.Clone(f.endings), f.write != nil})
	}
	return out
}

// A format is what this package knows of a way to keep a model in a file. A new one
// is a row in [formats], and a package that does the work.
type format struct {
	name    string
	endings []string

	// match reports whether a file with these first bytes may be of the format.
	match func(head []byte) bool
	// read makes a network of a file's bytes, which it may keep. folder is where the
	// other files are that it refers to, nil if there are none. Errors don't name
	// the file.
	read func(data []byte, folder fs.FS) (network, error)
	// readPart does so with the network of a name; nil if a file has only one.
	readPart func(data []byte, part string, folder fs.FS) (network, error)
	// others lists the files that such a file refers to, by their names in its
	// folder, without reading all of it; nil if there are never any.
	others func(f io.ReaderAt, size int64) ([]string, error)
	// beside lists files that read looks for in the folder and can do without.
	beside []string
	// write makes a file, whole or not at all; nil if the format is not written.
	write func(path string, m *model.Model, o SaveOptions) error
	// writeQuantized does the same for a network of 8-bit integers.
	writeQuantized func(path string, q *model.Quantized) error
}

// A network is what a file holds: one of these, or as two what somebody else quantised.
type network struct {
	model     *model.Model
	quantized *model.Quantized
}

// float32 returns the network as a model.
func (n network) float32() *model.Model {
	if n.model != nil {
		return n.model
	}
	return n.quantized.Dequantize()
}

// about returns the network without weights.
func (n network) about() *model.Model {
	if q := n.quantized; q != nil {
		return &model.Model{Config: q.Config, Labels: q.Labels, Assumed: q.Assumed, Notes: q.Notes}
	}
	m := *n.model
	m.Dict = nil
	return &m
}

// setInput does as [model.Model.SetInput] does.
func (n network) setInput(in model.Input) error {
	var err error
	if n.quantized != nil {
		err = n.quantized.SetInput(in)
	}
	if n.model != nil && err == nil {
		err = n.model.SetInput(in)
	}
	return err
}

// formats are tried in this order, by the content of a file. The name of a file says
// which one to write, and which one's error to report where the content tells nothing.
var formats = []format{
	{
		name: "torch", endings: []string{".pth", ".pt"},
		match: checkpoint.IsTorch, read: readCheckpoint, readPart: readPart, beside: checkpoint.Sidecars, write: saveCheckpoint,
	},
	{
		name: "safetensors", endings: []string{".safetensors"},
		match: checkpoint.IsSafetensors, read: readCheckpoint, readPart: readPart, beside: checkpoint.Sidecars, write: saveCheckpoint,
		writeQuantized: func(path string, q *model.Quantized) error { return checkpoint.SaveQuantized(path, q, nil) },
	},
	{
		name: "Paddle", endings: []string{".pdparams"}, // a pickle, which the first row reads
		match: checkpoint.IsTorch, read: readCheckpoint, readPart: readPart,
	},
	{
		name: "Keras", endings: []string{".keras", ".h5"}, // a .keras file is a zip archive, which the first row reads
		match: checkpoint.IsKeras, read: readCheckpoint, readPart: readPart, beside: checkpoint.Sidecars, write: saveCheckpoint,
	},
	{
		name: "ONNX", endings: []string{".onnx"},
		match: onnx.Match, read: readONNX, others: onnx.ExternalFiles, write: saveONNX,
		writeQuantized: saveQuantizedONNX,
	},
	{
		name: "TFLite", endings: []string{".tflite"},
		match: tflite.Match, read: readTFLite, write: saveTFLite,
		writeQuantized: tflite.SaveQuantized,
	},
}

// formatOf returns the format of a file that begins with head.
func formatOf(name string, head []byte) (format, error) {
	if err := tensorFlow(name, head); err != nil {
		return format{}, err
	}
	for _, f := range formats {
		if f.match(head) {
			return f, nil
		}
	}
	if err := foreign.Check(head, "a model"); err != nil {
		return format{}, err
	}
	if f, ok := formatNamed(name); ok {
		return f, nil
	}
	return format{}, fault.Unsupportedf("not a model of a kind that is read here: %s", endings(func(format) bool { return true }))
}

// tensorFlow is an error for a file of TensorFlow's that is not read, with the command
// that makes ONNX of it. These have no signature: their names and first bytes tell.
func tensorFlow(name string, head []byte) error {
	const command = "python -m tf2onnx.convert "
	base := path.Base(filepath.ToSlash(name))
	checkpoint, data, isData := strings.Cut(base, ".data-")
	switch ending := path.Ext(base); {
	case ending == ".pb" && bytes.HasPrefix(head, []byte("\x08\x01\x12")):
		return savedModel(path.Dir(filepath.ToSlash(name)))
	case ending == ".pb" && bytes.HasPrefix(head, []byte("\x0a")):
		return fault.Unsupportedf("a frozen graph of TensorFlow's, which is not read: make ONNX of it with "+
			command+"--graphdef %s --inputs input:0 --outputs MobilenetV2/Predictions/Reshape_1:0 --output model.onnx", fault.Shown(base))
	case ending == ".meta", ending == ".index", isData && strings.Contains(data, "-of-"):
		if !isData {
			checkpoint = strings.TrimSuffix(base, ending)
		}
		return fault.Unsupportedf("a part of a TensorFlow checkpoint, which is not read: make ONNX of it with "+
			command+"--checkpoint %s.meta --inputs input:0 --outputs MobilenetV2/Predictions/Reshape_1:0 --output model.onnx", fault.Shown(checkpoint))
	}
	return nil
}

// savedModel is an error for a folder with a SavedModel in it.
func savedModel(folder string) error {
	return fault.Unsupportedf("a SavedModel of TensorFlow's, which is not read: make ONNX of it with "+
		"python -m tf2onnx.convert --saved-model %s --output model.onnx, or save it as model.keras", fault.Shown(folder))
}

// formatNamed returns the format that a file name's ending stands for.
func formatNamed(name string) (format, bool) {
	ending := strings.ToLower(filepath.Ext(name))
	at := slices.IndexFunc(formats, func(f format) bool { return slices.Contains(f.endings, ending) })
	if at < 0 {
		return format{}, false
	}
	return formats[at], true
}

// endings lists what is usual for the names of files of some formats.
func endings(of func(format) bool) string {
	var out []string
	for _, f := range formats {
		if of(f) {
			out = append(out, f.endings...)
		}
	}
	return strings.Join(out, ", ")
}

func readCheckpoint(data []byte, folder fs.FS) (network, error) {
	q, ok, err := checkpoint.ParseQuantized(data)
	if ok || err != nil {
		return network{quantized: q}, err
	}
	return readPart(data, "", folder)
}

func readPart(data []byte, part string, folder fs.FS) (network, error) {
	m, err := checkpoint.ParsePart(data, part)
	if err != nil || folder == nil {
		return network{model: m}, err
	}
	return network{model: m}, checkpoint.ReadSidecars(m, folder)
}

func readONNX(data []byte, folder fs.FS) (n network, err error) {
	if folder == nil {
		files, err := onnx.ExternalFiles(bytes.NewReader(data), int64(len(data)))
		if err == nil && len(files) > 0 {
			return n, fault.Unsupportedf("the weights lie in another file, %s: open the model by its name", fault.Shown(files[0]))
		}
	}
	g, err := onnx.Parse(data, folder)
	if err != nil {
		return n, err
	}
	n.model, n.quantized, err = onnx.Network(g)
	return n, err
}

// SaveOptions are the choices of [SaveModel]. The zero value is right for all formats.
type SaveOptions struct {
	// Naming is what the tensors are called, torchvision's names if it is empty.
	// ONNX and TFLite have no choice.
	Naming checkpoint.Naming
	// Half stores convolutions and classifier as float16, which rounds them.
	Half bool
}

// SaveModel writes m to a file in the format that the ending of its name stands for:
// see [Formats]; to a folder, see [IsFolder], as [checkpoint.SaveFolder] does. Each holds the config, the preprocessing and the labels too. The
// file is complete or not there. Packages checkpoint, onnx and tflite have the choices
// of their formats.
func SaveModel(path string, m *model.Model, o SaveOptions) error {
	if m == nil {
		return errors.New("no model")
	}
	if IsFolder(path) {
		return checkpoint.SaveFolder(path, m, checkpoint.SaveOptions{Naming: o.Naming, Half: o.Half})
	}
	f, ok := formatNamed(path)
	if !ok || f.write == nil {
		return fmt.Errorf("%s: write what? the name ends in none of %s", path, endings(func(f format) bool { return f.write != nil }))
	}
	return f.write(path, m, o)
}

// IsFolder reports whether [SaveModel] takes path for that of a folder: one is there, or
// the name ends in a slash.
func IsFolder(path string) bool {
	if info, err := os.Stat(path); err == nil {
		return info.IsDir()
	}
	return path != "" && os.IsPathSeparator(path[len(path)-1])
}

// SaveQuantized is [SaveModel] for a network of 8-bit integers, which is kept as it is:
// the name ends in .safetensors, in .onnx for a QDQ graph, or in .tflite.
func SaveQuantized(path string, q *model.Quantized) error {
	if q == nil {
		return errors.New("no model")
	}
	f, ok := formatNamed(path)
	if !ok || f.writeQuantized == nil {
		return fmt.Errorf("%s: 8-bit integers are kept in files whose name ends in %s", path, endings(func(f format) bool { return f.writeQuantized != nil }))
	}
	return f.writeQuantized(path, q)
}

func saveCheckpoint(path string, m *model.Model, o SaveOptions) error {
	return checkpoint.Save(path, m, checkpoint.SaveOptions{Naming: o.Naming, Half: o.Half})
}

func readTFLite(data []byte, _ fs.FS) (n network, err error) {
	n.model, n.quantized, err = tflite.Network(data)
	return n, err
}

func saveTFLite(path string, m *model.Model, o SaveOptions) error {
	if o.Naming != "" && o.Naming != checkpoint.Torchvision {
		return fmt.Errorf("%s: TFLite has names of its own, not those of %s", path, o.Naming)
	}
	return tflite.Save(path, m, tflite.Options{Half: o.Half})
}

func saveQuantizedONNX(path string, q *model.Quantized) error {
	g, err := onnx.ExportQuantized(q, onnx.QDQ, onnx.ExportOptions{})
	if err != nil {
		return fault.In(path, err)
	}
	return onnx.Save(path, g)
}

func saveONNX(path string, m *model.Model, o SaveOptions) error {
	if o.Naming != "" && o.Naming != checkpoint.Torchvision {
		return fmt.Errorf("%s: ONNX has names of its own, not those of %s", path, o.Naming)
	}
	g, err := onnx.Export(m, onnx.ExportOptions{Half: o.Half})
	if err != nil {
		return fault.In(path, err)
	}
	return onnx.Save(path, g)
}
