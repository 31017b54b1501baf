package ir

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// modelFields are the fields of a ModelProto with the wire types they have
// (onnx/onnx.proto3), also those that are passed over here.
var modelFields = map[protowire.Number]protowire.Type{
	1: protowire.VarintType, 2: protowire.BytesType, 3: protowire.BytesType, 4: protowire.BytesType,
	5: protowire.VarintType, 6: protowire.BytesType, 7: protowire.BytesType, 8: protowire.BytesType,
	14: protowire.BytesType, 20: protowire.BytesType, 25: protowire.BytesType, 26: protowire.BytesType,
}

// Match reports whether data, the beginning of a file, looks like a ModelProto. Other
// protobuf files that begin with a number, as TensorFlow's SavedModel does, have
// messages where a ModelProto has names.
func Match(data []byte) bool {
	versioned := false
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if want, ok := modelFields[num]; n < 0 || !ok || typ != want {
			return false
		}
		value := data[n:]
		switch num {
		case 1:
			version, m := protowire.ConsumeVarint(value)
			versioned = m > 0 && version > 0 && version < 100
			if !versioned {
				return false
			}
		case 2, 3, 4:
			length, m := protowire.ConsumeVarint(value)
			if m < 0 || length > 1<<10 || !utf8.Valid(value[m:min(m+int(length), len(value))]) {
				return false
			}
		}
		m := protowire.ConsumeFieldValue(num, typ, value)
		if m < 0 {
			break // the field ends behind data
		}
		data = value[m:]
	}
	return versioned
}
