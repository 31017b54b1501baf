package ir

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// FuzzReference gives a tensor any reference to another file. Whatever it says, nothing
// outside the folder is opened, and what is loaded is a part of the file named.
func FuzzReference(f *testing.F) {
	f.Add("weights.bin", "8", "16", 32)
	f.Add("./sub//weights.bin", "", "", 0)
	f.Add("../secret", "0", "4", 4)
	f.Add("/etc/passwd", "-1", "4", 4)
	f.Add("a\x00b", "18446744073709551615", "18446744073709551615", 100)
	f.Add(`..\secret`, "1e3", "0x10", 8)
	f.Fuzz(func(t *testing.T, location, offset, length string, size int) {
		tensor := &Tensor{Name: "w", DataLocation: pb.TensorProto_EXTERNAL}
		for _, e := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
			if e[1] != "" {
				tensor.ExternalData = append(tensor.ExternalData, &pb.StringStringEntryProto{Key: e[0], Value: e[1]})
			}
		}
		p := &Proto{Graph: &pb.GraphProto{Initializer: []*Tensor{tensor}}}
		folder := watched{t: t, size: min(max(size, 0), 1<<12)}
		if err := LoadExternal(p, folder); err != nil {
			if text := err.Error(); len(text) > 600 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Errorf("an error that a terminal does not want: %q", text)
			}
			return
		}
		if len(tensor.RawData) > folder.size || tensor.DataLocation != pb.TensorProto_DEFAULT {
			t.Errorf("%d bytes of a file of %d", len(tensor.RawData), folder.size)
		}
		if _, err := Marshal(p); err != nil {
			t.Error(err)
		}
	})
}

// watched has any file below it, of one size.
type watched struct {
	t    *testing.T
	size int
}

func (w watched) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) || name == ".." || strings.HasPrefix(name, "../") {
		w.t.Errorf("%q is opened", name)
	}
	return fstest.MapFS{name: {Data: make([]byte, w.size)}}.Open(name)
}
