package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

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
	return proto.MarshalOptions{Deterministic: true}.Marshal(p)
}

// Save writes p to path, all of it or nothing.
func Save(path string, p *Proto) error {
	data, err := Marshal(p)
	if err == nil {
		err = atomicfile.Write(path, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	return nil
}
