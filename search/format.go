package search

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// Version is that of the format of index files.
const Version = 1

const (
	magic        = "mnidx\r\n\x1a" // no text, and broken by who changes line ends
	segmentMagic = "mnsg"

	headSize    = 32
	commitSize  = 40
	segmentSize = 64
	codeSize    = 16
	metaAt      = 4096
	align       = 64 // of everything in a segment: a cache line
)

// commitAt is where the two commits are, each in a sector of its own.
var commitAt = [2]int64{512, 1024}

// What is more than this is refused before anything is read for it.
const (
	MaxDim     = 1 << 14
	maxMeta    = 1 << 20
	maxPath    = 1 << 16
	maxRows    = 1 << 31 // of an index: 13 TB
	segmentMax = 1 << 20 // rows of a segment
)

// Meta says what the rows of an index are.
type Meta struct {
	Model      string           `json:"model"`     // a name or a file, as it was given
	Digest     string           `json:"sha256"`    // of the model's file, in hexadecimal
	Precision  string           `json:"precision"` // what the network ran in: float32 or int8
	Height     int              `json:"height"`    // of the network's input
	Width      int              `json:"width"`
	Preprocess model.Preprocess `json:"preprocess"`
	Dim        int              `json:"dim"`                  // values of a row
	AsStored   bool             `json:"as_stored,omitempty"`  // photos were not turned as their EXIF orientation says
	Normalized bool             `json:"normalized,omitempty"` // every row has length 1
	BytesOnly  bool             `json:"bytes_only,omitempty"` // no float32 rows
	Features   int              `json:"features,omitempty"`   // values that the model gives, where a projection makes Dim of them
}

// Same reports whether rows of both come of the same photos' features: the same model,
// run alike. Where it is not, it says in what they differ.
func (m *Meta) Same(o *Meta) error {
	switch {
	case m.Digest != o.Digest:
		return fault.Unsupportedf("an index of another model: its sha256 is %s (%s), and this one's is %s (%s)", short(m.Digest), fault.Shown(m.Model), short(o.Digest), fault.Shown(o.Model))
	case m.Precision != o.Precision:
		return fault.Unsupportedf("an index of a network that ran in %s; this one runs in %s", fault.Shown(m.Precision), fault.Shown(o.Precision))
	case m.Height != o.Height || m.Width != o.Width || m.prepared() != o.prepared():
		return fault.Unsupportedf("an index of photos prepared otherwise: %s", differences(m.flags(), o.flags()))
	}
	return nil
}

// prepared is how photos are prepared: what a squashed one is resized to first does not
// matter.
func (m *Meta) prepared() model.Preprocess {
	p := m.Preprocess
	if p.Squash {
		p.Resize = 0
	}
	return p
}

// flags are those of a command that prepares photos so.
func (m *Meta) flags() []string {
	list := model.AllAssumed.List(model.Config{Resolution: m.Height, InputWidth: m.Width, Preprocess: m.Preprocess})
	if m.Preprocess.Squash {
		list = append(list, "--squash")
	}
	return list
}

// differences says which flags of an index are others here: "--resize 256 in the index, 232
// here".
func differences(index, here []string) string {
	var all []string
	for _, flag := range index {
		name, _, _ := strings.Cut(flag, " ")
		same := slices.IndexFunc(here, func(other string) bool { return other == name || strings.HasPrefix(other, name+" ") })
		switch {
		case same < 0:
			all = append(all, flag+" in the index and not here")
		case here[same] != flag:
			all = append(all, flag+" in the index, "+strings.TrimPrefix(here[same], name+" ")+" here")
		}
	}
	for _, flag := range here {
		name, _, _ := strings.Cut(flag, " ")
		if !slices.ContainsFunc(index, func(other string) bool { return other == name || strings.HasPrefix(other, name+" ") }) {
			all = append(all, flag+" here and not in the index")
		}
	}
	return strings.Join(all, "; ")
}

// short is as much of a digest as a message needs.
func short(digest string) string {
	if len(digest) > 16 {
		digest = digest[:16]
	}
	return fault.Shown(digest)
}

func (m *Meta) validate() error {
	switch {
	case m.Dim < 1 || m.Dim > MaxDim:
		return fault.Unsupportedf("rows of %d values: want 1 to %d", m.Dim, MaxDim)
	case m.Features < 0 || m.Features > MaxDim:
		return fault.Unsupportedf("a projection of %d values: want up to %d", m.Features, MaxDim)
	case m.Features > 0 && m.Features < m.Dim:
		return fault.Brokenf("a projection of %d values to %d", m.Features, m.Dim)
	}
	return nil
}

