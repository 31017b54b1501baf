package engine

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
)

// A packed file holds a network's weights as they are in memory:
//
//	"mobilenet packed weights\n"
//	header length   uint32
//	header CRC-32C  uint32
//	header          JSON, see packedHeader, and spaces up to a multiple of 64 bytes
//	weights         the network's arena
//
// The header's numbers are little-endian. The length of the weights follows from
// the config. The file is read, not mapped: another process may cut it off or
// write to it at any time, and a mapping would end this one by a signal then.
const packedMagic = "mobilenet packed weights\n"

// headerAt is where the header begins.
const headerAt = len(packedMagic) + 8

type packedHeader struct {
	identity
	Model     *model.Model     `json:"model,omitempty"`     // without its state dict, or
	Quantized *model.Quantized `json:"quantized,omitempty"` // without weights
	Wide      []bool           `json:"wide,omitempty"`      // of each filter of 8-bit networks, whether its weights have 16 bits
	Sums      []uint32         `json:"sums"`                // CRC-32C of each piece of the weights
}

// pieceBytes is what is read and checked at a time. A MiB is still in the
// second-level cache when its checksum is computed.
const pieceBytes = 1 << 20

// maxHeader bounds the memory taken for a header. Labels of 1000 classes are 20 KB.
const maxHeader = 64 << 20

// castagnoli is the CRC that CPUs compute: 14 MB take about a millisecond.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// savePacked writes the packed weights of what net was compiled from to the file at
// path.
func savePacked(path string, id identity, net compiled, of Source) error {
	return atomicfile.Write(path, func(w io.Writer) error { return writePacked(w, id, net, of) })
}

func writePacked(w io.Writer, id identity, net compiled, of Source) error {
	for _, text := range append([]string{id.Key}, of.Labels()...) {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%q: JSON has no bytes that are not UTF-8", text)
		}
	}
	head, p := of.head(), net.program()
	weights := p.weights
	h := packedHeader{identity: id, Model: head.Model, Quantized: head.Quantized, Wide: p.wide}
	for piece := range slices.Chunk(weights, pieceBytes) {
		h.Sums = append(h.Sums, crc32.Checksum(piece, castagnoli))
	}
	header, err := h.encode()
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	_, err = w.Write(weights)
	return err
}

// encode returns all that stands before the weights.
func (h *packedHeader) encode() ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	for (headerAt+len(text))%64 != 0 {
		text = append(text, ' ')
	}
	out := binary.LittleEndian.AppendUint32([]byte(packedMagic), uint32(len(text)))
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(text, castagnoli))
	return append(out, text...), nil
}

// openPacked reads the packed file at path.
func openPacked(path string, id identity, k kernels) (compiled, Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Source{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, Source{}, err
	}
	return readPacked(f, info.Size(), id, k)
}

// readPacked reads a packed file of so many bytes: a network, and what it was compiled
// from, without weights. It fails if the file is of another identity or damaged.
func readPacked(r io.ReaderAt, size int64, id identity, k kernels) (compiled, Source, error) {
	h, at, err := readHeader(r, size)
	switch {
	case err != nil:
		return nil, Source{}, err
	case h.identity != id:
		return nil, Source{}, fmt.Errorf("packed as %+v, want %+v", h.identity, id)
	}
	net, err := h.network(k)
	if err != nil {
		return nil, Source{}, err
	}
	// Before there is memory for them.
	if want := net.bytes(); size-at != want || int64(len(h.Sums)) != (want+pieceBytes-1)/pieceBytes {
		return nil, Source{}, fmt.Errorf("%d bytes of weights and %d checksums for a config that has %d bytes", size-at, len(h.Sums), want)
	}
	net.allocate()
	if err := readPieces(net.program().weights, io.NewSectionReader(r, at, size-at), h.Sums); err != nil {
		return nil, Source{}, err
	}
	return net, Source{Model: h.Model, Quantized: h.Quantized}.head(), nil
}

// network returns the network of a header, without its weights.
func (h *packedHeader) network(k kernels) (compiled, error) {
	switch m, q := h.Model, h.Quantized; {
	case h.Precision == float32Precision && m != nil && q == nil:
		if err := m.Config.Validate(); err != nil {
			return nil, err
		}
		return newNetwork(m.Config, k.float32), nil
	case h.Precision == int8Precision && q != nil && m == nil:
		if err := q.ValidateActivations(); err != nil {
			return nil, err
		}
		net := newInt8Network(q, k.int8)
		if n := net.filters(); len(h.Wide) != n {
			return nil, fmt.Errorf("the width of %d filters' weights, and the network has %d", len(h.Wide), n)
		}
		net.wide = h.Wide
		return net, nil
	}
	return nil, fmt.Errorf("no model in %s", h.Precision)
}

// readHeader returns the header and where it ends.
func readHeader(r io.ReaderAt, size int64) (h packedHeader, end int64, err error) {
	begin := make([]byte, headerAt)
	if _, err := r.ReadAt(begin, 0); err != nil || string(begin[:len(packedMagic)]) != packedMagic {
		return h, 0, errors.New("not a file of packed weights")
	}
	n := binary.LittleEndian.Uint32(begin[len(packedMagic):])
	if end = int64(headerAt) + int64(n); n > maxHeader || end > size || end%64 != 0 {
		return h, 0, fmt.Errorf("header of %d bytes in a file of %d", n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, int64(headerAt)); err != nil {
		return h, 0, err
	}
	if crc32.Checksum(text, castagnoli) != binary.LittleEndian.Uint32(begin[len(packedMagic)+4:]) {
		return h, 0, errors.New("damaged: the header's checksum does not match")
	}
	return h, end, json.Unmarshal(text, &h)
}

// readPieces fills dst from r, on all cores, and checks each piece against its
// checksum.
func readPieces(dst []byte, r io.ReaderAt, sums []uint32) error {
	var next atomic.Int64
	errs := make([]error, min(len(sums), runtime.GOMAXPROCS(0)))
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil {
				p := int(next.Add(1)) - 1
				if p >= len(sums) {
					return
				}
				at := p * pieceBytes
				piece := dst[at:min(at+pieceBytes, len(dst))]
				if _, err := r.ReadAt(piece, int64(at)); err != nil {
					errs[i] = err
				} else if crc32.Checksum(piece, castagnoli) != sums[p] {
					errs[i] = fmt.Errorf("damaged: the checksum of weights from byte %d on does not match", at)
				}
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}
