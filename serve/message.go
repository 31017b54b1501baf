package serve

import (
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of a message over gRPC besides its bytes.
const (
	maxFields  = 10_000  // with those of the messages in it: each may take a hundred times its bytes
	maxVarints = 1 << 20 // bytes of numbers that take up to eight times as many in memory
)

// A codec reads messages over gRPC as protobuf has them, but first looks at what they would
// take in memory: 32 MB of empty inputs would be 2 GB.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(m any) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }

func (codec) MarshalAppend(to []byte, m any) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(to, m.(proto.Message))
}

func (codec) Unmarshal(data []byte, m any) error {
	message := m.(proto.Message)
	if err := (&weight{}).add(data, message.ProtoReflect().Descriptor(), 0); err != nil {
		return err
	}
	return proto.Unmarshal(data, message)
}

// A weight is what there is in a message that takes more memory than its bytes.
type weight struct{ fields, varints int }

var errHeavy = &failure{http.StatusBadRequest, fmt.Sprintf("a message of more than %d fields, or %d bytes of numbers: send tensors in raw_input_contents", maxFields, maxVarints)}

// add adds the fields of a message.
func (w *weight) add(data []byte, d protoreflect.MessageDescriptor, depth int) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		value := data[n : n+size]
		data = data[n+size:]
		field := d.Fields().ByNumber(number)
		if w.fields++; field != nil && kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
			switch field.Kind() {
			case protoreflect.BytesKind, protoreflect.StringKind, protoreflect.FloatKind, protoreflect.DoubleKind:
			case protoreflect.MessageKind:
				if depth == maxDepth {
					return errHeavy
				}
				if err := w.add(value, field.Message(), depth+1); err != nil {
					return err
				}
			default: // a packed list
				w.varints += len(value)
			}
		}
		if w.fields > maxFields || w.varints > maxVarints {
			return errHeavy
		}
	}
	return nil
}
