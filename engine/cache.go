package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A packed file holds what [Compile] makes of a model, so that a process can map
// it and run at once:
//
//	"mobilenet packed weights\n"
//	header length   uint32
//	header          JSON, see packedHeader
//	padding         to a multiple of 64 bytes
//	weights         float32, per layer and block [k][NR] then [NR], each padded to 64 bytes
//	CRC-32C         uint32, of all before
//
// All numbers are little-endian. The lengths follow from the config.
const packedMagic = "mobilenet packed weights\n"

// packedVersion changes with the packing of the weights.
const packedVersion = 1

type packedHeader struct {
	Version int          `json:"version"`
	CPU     string       `json:"cpu"`
	Key     string       `json:"key"`
	Config  model.Config `json:"config"`
	Labels  []string     `json:"labels,omitempty"`
}

// castagnoli is the CRC that CPUs compute: 14 MB take about a millisecond.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SavePacked writes the weights as they are packed for this CPU to path. The key
// says what m was read from; [LoadPacked] returns m's config and labels.
func (e *Engine) SavePacked(path, key string, m *model.Model) error {
	header, err := json.Marshal(packedHeader{packedVersion, e.CPU(), key, m.Config, m.Labels})
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		sum := crc32.New(castagnoli)
		out := &padder{w: io.MultiWriter(w, sum)}
		out.write([]byte(packedMagic))
		out.write(binary.LittleEndian.AppendUint32(nil, uint32(len(header))))
		out.write(header)
		out.pad()
		e.net.each(func(l *weights) {
			for b := range l.w {
				out.write(bytesOf(l.w[b]))
				out.pad()
				out.write(bytesOf(l.bias[b]))
				out.pad()
			}
		})
		if out.err != nil {
			return out.err
		}
		return binary.Write(w, binary.LittleEndian, sum.Sum32())
	})
}

// LoadPacked maps a file that [Engine.SavePacked] wrote with the same key, for
// such a CPU and by this version of the engine. For any other file, and for one
// that is damaged, it returns an error; the caller compiles the model then. The
// model it returns has no weights.
func LoadPacked(path, key string, o Options) (*Engine, *model.Model, error) {
	set, err := kernel.Choose()
	if err != nil {
		return nil, nil, err
	}
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, nil, err
	}
	e, m, err := openPacked(data, key, set, o, unmap)
	if err != nil {
		unmap()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, m, nil
}

func openPacked(data []byte, key string, set *kernel.Set, o Options, unmap func()) (*Engine, *model.Model, error) {
	h, weights, err := parsePacked(data)
	switch {
	case err != nil:
		return nil, nil, err
	case h.Version != packedVersion || h.CPU != set.Name || h.Key != key:
		return nil, nil, fmt.Errorf("packed by version %d for %s from %s", h.Version, h.CPU, h.Key)
	}
	if err := h.Config.Validate(); err != nil {
		return nil, nil, err
	}
	net := layers(h.Config, set)
	if err := net.view(weights); err != nil {
		return nil, nil, err
	}
	e, err := start(net, h.Config, o)
	if err == nil {
		e.release(unmap)
	}
	return e, &model.Model{Config: h.Config, Labels: h.Labels}, err
}

// parsePacked checks data and returns its header and weights.
func parsePacked(data []byte) (packedHeader, []byte, error) {
	var h packedHeader
	begin := len(packedMagic) + 4
	if len(data) < begin+4 || string(data[:len(packedMagic)]) != packedMagic {
		return h, nil, errors.New("not a file of packed weights")
	}
	body := data[:len(data)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[len(body):]) {
		return h, nil, errors.New("damaged: the checksum does not match")
	}
	n := uint64(binary.LittleEndian.Uint32(data[len(packedMagic):]))
	end := padded(uint64(begin) + n)
	if end > uint64(len(body)) {
		return h, nil, fmt.Errorf("header of %d bytes in a file of %d", n, len(data))
	}
	err := json.Unmarshal(body[begin:uint64(begin)+n], &h)
	return h, body[end:], err
}

// view points the layers' weights into data.
func (net *network) view(data []byte) error {
	short := false
	take := func(floats int) []float32 {
		n := 4 * floats
		if size := int(padded(uint64(n))); size <= len(data) {
			v := unsafe.Slice((*float32)(unsafe.Pointer(&data[0])), floats)
			data = data[size:]
			return v
		}
		short = true
		return nil
	}
	net.each(func(l *weights) {
		for b := range l.blocks() {
			l.w = append(l.w, take(l.k*l.nr(b)))
			l.bias = append(l.bias, take(l.nr(b)))
		}
	})
	if short || len(data) > 0 {
		return errors.New("the weights are not as long as the config says")
	}
	return nil
}

// padder writes pieces padded to cache lines and keeps the first error.
type padder struct {
	w   io.Writer
	n   uint64
	err error
}

func (p *padder) write(b []byte) {
	if p.err == nil {
		_, p.err = p.w.Write(b)
		p.n += uint64(len(b))
	}
}

func (p *padder) pad() { p.write(make([]byte, padded(p.n)-p.n)) }

// padded rounds n up to a cache line, where every piece of a packed file starts.
func padded(n uint64) uint64 { return (n + 63) / 64 * 64 }

// bytesOf returns the memory of v. Packed files are only read on the kind of
// machine that wrote them; the header's CPU sees to that.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}
