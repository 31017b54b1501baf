package main

import (
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
)

// oneLine fails unless the error is one printable line.
func oneLine(t *testing.T, err error) {
	if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("the error has control characters: %q", text)
	}
}

// FuzzArgs resumes with any args.yaml: flags that make hyperparameters, or an error
// of a line.
func FuzzArgs(f *testing.F) {
	f.Add([]byte("data: photos\nrecipe: finetune\nmodel: none\nlr: 0.003\nseed: 18446744073709551615\nfix-norm: true\nconfig: \"\"\n"))
	f.Add([]byte("data: photos\nrecipe: paper\nmodel: x.pth\nlr: !!float 1e-320\nepochs: 1.5\n"))
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\ndata: *b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		flags, cmd := trainCommand()
		if err := setArgs(cmd.Flags(), text, nil); err != nil {
			oneLine(t, err)
			return
		}
		recipe, err := train.RecipeNamed(flags.recipe, flags.model != "none")
		if err == nil {
			flags.settled = true
			err = flags.apply(cmd, recipe)
		}
		if err != nil {
			oneLine(t, err)
			return
		}
		if err := flags.o.Hyperparameters.Validate(); err != nil {
			t.Errorf("accepted, but: %v", err)
		}
	})
}

// FuzzConfig reads any --config: a network that is made, or an error.
func FuzzConfig(f *testing.F) {
	f.Add(builtin.FashionMNISTConfig)
	f.Add([]byte(`{"width": 16, "table": [{"t": 64, "c": 512, "n": 256, "s": 1}], "last_channels": 32768}`))
	f.Add([]byte(`{"table": []}`))
	set := &dataset.Set{Classes: []string{"a", "b"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := model.Default()
		c.Classes = len(set.Classes)
		err := readArchitecture(text, &c)
		if err == nil {
			c.Width = min(c.Width, 0.1) // or most of the time goes into random numbers
			_, err = train.New(c, set, 1)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
