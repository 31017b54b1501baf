package onnx

import (
	"encoding/json"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// What an exported file says of its origin.
const (
	producer        = "mobilenet-go"
	producerVersion = "1"
)

// The keys of our metadata, the same as in a .safetensors file. The config
// includes classes and preprocessing.
const (
	configKey = "mobilenet.config"
	labelsKey = "mobilenet.labels"
)

// metadataOf describes m as metadata_props.
func metadataOf(m *model.Model) ([]*pb.StringStringEntryProto, error) {
	config, err := json.Marshal(m.Config)
	if err != nil {
		return nil, err
	}
	props := []*pb.StringStringEntryProto{{Key: configKey, Value: string(config)}}
	if m.Labels != nil {
		labels, err := json.Marshal(m.Labels)
		if err != nil {
			return nil, err
		}
		props = append(props, &pb.StringStringEntryProto{Key: labelsKey, Value: string(labels)})
	}
	return props, nil
}