// stride is what a row has as bytes, with zeros up to whole groups.
func (m *Meta) stride() int { return up(m.Dim, kernel.DotStride) }

// projection is how many floats the projection has: the mean, and Dim directions.
func (m *Meta) projection() int { return m.Features * (1 + m.Dim) * min(m.Features, 1) }

func up(n, to int) int { return (n + to - 1) / to * to }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A head begins the file. It never changes.
type head struct {
	meta       Meta
	projection []float32 // [Features] mean, then [Dim][Features]
}

// start is where the segments begin.
func start(meta, projection int) int64 { return int64(up(up(metaAt+meta, align)+4*projection, align)) }

// encode returns the file's bytes up to the segments, with no row committed.
func (h *head) encode() ([]byte, error) {
	text, err := json.Marshal(h.meta)
	if err != nil {
		return nil, err
	}
	if len(text) > maxMeta {
		return nil, fault.TooLargef("a description of %d bytes", len(text))
	}
	b := make([]byte, start(len(text), len(h.projection)))
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], Version)
	le.PutUint32(b[12:], uint32(len(text)))
	copy(b[metaAt:], text)
	floats(b[up(metaAt+len(text), align):][:4*len(h.projection)], h.projection)
	le.PutUint32(b[16:], crc(b[metaAt:]))
	le.PutUint32(b[20:], crc(b[:20]))
	c := commit{generation: 1, end: int64(len(b))}
	c.encode(b[commitAt[1]:])
	return b, nil
}

// A source is the bytes of a file.
type source interface {
	// bytes returns n bytes from at on, or an error where the file has fewer.
	bytes(at, n int64) ([]byte, error)
}

// readHead returns the head and where the segments begin.
func readHead(s source, size int64) (h head, at int64, err error) {
	b, err := s.bytes(0, min(size, headSize))
	if err != nil {
		return h, 0, err
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		return h, 0, fault.Unsupportedf("no index of photos: it does not begin with %q", magic)
	}
	if size < metaAt {
		return h, 0, fault.Brokenf("cut short: %d bytes, and the head alone has %d", size, metaAt)
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[8:]); v != Version {
		return h, 0, fault.Unsupportedf("an index of version %d; this program reads version %d", v, Version)
	}
	if le.Uint32(b[20:]) != crc(b[:20]) {
		return h, 0, fault.At(0, "the head is damaged: its checksum differs")
	}
	n := int64(le.Uint32(b[12:]))
	if n > maxMeta || metaAt+n > size {
		return h, 0, fault.At(12, "a description of %d bytes in a file of %d", n, size)
	}
	text, err := s.bytes(metaAt, n)
	if err != nil {
		return h, 0, err
	}
	if err := json.Unmarshal(text, &h.meta); err != nil {
		return h, 0, fault.At(metaAt, "the description is no JSON: %v", err)
	}
	if err := h.meta.validate(); err != nil {
		return h, 0, err
	}
	p := h.meta.projection()
	at = start(int(n), p)
	if at > size {
		return h, 0, fault.Brokenf("cut short: %d bytes, and the head alone has %d", size, at)
	}
	all, err := s.bytes(metaAt, at-metaAt)
	if err != nil {
		return h, 0, err
	}
	if le.Uint32(b[16:]) != crc(all) {
		return h, 0, fault.At(metaAt, "the description is damaged: its checksum differs")
	}
	if p > 0 {
		h.projection = floatsOf(all[up(metaAt+int(n), align)-metaAt:][:4*p])
		if !finite(h.projection) {
			return h, 0, fault.At(metaAt, "the projection is not finite")
		}
	}
	return h, at, nil
}

// A commit says how much of the file counts.
type commit struct {
	generation uint64
	rows       uint64
	segments   uint32
	end        int64
}

func (c *commit) encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, c.generation)
	le.PutUint64(b[8:], c.rows)
	le.PutUint32(b[16:], c.segments)
	le.PutUint64(b[24:], uint64(c.end))
	le.PutUint32(b[32:], crc(b[:32]))
}

