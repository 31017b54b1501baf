package export

import (
	"maps"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// What an exported file says of its origin.
const (
	producer        = "mobilenet-go"
	producerVersion = "1"
)

// metadataOf describes m as metadata_props.
func metadataOf(m *model.Model) ([]*pb.StringStringEntryProto, error) {
	entries, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	var props []*pb.StringStringEntryProto
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		props = append(props, &pb.StringStringEntryProto{Key: key, Value: entries[key]})
	}
	return props, nil
}
