package main

import (
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
)

// TestHelpNamesEveryFormat: what is read and written is the table's, and the help texts
// say so.
func TestHelpNamesEveryFormat(t *testing.T) {
	convert, predict := newConvert().Long, newPredict().Flag("model").Usage
	for _, f := range mobilenet.Formats() {
		for _, ending := range f.Endings {
			if !strings.Contains(predict, ending) {
				t.Errorf("predict --model doesn't name %s: %s", ending, predict)
			}
			if f.Written && !strings.Contains(convert, ending) {
				t.Errorf("the help of convert doesn't name %s", ending)
			}
			if writable("m"+strings.ToUpper(ending)) != f.Written {
				t.Errorf("%s: written is %v", ending, f.Written)
			}
		}
	}
	if writable("m.tflite.bak") || writable("pth") {
		t.Error("a file without a format's ending is written")
	}
}
