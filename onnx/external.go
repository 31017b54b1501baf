package onnx

import (
	"fmt"
	"os"
	"strconv"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// loadExternal gives tensors of p whose data lies in other files that data, as
// raw_data. The files must lie in dir: names that leave it, by "..", an absolute
// path or a symbolic link, are refused. Tensors share the memory of the file they
// lie in, so that a small file cannot claim a large one many times over.
func loadExternal(p *Proto, dir string) error {
	var root *os.Root
	files := map[string][]byte{}
	for _, t := range tensors(p.Graph) {
		if t.DataLocation != pb.TensorProto_EXTERNAL {
			continue
		}
		ref, err := parseReference(t)
		if err != nil {
			return err
		}
		if root == nil {
			if root, err = os.OpenRoot(dir); err != nil {
				return err
			}
			defer root.Close()
		}
		data, ok := files[ref.location]
		if !ok {
			if data, err = readBounded(root.Open(ref.location)); err != nil {
				return fmt.Errorf("tensor %q: external data %q: %w", t.Name, ref.location, bare(err))
			}
			files[ref.location] = data
		}
		if err := ref.load(t, data); err != nil {
			return err
		}
	}
	return nil
}

// A reference is what external_data says (onnx/docs/ExternalData.md).
type reference struct {
	location       string // path relative to the model's folder
	offset, length uint64 // bytes
	toEnd          bool   // no length is given: all from offset on
}

func parseReference(t *Tensor) (reference, error) {
	r := reference{toEnd: true}
	for _, e := range t.ExternalData {
		var err error
		switch e.Key {
		case "location":
			r.location = e.Value
		case "offset":
			r.offset, err = strconv.ParseUint(e.Value, 10, 64)
		case "length":
			r.length, err = strconv.ParseUint(e.Value, 10, 64)
			r.toEnd = false
		}
		if err != nil {
			return r, fmt.Errorf("tensor %q: external data: %s %q is not a number of bytes", t.Name, e.Key, e.Value)
		}
	}
	if r.location == "" {
		return r, fmt.Errorf("tensor %q: external data without a location", t.Name)
	}
	return r, nil
}

// load makes t hold its part of data, the file it refers to.
func (r reference) load(t *Tensor, data []byte) error {
	size := uint64(len(data))
	if r.toEnd && r.offset <= size {
		r.length = size - r.offset
	}
	if r.offset > size || r.length > size-r.offset {
		return fmt.Errorf("tensor %q: external data: %d bytes at %d of %q, which has %d", t.Name, r.length, r.offset, r.location, size)
	}
	t.RawData = data[r.offset : r.offset+r.length : r.offset+r.length]
	t.DataLocation, t.ExternalData = pb.TensorProto_DEFAULT, nil
	return nil
}

// tensors lists the tensors of g: initialisers, and attributes of its nodes.
func tensors(g *pb.GraphProto) []*Tensor {
	ts := append([]*Tensor(nil), g.Initializer...)
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			if a.T != nil {
				ts = append(ts, a.T)
			}
		}
	}
	return ts
}