// readCommit returns the newest commit that is whole, and which of the two it is.
func readCommit(s source, size, first int64) (c commit, slot int, err error) {
	slot = -1
	for i, at := range commitAt {
		b, err := s.bytes(at, commitSize)
		if err != nil {
			return c, 0, err
		}
		le := binary.LittleEndian
		if le.Uint32(b[32:]) != crc(b[:32]) {
			continue
		}
		if g := le.Uint64(b); slot < 0 || g > c.generation {
			slot = i
			c = commit{g, le.Uint64(b[8:]), le.Uint32(b[16:]), int64(le.Uint64(b[24:]))}
		}
	}
	switch {
	case slot < 0:
		return c, 0, fault.At(commitAt[0], "no commit is whole: the file is damaged")
	case c.end > size:
		return c, 0, fault.Brokenf("cut short: %d bytes of %d", size, c.end)
	case c.end < first, c.rows > maxRows, uint64(c.segments) > c.rows:
		return c, 0, fault.At(commitAt[slot], "%d rows in %d segments that end at byte %d", c.rows, c.segments, c.end)
	}
	return c, slot, nil
}

// A segment is rows that were appended together.
type segment struct {
	rows  int
	paths int64     // bytes of all paths
	sums  [4]uint32 // of codes, paths, bytes and float32 rows
}

// A layout is where the parts of a segment are, from its beginning.
type layout struct{ codes, ends, paths, bytes, floats, size int64 }

// layout is arithmetic that can't overflow: rows and dimensions are bounded.
func (s *segment) layout(m *Meta) (l layout) {
	next := func(at, n int64) int64 { return (at + n + align - 1) / align * align }
	n := int64(s.rows)
	l.codes = segmentSize
	l.ends = next(l.codes, codeSize*n)
	l.paths = next(l.ends, 4*n)
	l.bytes = next(l.paths, s.paths)
	l.floats = next(l.bytes, int64(up(s.rows, kernel.DotRows)*m.stride()))
	l.size = l.floats
	if !m.BytesOnly {
		l.size = next(l.floats, 4*n*int64(m.Dim))
	}
	return l
}

func (s *segment) encode(b []byte) {
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[4:], uint32(s.rows))
	le.PutUint64(b[8:], uint64(s.paths))
	for i, v := range s.sums {
		le.PutUint32(b[16+4*i:], v)
	}
	le.PutUint32(b[60:], crc(b[:60]))
}

// decodeSegment reads the head of a segment at a place of the file, of which room bytes
// are left.
func decodeSegment(b []byte, at, room int64, m *Meta) (s segment, l layout, err error) {
	le := binary.LittleEndian
	if string(b[:4]) != segmentMagic || le.Uint32(b[60:]) != crc(b[:60]) {
		return s, l, fault.At(at, "the head of a segment is damaged")
	}
	rows, paths := le.Uint32(b[4:]), le.Uint64(b[8:])
	if rows < 1 || rows > segmentMax || paths > uint64(room) {
		return s, l, fault.At(at, "a segment of %d rows and %d bytes of paths in %d bytes", rows, paths, room)
	}
	s = segment{rows: int(rows), paths: int64(paths)}
	for i := range s.sums {
		s.sums[i] = le.Uint32(b[16+4*i:])
	}
	if l = s.layout(m); l.size > room {
		return s, l, fault.At(at, "a segment of %d bytes where %d are left", l.size, room)
	}
	return s, l, nil
}

// A Code is what a row's bytes stand for: x[k] = Scale*u[k] + Offset, up to an error.
type Code struct {
	Scale, Offset float32
	Norm          float32 // the length of the row
	Err           float32 // at least the length of the error, as a share of Norm
}

func (c *Code) encode(b []byte) {
	floats(b[:codeSize], []float32{c.Scale, c.Offset, c.Norm, c.Err})
}

func decodeCode(b []byte) Code {
	v := floatsOf(b[:codeSize])
	return Code{v[0], v[1], v[2], v[3]}
}

// valid reports whether bounds can be computed from it.
func (c *Code) valid() bool {
	v := []float32{c.Scale, c.Offset, c.Norm, c.Err}
	return finite(v) && c.Scale >= 0 && c.Norm >= 0 && c.Err >= 0
}

// floats writes v to b.
func floats(b []byte, v []float32) {
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
}

func floatsOf(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func finite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 { // NaN or infinite
			return false
		}
	}
	return true
}

func float32At(b []byte, k int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:]))
}
