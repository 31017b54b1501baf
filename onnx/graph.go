package onnx

import (
	"io"
	"io/fs"
	"path"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
)

// A Graph is the content of an .onnx file: nodes, the values between them, and
// tensors. [Read], [Parse], [Export] and [Simplify] make one; it does not change.
type Graph = ir.Graph

// Read reads an .onnx file. Tensors whose data lies in other files get it from there,
// if these are in the file's folder. Errors about the content are *[fault.Error] and
// name the file.
func Read(name string) (*Graph, error) {
	folder, base := wholefile.Folder(name)
	g, err := read(folder, base)
	return g, fault.In(name, err)
}

// ReadFS is [Read] for a file of fsys.
func ReadFS(fsys fs.FS, name string) (*Graph, error) {
	g, err := read(fsys, name)
	return g, fault.In(name, err)
}

func read(fsys fs.FS, name string) (*Graph, error) {
	data, err := wholefile.Read(fsys, name, ir.MaxFile)
	if err != nil {
		return nil, err
	}
	g, err := Parse(data, wholefile.Sub(fsys, path.Dir(name)))
	if err != nil && !Match(data) {
		if mistaken := foreign.Check(data[:min(len(data), foreign.Head)], "an ONNX model"); mistaken != nil {
			return nil, mistaken
		}
	}
	return g, err
}

// Parse reads an .onnx file from memory; the graph shares data. Other files that
// tensors lie in, see [ExternalFiles], are looked for in folder. Without a folder,
// these tensors stay without data.
func Parse(data []byte, folder fs.FS) (*Graph, error) {
	p, err := ir.Parse(data)
	if err == nil && folder != nil {
		err = ir.LoadExternal(p, folder)
	}
	if err != nil {
		return nil, err
	}
	return ir.Wrap(p), nil
}

// Match reports whether a file that begins with data looks like ONNX: it says the
// version of the format and has only fields that such a file has. A few hundred bytes
// are enough.
func Match(data []byte) bool { return ir.Match(data) }

// ExternalFiles lists the other files that the tensors of an .onnx file of so many
// bytes lie in, as slash-separated paths below its folder, sorted. It passes over the
// data of tensors, so that the file needn't be in memory.
func ExternalFiles(f io.ReaderAt, size int64) ([]string, error) { return ir.ExternalFiles(f, size) }

// Save writes g to a file, all of it or nothing.
func Save(name string, g *Graph) error {
	return fault.In(name, atomicfile.Write(name, func(w io.Writer) error { return ir.Write(w, ir.Unwrap(g)) }))
}

// Marshal returns g as the bytes of an .onnx file. Equal graphs give equal bytes.
func Marshal(g *Graph) ([]byte, error) { return ir.Marshal(ir.Unwrap(g)) }
