package ir

import (
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// ExternalFiles lists the files that the tensors of an .onnx file of so many bytes lie
// in: cleaned paths relative to its folder, sorted. It reads the structure of the
// file piece by piece and passes over the tensors' data: a file of 14 MB takes some
// hundred reads of 4 KB. References that lead out of the folder, which loading
// refuses, are left out.
func ExternalFiles(r io.ReaderAt, size int64) ([]string, error) {
	w := walker{r: r, left: maxFields, files: map[string]bool{}}
	err := w.message((*Proto)(nil).ProtoReflect().Descriptor(), 0, size, 0)
	return slices.Sorted(maps.Keys(w.files)), err
}

const (
	// maxFields bounds the time that the walk takes: a network of 100,000 nodes has
	// a million fields.
	maxFields = 1 << 22
	// maxTensorHead is how much of a tensor's description is read: all but its data.
	maxTensorHead = 1 << 16
)

// A walker finds references in a file without having it in memory.
type walker struct {
	r     io.ReaderAt
	left  int // fields
	buf   [4096]byte
	at    int64 // where the n bytes in buf are from
	n     int
	files map[string]bool
}

// message walks the message of type d from begin to end.
func (w *walker) message(d protoreflect.MessageDescriptor, begin, end int64, depth int) error {
	if depth > maxDepth {
		return fault.TooLargef("messages nested more than %d deep", maxDepth)
	}
	tensor := &Tensor{}
	for begin < end {
		if w.left--; w.left < 0 {
			return fault.TooLargef("more than %d fields", maxFields)
		}
		num, typ, value, next, err := w.field(d, begin, end)
		if err != nil {
			return err
		}
		f := d.Fields().ByNumber(num)
		switch {
		case f == nil || typ != protowire.BytesType:
		case d.Name() == "TensorProto":
			if f.Name() == "external_data" {
				err = w.reference(tensor, value, next)
			}
		case f.Message() != nil && holdsTensors[f.Message().Name()]:
			err = w.message(f.Message(), value, next, depth+1)
		}
		if err != nil {
			return err
		}
		begin = next
	}
	if len(tensor.ExternalData) > 0 {
		if ref, err := ParseReference(tensor); err == nil {
			w.files[ref.Location] = true
		}
	}
	return nil
}

// holdsTensors are the messages that can have tensors in them, and tensors.
var holdsTensors = map[protoreflect.Name]bool{"GraphProto": true, "NodeProto": true, "AttributeProto": true, "TensorProto": true}

// field returns the tag of the field at begin, and where the value of one that has a
// length begins and ends.
func (w *walker) field(d protoreflect.MessageDescriptor, begin, end int64) (num protowire.Number, typ protowire.Type, value, next int64, err error) {
	b, err := w.read(begin, min(end-begin, 24)) // a tag and a number of at most 10 bytes each
	if err != nil {
		return 0, 0, 0, 0, err
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, 0, 0, 0, malformed(begin, d, n)
	}
	value = begin + int64(n)
	if typ == protowire.BytesType {
		length, m := protowire.ConsumeVarint(b[n:])
		value += int64(m)
		if m < 0 || length > uint64(end-value) {
			return 0, 0, 0, 0, malformed(begin, d, min(m, -1))
		}
		return num, typ, value, value + int64(length), nil
	}
	m := protowire.ConsumeFieldValue(num, typ, b[n:])
	if m < 0 {
		return 0, 0, 0, 0, malformed(begin, d, m)
	}
	return num, typ, value, value + int64(m), nil
}

// reference adds an entry of external_data to t.
func (w *walker) reference(t *Tensor, begin, end int64) error {
	if end-begin > maxTensorHead || len(t.ExternalData) > 16 {
		return fault.TooLargef("external data described in more than %d bytes", maxTensorHead)
	}
	b := make([]byte, end-begin)
	if _, err := w.r.ReadAt(b, begin); err != nil {
		return err
	}
	entry := new(pb.StringStringEntryProto)
	if err := proto.Unmarshal(b, entry); err != nil {
		return fault.At(begin, "not an ONNX model: %v", err)
	}
	t.ExternalData = append(t.ExternalData, entry)
	return nil
}

// read returns the n bytes at an offset, few enough for the buffer.
func (w *walker) read(at, n int64) ([]byte, error) {
	if at < w.at || at+n > w.at+int64(w.n) {
		m, err := w.r.ReadAt(w.buf[:], at)
		if int64(m) < n {
			return nil, err
		}
		w.at, w.n = at, m
	}
	return w.buf[at-w.at:][:n], nil
}
