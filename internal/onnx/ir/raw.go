package ir

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Nearly all of a file is the raw data of its tensors, and protobuf's decoder copies
// it. So the decoder gets the file without it, each tensor's data replaced by its
// number, and the data is put back as slices of the file.

// A stripper copies a file that [scan] has accepted, without raw data.
type stripper struct {
	out  []byte
	data [][]byte // by number
}

// strip returns data as the decoder gets it, and what was taken out.
func strip(data []byte) (rest []byte, raw [][]byte) {
	var s stripper
	s.message((*Proto)(nil).ProtoReflect().Descriptor(), data)
	return s.out, s.data
}

func (s *stripper) message(d protoreflect.MessageDescriptor, b []byte) {
	fields := d.Fields()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		f := fields.ByNumber(num)
		inner, _ := protowire.ConsumeBytes(b[n : n+m])
		switch {
		case f == nil || typ != protowire.BytesType:
			s.out = append(s.out, b[:n+m]...)
		case f.FullName() == rawData:
			s.out = append(s.out, b[:n]...)
			s.out = protowire.AppendBytes(s.out, binary.LittleEndian.AppendUint64(nil, uint64(len(s.data))))
			s.data = append(s.data, inner[:len(inner):len(inner)])
		case f.Message() != nil && len(inner) > 0:
			s.out = append(s.out, b[:n]...)
			at := len(s.out)
			s.out = append(s.out, 0, 0, 0, 0, 0) // the length, in as many bytes as the longest takes
			s.message(f.Message(), inner)
			putLength(s.out[at:at+5], len(s.out)-at-5)
		default:
			s.out = append(s.out, b[:n+m]...)
		}
		b = b[n+m:]
	}
}

const rawData = "mobilenet.onnx.TensorProto.raw_data"

// putLength writes n as a varint of len(dst) bytes.
func putLength(dst []byte, n int) {
	for i := range dst {
		dst[i] = byte(n>>(7*i))&0x7f | 0x80
	}
	dst[len(dst)-1] &= 0x7f
}

// restore puts back what strip took out.
func restore(p *Proto, raw [][]byte) {
	eachTensor(p.Graph, func(t *Tensor) {
		if t.RawData != nil {
			t.RawData = raw[binary.LittleEndian.Uint64(t.RawData)]
		}
	})
}
