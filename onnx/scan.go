package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds on a file's structure. An empty message takes two bytes in a file and
// some 200 in memory, so their number is limited before anything is decoded. The
// largest graph of this family, unsimplified and in training form, has about
// 2,000 messages; other networks that [Check] may be asked about have 100,000.
const (
	maxMessages = 1 << 20
	maxDepth    = 16 // of messages in messages; subgraphs take three levels each
)

// scan walks data as a ModelProto without decoding it: every field must end
// within its message, and the bounds must hold.
func scan(data []byte) error {
	s := scanner{left: maxMessages}
	return s.message((*Proto)(nil).ProtoReflect().Descriptor(), data, 0, 0)
}

type scanner struct{ left int }

// message walks one message; offset is where b begins in the file.
func (s *scanner) message(d protoreflect.MessageDescriptor, b []byte, offset int64, depth int) error {
	if s.left--; s.left < 0 {
		return &UnsupportedError{fmt.Sprintf("more than %d nodes, attributes, tensors and other parts", maxMessages)}
	}
	if depth > maxDepth {
		return &UnsupportedError{fmt.Sprintf("at byte %d: messages nested more than %d deep", offset, maxDepth)}
	}
	size := len(b)
	fail := func(n int) error {
		reason := fmt.Sprintf("not an ONNX model: in %s: %v", d.Name(), protowire.ParseError(n))
		return &FormatError{offset + int64(size-len(b)), reason}
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fail(n)
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return fail(m)
		}
		f := d.Fields().ByNumber(num)
		if f != nil && f.Message() != nil && typ == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(b[n:])
			start := offset + int64(size-len(b)+n+m-len(inner))
			if err := s.message(f.Message(), inner, start, depth+1); err != nil {
				return err
			}
		}
		b = b[n+m:]
	}
	return nil
}
