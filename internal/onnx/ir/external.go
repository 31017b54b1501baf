package ir

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
)

// MaxFile is the size of the largest file that is read. Protobuf itself ends at
// 2 GiB; the largest published MobileNetV2 takes 25 MB.
const MaxFile = 1 << 30

// LoadExternal gives tensors of p whose data lies in other files that data, as
// raw_data. fsys is the model's folder: names that leave it are refused. Tensors
// share the memory of the file they lie in, so that a small file cannot claim a
// large one many times over.
func LoadExternal(p *Proto, fsys fs.FS) error {
	files := map[string][]byte{}
	return eachExternal(p, func(t *Tensor, r Reference) error {
		data, ok := files[r.Location]
		if !ok {
			var err error
			if data, err = wholefile.Read(fsys, r.Location, MaxFile); err != nil {
				return externalFault(t, r, err)
			}
			files[r.Location] = data
		}
		return r.load(t, data)
	})
}

// eachExternal calls f with every tensor whose data lies in another file.
func eachExternal(p *Proto, f func(*Tensor, Reference) error) error {
	var err error
	eachTensor(p.Graph, func(t *Tensor) {
		if err != nil || t.DataLocation != pb.TensorProto_EXTERNAL {
			return
		}
		var r Reference
		if r, err = ParseReference(t); err == nil {
			err = f(t, r)
		}
	})
	return err
}

// externalFault says that a file cannot be read.
func externalFault(t *Tensor, r Reference, err error) error {
	return About(tensorPlace(t), fmt.Errorf("external data %s: %w", Quote(r.Location), err))
}

// A Reference is what external_data says (onnx/docs/ExternalData.md).
type Reference struct {
	Location       string // cleaned path relative to the model's folder
	offset, length uint64 // bytes
	toEnd          bool   // no length is given: all from offset on
}

// ParseReference reads t's external_data.
func ParseReference(t *Tensor) (Reference, error) {
	r := Reference{toEnd: true}
	fail := func(kind fault.Kind, format string, args ...any) (Reference, error) {
		return r, About(tensorPlace(t), &fault.Error{Kind: kind, Reason: "external data" + fmt.Sprintf(format, args...)})
	}
	for _, e := range t.ExternalData {
		var err error
		switch e.Key {
		case "location":
			r.Location = e.Value
		case "offset":
			r.offset, err = strconv.ParseUint(e.Value, 10, 64)
		case "length":
			r.length, err = strconv.ParseUint(e.Value, 10, 64)
			r.toEnd = false
		}
		if err != nil {
			return fail(fault.Broken, ": %s %s is not a number of bytes", e.Key, Quote(e.Value))
		}
	}
	if r.Location == "" {
		return fail(fault.Broken, " without a location")
	}
	clean := path.Clean(r.Location)
	if !fs.ValidPath(clean) {
		return fail(fault.Unsupported, ": %s leads out of the model's folder", Quote(r.Location))
	}
	r.Location = clean
	return r, nil
}

// load makes t hold its part of data, the file it refers to.
func (r Reference) load(t *Tensor, data []byte) error {
	size := uint64(len(data))
	if r.toEnd && r.offset <= size {
		r.length = size - r.offset
	}
	if r.offset > size || r.length > size-r.offset {
		return tensorFault(t, "external data: %d bytes at %d of %s, which has %d", r.length, r.offset, Quote(r.Location), size)
	}
	t.RawData = data[r.offset : r.offset+r.length : r.offset+r.length]
	t.DataLocation, t.ExternalData = pb.TensorProto_DEFAULT, nil
	return nil
}
