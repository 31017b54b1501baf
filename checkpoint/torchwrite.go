package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
)

// writeTorch writes tensors as torch.save writes an OrderedDict: a zip archive
// with a pickle that rebuilds each tensor as a view of a storage, which is a file
// of its own.
func writeTorch(path string, m *model.Model, tensors []namedTensor) error {
	metadata, err := m.Metadata()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		z := &torchZip{w: w}
		z.zip = zip.NewWriter(z)
		z.add("data.pkl", pickleState(tensors))
		z.add("byteorder", []byte("little"))
		for i, t := range tensors {
			z.add(fmt.Sprintf("data/%d", i), t.bytes())
		}
		z.add("version", []byte("3\n"))
		for _, key := range slices.Sorted(maps.Keys(metadata)) {
			z.add(key, []byte(metadata[key]))
		}
		if z.err != nil {
			return z.err
		}
		return z.zip.Close()
	})
}

// torchZip writes stored entries whose data starts at multiples of 64 bytes, as
// torch wants them for mapping, and counts what it writes.
type torchZip struct {
	w   io.Writer
	n   int64
	zip *zip.Writer
	err error
}

func (z *torchZip) Write(b []byte) (int, error) {
	n, err := z.w.Write(b)
	z.n += int64(n)
	return n, err
}

func (z *torchZip) add(name string, data []byte) {
	if z.err != nil {
		return
	}
	if z.err = z.zip.Flush(); z.err != nil {
		return
	}
	name = "archive/" + name
	const header, extra = 30, 4 // of a zip entry, and of a field in it
	at := z.n + header + int64(len(name)) + extra
	pad := int((64 - at%64) % 64)
	// "FB" is the tag torch uses for padding.
	field := append([]byte{'F', 'B', byte(pad), 0}, bytes.Repeat([]byte("Z"), pad)...)
	w, err := z.zip.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Store, Extra: field, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)),
	})
	if err == nil {
		_, err = w.Write(data)
	}
	z.err = err
}

// pickleState is OrderedDict({name: _rebuild_tensor_v2(storage, 0, shape,
// strides, False, OrderedDict())}) in pickle protocol 2.
func pickleState(tensors []namedTensor) []byte {
	p := &pickler{}
	p.raw("\x80\x02")
	p.raw("ccollections\nOrderedDict\n)R(")
	for i, t := range tensors {
		class := "FloatStorage"
		switch {
		case t.counter:
			class = "LongStorage"
		case t.half:
			class = "HalfStorage"
		}
		p.text(t.name)
		p.raw("ctorch._utils\n_rebuild_tensor_v2\n((")
		p.text("storage")
		p.raw("ctorch\n" + class + "\n")
		p.text(fmt.Sprint(i))
		p.text("cpu")
		p.number(len(t.tensor.Data))
		p.raw("tQ") // the storage, by persistent id
		p.number(0) // offset
		strides := make([]int, len(t.tensor.Shape))
		n := 1
		for d := len(strides) - 1; d >= 0; d-- {
			strides[d] = n
			n *= t.tensor.Shape[d]
		}
		p.tuple(t.tensor.Shape)
		p.tuple(strides)
		p.raw("\x89ccollections\nOrderedDict\n)RtR")
	}
	p.raw("u.")
	return p.out
}

type pickler struct{ out []byte }

func (p *pickler) raw(s string) { p.out = append(p.out, s...) }

func (p *pickler) text(s string) {
	p.out = append(p.out, 'X')
	p.out = binary.LittleEndian.AppendUint32(p.out, uint32(len(s)))
	p.raw(s)
}

func (p *pickler) number(n int) {
	p.out = append(p.out, 'J')
	p.out = binary.LittleEndian.AppendUint32(p.out, uint32(n))
}

func (p *pickler) tuple(items []int) {
	p.raw("(")
	for _, n := range items {
		p.number(n)
	}
	p.raw("t")
}
