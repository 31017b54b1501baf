package ir

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// nested has references to other files in each place of a graph that can have tensors.
func nested() *Proto {
	tensor := func(name string) *Tensor {
		return &Tensor{
			Name: name, Dims: []int64{1}, DataType: int32(pb.TensorProto_FLOAT), DataLocation: pb.TensorProto_EXTERNAL,
			ExternalData: []*pb.StringStringEntryProto{{Key: "offset", Value: "0"}, {Key: "location", Value: "./" + name}},
		}
	}
	graph := func(name string) *pb.GraphProto {
		return &pb.GraphProto{Initializer: []*Tensor{tensor(name + "/a")}, Node: []*Node{{Attribute: []*Attribute{
			{Name: "t", T: tensor(name + "/b")}, {Name: "list", Tensors: []*Tensor{tensor(name + "/c"), tensor(name + "/d")}},
		}}}}
	}
	main := graph("main")
	main.Node[0].Attribute = append(main.Node[0].Attribute, &Attribute{Name: "g", G: graph("sub")}, &Attribute{Name: "gs", Graphs: []*pb.GraphProto{graph("first"), graph("second")}})
	main.Initializer = append(main.Initializer,
		&Tensor{Name: "large", Dims: []int64{4096}, DataType: int32(pb.TensorProto_FLOAT), RawData: make([]byte, 4*4096)},
		tensor("main/a"), tensor("../outside"), tensor("after"))
	return &Proto{IrVersion: 8, ProducerName: "test", Graph: main}
}

// TestExternalFiles compares the list with what loading opens.
func TestExternalFiles(t *testing.T) {
	data, err := Marshal(nested())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"nested": data}
	paths, err := filepath.Glob("../../../onnx/testdata/import/*.onnx")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		if files[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		got, err := ExternalFiles(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		p.Graph.Initializer = slices.DeleteFunc(p.Graph.Initializer, func(t *Tensor) bool { return t.Name == "../outside" })
		opened := recorder{}
		LoadExternal(p, opened)
		if want := slices.Sorted(maps.Keys(opened)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A recorder has any file, of some bytes, and knows what was opened.
type recorder map[string]bool

func (r recorder) Open(name string) (fs.File, error) {
	r[name] = true
	return fstest.MapFS{name: {Data: make([]byte, 1<<16)}}.Open(name)
}

// FuzzExternalFiles wants no panic, and the same as from the whole file.
func FuzzExternalFiles(f *testing.F) {
	data, err := Marshal(nested())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, name := range []string{"external13", "tf2onnx15"} {
		data, err := os.ReadFile("../../../onnx/testdata/import/" + name + ".onnx")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ExternalFiles(bytes.NewReader(data), int64(len(data)))
		p, parseErr := Parse(data)
		if err != nil || parseErr != nil {
			return
		}
		var want []string
		eachExternal(p, func(_ *Tensor, r Reference) error {
			want = append(want, r.Location)
			return nil
		})
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%q, want %q among them", got, name)
			}
		}
	})
}
