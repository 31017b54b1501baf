package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// The messages of the format, as onnx/docs/IR.md describes them.
type (
	Proto     = pb.ModelProto // a whole .onnx file
	Node      = pb.NodeProto
	Attribute = pb.AttributeProto
	Tensor    = pb.TensorProto
	ValueInfo = pb.ValueInfoProto
)

// A FormatError says that bytes are not an ONNX file, and where.
type FormatError struct {
	Offset int64 // in the file
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason) }

// An UnsupportedError says that a file is, or may be, fine but more than this
// package handles.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return e.Reason }

// maxFile is the size of the largest file that is read. Protobuf itself ends at
// 2 GiB; the largest published MobileNetV2 takes 25 MB.
const maxFile = 1 << 30

// Read reads an .onnx file. Tensors whose data lies in other files get it from there,
// as raw_data, if these are in the folder of path.
func Read(path string) (*Proto, error) {
	data, err := readBounded(os.Open(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, bare(err))
	}
	p, err := Parse(data)
	if err == nil {
		err = loadExternal(p, filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// readBounded reads all of f, if it is a file of at most maxFile bytes, and
// closes it.
func readBounded(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &UnsupportedError{"not a regular file"}
	case info.Size() > maxFile:
		return nil, &UnsupportedError{fmt.Sprintf("%d bytes: at most %d are read", info.Size(), maxFile)}
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// bare takes the path off an error of package os, for messages that name it
// already.
func bare(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Parse reads an .onnx file from memory. Tensors keep their references to other
// files. Errors are *[FormatError] or *[UnsupportedError].
func Parse(data []byte) (*Proto, error) {
	if err := scan(data); err != nil {
		return nil, err
	}
	p := new(Proto)
	if err := proto.Unmarshal(data, p); err != nil {
		return nil, &FormatError{Reason: "not an ONNX model: " + err.Error()}
	}
	if p.Graph == nil {
		return nil, &FormatError{Offset: int64(len(data)), Reason: "not an ONNX model: it has no graph"}
	}
	return p, nil
}

// Marshal returns p as the bytes of an .onnx file. Equal models give equal bytes.
func Marshal(p *Proto) ([]byte, error) {
	var b bytes.Buffer
	err := write(&b, p)
	return b.Bytes(), err
}

// Save writes p to path, all of it or nothing.
func Save(path string, p *Proto) error {
	if err := atomicfile.Write(path, func(w io.Writer) error { return write(w, p) }); err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil
}

// write serialises p tensor by tensor, so that the file is never in memory as a
// whole. The fields of a message may come in any order: the graph is the model's
// last, the initialisers are the graph's.
func write(w io.Writer, p *Proto) error {
	marshal := proto.MarshalOptions{Deterministic: true}
	model, err := marshal.Marshal(without(p, "graph"))
	if err != nil {
		return err
	}
	graph, err := marshal.Marshal(without(p.Graph, "initializer"))
	if err != nil {
		return err
	}
	size := len(graph)
	for _, t := range p.Graph.GetInitializer() {
		size += protowire.SizeTag(5) + protowire.SizeBytes(marshal.Size(t))
	}
	buf := protowire.AppendTag(model, 7, protowire.BytesType) // ModelProto.graph
	buf = protowire.AppendVarint(buf, uint64(size))
	if _, err := w.Write(append(buf, graph...)); err != nil {
		return err
	}
	for _, t := range p.Graph.GetInitializer() {
		buf = protowire.AppendTag(buf[:0], 5, protowire.BytesType) // GraphProto.initializer
		buf = protowire.AppendVarint(buf, uint64(marshal.Size(t)))
		if buf, err = marshal.MarshalAppend(buf, t); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// without returns a copy of m that lacks a field and shares the others.
func without[M proto.Message](m M, field protoreflect.Name) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Name() != field {
			to.Set(f, v)
		}
		return true
	})
	to.SetUnknown(from.GetUnknown())
	return to.Interface().(M)
}
