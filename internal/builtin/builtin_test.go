package builtin

import (
	"bytes"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
)

// TestLookup changes what it got, as training does, and looks again.
func TestLookup(t *testing.T) {
	for _, name := range Names() {
		first, ok := Lookup(name)
		before := bytes.Clone(first)
		m, err := checkpoint.Parse(first)
		if !ok || err != nil {
			t.Fatal(name, ok, err)
		}
		for _, tensor := range m.Dict {
			clear(tensor.Data)
		}
		if again, _ := Lookup(name); !bytes.Equal(again, before) {
			t.Errorf("%s: one caller changed what the next one gets", name)
		}
		if len(before) > 1e6 {
			t.Errorf("%s: %d bytes in every program, want at most 1 MB", name, len(before))
		}
	}
	if _, ok := Lookup("imagenet1k_v2"); ok {
		t.Error("a model that is not in the program")
	}
}
