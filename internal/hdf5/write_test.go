package hdf5

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sample has a group of more than one node of names, and texts.
func sample() Group {
	root := Group{Text: map[string]string{"config": "{\"é\": 1}", "empty": ""}}
	for i := range 40 {
		root.Groups = append(root.Groups, Group{
			Name: fmt.Sprintf("layer_%d", i), Text: map[string]string{"name": fmt.Sprint("name ", i)},
			Arrays: []Array{{"0", []int{i, 2}, make([]float32, 2*i)}, {"a longer name", []int{}, []float32{float32(i)}}},
		})
		for k := range root.Groups[i].Arrays[0].Data {
			root.Groups[i].Arrays[0].Data[k] = float32(i*100 + k)
		}
	}
	return root
}

// TestMarshal reads back what is written. MOBILENET_WRITE keeps the file, for h5py.
func TestMarshal(t *testing.T) {
	data := Marshal(sample())
	if path := os.Getenv("MOBILENET_WRITE"); path != "" {
		if err := os.WriteFile(filepath.Clean(path), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Text("", "config"); !slices.Equal(got, []string{"{\"é\": 1}"}) {
		t.Errorf("config is %q", got)
	}
	if got := f.Text("", "empty"); !slices.Equal(got, []string{""}) {
		t.Errorf("empty is %q", got)
	}
	if len(f.Datasets) != 80 {
		t.Fatalf("%d datasets, want 80", len(f.Datasets))
	}
	for _, d := range f.Datasets {
		var i int
		var name string
		if _, err := fmt.Sscanf(d.Path, "layer_%d/%s", &i, &name); err != nil {
			t.Fatal(d.Path, err)
		}
		if got := f.Text(fmt.Sprintf("layer_%d", i), "name"); !slices.Equal(got, []string{fmt.Sprint("name ", i)}) {
			t.Errorf("layer %d has the name %q", i, got)
		}
		raw, err := d.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		want := float32(i)
		for k := range len(raw) / 4 {
			if name == "0" {
				want = float32(i*100 + k)
			}
			if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:])); got != want {
				t.Errorf("%s: value %d is %v, want %v", d.Path, k, got, want)
			}
		}
	}
}
