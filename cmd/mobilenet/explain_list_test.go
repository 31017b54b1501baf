package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

// A picture has room for 20 classes; the rows that a list makes have any number.
func TestExplainListOfManyClasses(t *testing.T) {
	c := model.Default()
	c.Width, c.Classes, c.Resolution = 0.25, 21, 32
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "explain", "-m", path, "--class", "top21", "-o", t.TempDir(), drawing)
	if err == nil || !strings.HasPrefix(err.Error(), "a picture of 21 classes: want at most 20") {
		t.Errorf("pictures: %v", err)
	}
	var out bytes.Buffer
	stderr, err := mobilenetCommand(t.Context(), t, &out, "explain", "-m", path, "--class", "top21", "--from", writeList(t, []string{drawing}))
	var row struct {
		Explanation struct{ Classes []struct{ Index int } }
	}
	if err != nil || json.Unmarshal(out.Bytes(), &row) != nil || len(row.Explanation.Classes) != 21 {
		t.Errorf("%v: %s: %d classes in %.200s", err, stderr, len(row.Explanation.Classes), out.String())
	}
}
