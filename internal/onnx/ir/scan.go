package ir

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Bounds on a file's structure. An empty message takes two bytes in a file and up
// to 300 in memory, an empty name one and 16, a small number one and 8: what
// decoding takes is estimated before anything is decoded.
const (
	// memory is what the messages may take beyond twice the file's size. The
	// largest graph of this family, unsimplified and in training form, takes 1 MB;
	// networks of 100,000 nodes, which check may be asked about, have files of 25 MB
	// and take 100.
	memory   = 128 << 20
	maxDepth = 16 // of messages in messages; subgraphs take three levels each
)

// messageBytes is what a message takes in memory, with the pointer to it.
var messageBytes = map[protoreflect.Name]int{"NodeProto": 192, "AttributeProto": 288, "TensorProto": 320, "GraphProto": 208, "ModelProto": 192}

// elementBytes is what an element of a list takes in memory: numbers their size,
// names and other bytes a slice header, grown by halves, and an allocation.
func elementBytes(f protoreflect.FieldDescriptor) int {
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return 48
	case protoreflect.Int32Kind, protoreflect.FloatKind:
		return 4
	}
	return 8
}

// scan walks data as a ModelProto without decoding it: every field must end
// within its message, and the bounds must hold.
func scan(data []byte) error {
	s := scanner{left: memory + 2*len(data)}
	return s.message((*Proto)(nil).ProtoReflect().Descriptor(), data, 0, 0)
}

type scanner struct{ left int }

// message walks one message; offset is where b begins in the file.
func (s *scanner) message(d protoreflect.MessageDescriptor, b []byte, offset int64, depth int) error {
	cost, ok := messageBytes[d.Name()]
	if !ok {
		cost = 96
	}
	if err := s.take(cost, offset); err != nil {
		return err
	}
	if depth > maxDepth {
		return &fault.Error{Kind: fault.TooLarge, Place: fault.At(offset, "").Place, Reason: "messages nested more than 16 deep"}
	}
	fields, size := d.Fields(), len(b)
	for len(b) > 0 {
		at := offset + int64(size-len(b))
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed(at, d, n)
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return malformed(at, d, m)
		}
		if f := fields.ByNumber(num); f != nil {
			if err := s.field(f, typ, b[n:n+m], at+int64(n), depth); err != nil {
				return err
			}
		}
		b = b[n+m:]
	}
	return nil
}

func malformed(at int64, d protoreflect.MessageDescriptor, n int) error {
	return fault.At(at, "not an ONNX model: in %s: %v", d.Name(), protowire.ParseError(n))
}

// field walks one value of a field.
func (s *scanner) field(f protoreflect.FieldDescriptor, typ protowire.Type, value []byte, offset int64, depth int) error {
	inner := value
	if typ == protowire.BytesType {
		inner, _ = protowire.ConsumeBytes(value)
		offset += int64(len(value) - len(inner))
	}
	switch {
	case f.Message() != nil && typ == protowire.BytesType:
		return s.message(f.Message(), inner, offset, depth+1)
	case !f.IsList():
		return nil
	case typ == protowire.BytesType && f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.BytesKind:
		return s.take(packedLen(f, inner)*elementBytes(f), offset)
	}
	return s.take(elementBytes(f), offset)
}

// packedLen is the number of elements of a packed list.
func packedLen(f protoreflect.FieldDescriptor, b []byte) int {
	switch f.Kind() {
	case protoreflect.FloatKind:
		return len(b) / 4
	case protoreflect.DoubleKind:
		return len(b) / 8
	}
	n := 0
	for _, c := range b { // the last byte of a varint has no high bit
		if c < 0x80 {
			n++
		}
	}
	return n
}

// take counts what is at offset against the bound.
func (s *scanner) take(bytes int, offset int64) error {
	if s.left -= bytes; s.left >= 0 {
		return nil
	}
	e := fault.At(offset, "the nodes, names and lists before it take more than %d MB and twice the file's size in memory", memory>>20)
	e.Kind = fault.TooLarge
	return e
}
