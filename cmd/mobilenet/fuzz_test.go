package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/search"
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
		settings, err := resumed(text)
		if err == nil {
			err = setArgs(cmd.Flags(), settings, nil)
		}
		if err != nil {
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

// FuzzVectors reads any file of features for --append, lines and an array with its lines:
// rows, which written and read again are the same, or an error about the file.
func FuzzVectors(f *testing.F) {
	dir := f.TempDir()
	lines, array, again := filepath.Join(dir, "x.jsonl"), filepath.Join(dir, "x.npy"), filepath.Join(dir, "again.jsonl")
	f.Fuzz(func(t *testing.T, text, data []byte) {
		for name, b := range map[string][]byte{lines: text, array: data, npyPaths(array): text} {
			if err := os.WriteFile(name, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := readVectors(readNPY, array); err != nil {
			isFault(t, err)
		}
		meta, rows, err := readVectors(readJSONL, lines)
		if err != nil {
			isFault(t, err)
			return
		}
		if err := writeJSONL(again, &vectors{meta: meta, rows: func(yield func(search.Row, error) bool) {
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		}}); err != nil {
			t.Fatal(err)
		}
		sameMeta, same, err := readVectors(readJSONL, again)
		if err != nil || !reflect.DeepEqual(meta, sameMeta) || !reflect.DeepEqual(rows, same) {
			t.Errorf("%v %v, %v\nwritten and read again\n%v %v", meta, rows, err, sameMeta, same)
		}
	})
}

// readVectors reads all rows of a file, each of as many values as the file says.
func readVectors(read func(string) (*vectors, error), path string) (m search.Meta, rows []search.Row, err error) {
	v, err := read(path)
	if err != nil {
		return m, nil, err
	}
	defer v.close()
	for r, err := range v.rows {
		if err == nil && (len(r.Vector) != v.meta.Dim || r.Path == "") {
			err = errors.New("a row without a path, or of another length")
		}
		if err != nil {
			return m, nil, err
		}
		rows = append(rows, r)
	}
	return v.meta, rows, nil
}

func isFault(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		t.Errorf("%v is no fault", err)
	}
	oneLine(t, err)
}
