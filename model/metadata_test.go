package model_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

func TestMetadataComesBack(t *testing.T) {
	c := model.Default()
	c.Width, c.Classes, c.Padding, c.Preprocess = 0.5, 3, model.PadSame, model.TFPreprocess(232)
	for _, labels := range [][]string{nil, {"a", "ç", "\"\x1b"}} {
		m := &model.Model{Config: c, Labels: labels}
		entries, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := model.MetadataConfig(entries)
		if diff := cmp.Diff(c, got); diff != "" || !ok || err != nil {
			t.Errorf("config %v, %v (-want +got):\n%s", ok, err, diff)
		}
		if got, err := model.MetadataLabels(entries, 3); !slices.Equal(got, labels) || err != nil {
			t.Errorf("labels %q, %v; want %q", got, err, labels)
		}
	}
	if _, ok, err := model.MetadataConfig(nil); ok || err != nil {
		t.Errorf("the config of no metadata: %v, %v", ok, err)
	}
}

func TestBrokenMetadata(t *testing.T) {
	read := func(entries map[string]string) error {
		_, _, err := model.MetadataConfig(entries)
		_, err2 := model.MetadataLabels(entries, 2)
		return errors.Join(err, err2)
	}
	for text, want := range map[string]string{
		`{`:             "metadata mobilenet.config: model config: unexpected end",
		`{"width": -1}`: "metadata mobilenet.config: model config: width multiplier -1",
		`{"table": [` + strings.Repeat(`{},`, 999) + `{}]}`:                       "1000 rows in the table: want at most 256",
		`{"table": [` + strings.Repeat(`{"t":1,"c":8,"n":0,"s":1},`, 99) + `{}]}`: "table row 2: 0 blocks: want 1 to 256; ...",
	} {
		err := read(map[string]string{model.ConfigKey: text})
		if _, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: error %v, want one line with %q", text, err, want)
		}
	}
	for _, text := range []string{`{}`, `[1, 2]`, `["a"]`} {
		if err := read(map[string]string{model.LabelsKey: text}); err == nil || !strings.Contains(err.Error(), "metadata mobilenet.labels: ") {
			t.Errorf("labels %s: error %v", text, err)
		}
	}
}
