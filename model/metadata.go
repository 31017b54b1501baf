package model

import (
	"encoding/json"
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
)

// The keys under which a file says what its weights don't show: in the metadata of
// .safetensors and .onnx, and as entries of a .pth archive. The values are JSON.
const (
	ConfigKey = "mobilenet.config" // a Config: architecture and preprocessing
	LabelsKey = "mobilenet.labels" // the names of the classes, if they are known
)

// Metadata returns what a file of m holds beside the weights.
func (m *Model) Metadata() (map[string]string, error) {
	config, err := json.Marshal(m.Config)
	if err != nil {
		return nil, err
	}
	entries := map[string]string{ConfigKey: string(config)}
	if m.Labels != nil {
		labels, err := json.Marshal(m.Labels)
		if err != nil {
			return nil, err
		}
		entries[LabelsKey] = string(labels)
	}
	return entries, nil
}

// MetadataConfig returns the config among a file's metadata; ok is false where
// there is none, as in files of others. Errors are *[fault.Error].
func MetadataConfig(entries map[string]string) (c Config, ok bool, err error) {
	text, ok := entries[ConfigKey]
	if !ok {
		return c, false, nil
	}
	if c, err = ParseConfig([]byte(text)); err != nil {
		return c, true, wrongEntry(ConfigKey, err)
	}
	return c, true, nil
}

// MetadataLabels returns the labels among a file's metadata, which must be as many
// as the model has outcomes, or nil where there are none. Errors are
// *[fault.Error].
func MetadataLabels(entries map[string]string, classes int) ([]string, error) {
	text, ok := entries[LabelsKey]
	if !ok {
		return nil, nil
	}
	var labels []string
	if err := json.Unmarshal([]byte(text), &labels); err != nil {
		return nil, wrongEntry(LabelsKey, err)
	}
	if len(labels) != classes {
		return nil, wrongEntry(LabelsKey, fmt.Errorf("%d labels for %d classes", len(labels), classes))
	}
	return labels, nil
}

// wrongEntry is an error about one entry of a file's metadata.
func wrongEntry(key string, err error) error {
	return &fault.Error{Kind: fault.Broken, Place: "metadata " + key, Reason: err.Error()}
}
