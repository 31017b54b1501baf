package onnx

import (
	"encoding/json"
	"fmt"

	"github.com/mobilenet-go/mobilenet/model"
)

// metadataConfig returns the config that our exporter wrote beside the graph, if
// there is one.
func metadataConfig(p *Proto) (c model.Config, ok bool, err error) {
	for _, e := range p.MetadataProps {
		if e.Key == configKey {
			c, err = model.ParseConfig([]byte(e.Value))
			if err != nil {
				err = fmt.Errorf("metadata %s: %w", configKey, err)
			}
			return c, true, err
		}
	}
	return c, false, nil
}

// metadataLabels returns the labels in the metadata, nil for none.
func metadataLabels(p *Proto, classes int) (labels []string, err error) {
	for _, e := range p.MetadataProps {
		if e.Key != labelsKey {
			continue
		}
		if err := json.Unmarshal([]byte(e.Value), &labels); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", labelsKey, err)
		}
		if len(labels) != classes {
			return nil, fmt.Errorf("metadata %s: %d labels for %d classes", labelsKey, len(labels), classes)
		}
	}
	return labels, nil
}
