package vision

import "encoding/binary"

// Kinds of values in a TIFF directory.
const (
	tiffByte  = 1
	tiffShort = 3
	tiffLong  = 4
	tiffIFD   = 13
	tiffLong8 = 16
)

// kindSize has the bytes of a value of each kind.
var kindSize = [...]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

// A tiffDirectory is the first directory of a TIFF structure, BigTIFF included:
// what lies in a TIFF file and in EXIF.
type tiffDirectory struct {
	data   []byte
	order  binary.ByteOrder
	fields map[uint16]tiffField
}

// A tiffField says where the values of a tag are.
type tiffField struct {
	kind   uint16
	count  uint64
	values []byte // nil if the data ends before them
}

// directory returns the first directory of a TIFF structure, with as many fields
// as there are in data. It has none if data is something else.
func directory(data []byte) tiffDirectory {
	d := tiffDirectory{data: data, order: binary.LittleEndian}
	switch {
	case len(data) < 8:
		return d
	case string(data[:2]) == "MM":
		d.order = binary.BigEndian
	case string(data[:2]) != "II":
		return d
	}
	// Sizes of a directory's count, of an entry, and of the value in it.
	at, count, entry, inline := uint64(d.order.Uint32(data[4:])), uint64(2), uint64(12), uint64(4)
	if d.big() {
		if len(data) < 16 {
			return d
		}
		at, count, entry, inline = d.order.Uint64(data[8:]), 8, 20, 8
	}
	if at > uint64(len(data)) || uint64(len(data))-at < count {
		return d
	}
	rest := data[at+count:]
	n := min(d.number(data[at:at+count]), 1<<16, uint64(len(rest))/entry)
	d.fields = make(map[uint16]tiffField, min(n, 64))
	for ; n > 0; n, rest = n-1, rest[entry:] {
		f := tiffField{kind: d.order.Uint16(rest[2:]), count: d.number(rest[4 : 4+inline])}
		size := uint64(0)
		if int(f.kind) < len(kindSize) {
			size = kindSize[f.kind]
		}
		if _, twice := d.fields[d.order.Uint16(rest)]; twice || size == 0 {
			continue
		}
		if f.count <= inline/size {
			f.values = rest[4+inline : 4+2*inline]
		} else if off := d.number(rest[4+inline : 4+2*inline]); off < uint64(len(data)) && f.count <= (uint64(len(data))-off)/size {
			f.values = data[off:][:f.count*size]
		}
		d.fields[d.order.Uint16(rest)] = f
	}
	return d
}

// big reports whether offsets have 64 bits.
func (d *tiffDirectory) big() bool { return d.order.Uint16(d.data[2:]) == 43 }

func (d *tiffDirectory) has(tag uint16) bool {
	_, ok := d.fields[tag]
	return ok
}

// number returns the unsigned number that fills b.
func (d *tiffDirectory) number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(d.order.Uint16(b))
	case 4:
		return uint64(d.order.Uint32(b))
	}
	return d.order.Uint64(b)
}

// value returns the i-th value of a tag, an unsigned number.
func (d *tiffDirectory) value(tag uint16, i uint64) (v uint64, ok bool) {
	f := d.fields[tag]
	switch f.kind {
	case tiffByte, tiffShort, tiffLong, tiffIFD, tiffLong8:
	default:
		return 0, false
	}
	if i >= f.count || f.values == nil {
		return 0, false
	}
	size := kindSize[f.kind]
	return d.number(f.values[i*size : (i+1)*size]), true
}

// first returns the first value of a tag, or what stands for it if there is none.
func (d *tiffDirectory) first(tag uint16, otherwise uint64) uint64 {
	if v, ok := d.value(tag, 0); ok {
		return v
	}
	return otherwise
}
