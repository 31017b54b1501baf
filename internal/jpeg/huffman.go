package jpeg

// lutBits is how many bits a look-up resolves at once: at quality 90, nine in ten
// AC coefficients with their value's bits. The tables of a colour file then take
// 16 KB, half of a first-level cache.
const lutBits = 10

// A huffTable is a Huffman code of symbols r<<4 | s: r zeroes are skipped and s
// bits of a value follow.
//
// lut is indexed with the next bits. If they hold code and value, an entry is
//
//	value<<16 | r<<8 | bits of both
//
// if only the code, or if there is no value, symbol<<8 | bits of the code, and 0
// if the code is longer. A value with s > 0 is never 0, which tells the first
// kind from the others.
type huffTable struct {
	lut    [1 << lutBits]uint32
	limit  [17]uint32 // codes of n bits are below limit[n]>>(16-n)
	offset [17]int32  // from a code of n bits to its place in vals
	vals   [256]byte
	used   bool // by a scan
}

// huffmanTables reads Huffman tables (B.2.4.2).
func (d *decoder) huffmanTables(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 {
			return d.broken("DHT has wrong length")
		}
		class, id := body[0]>>4, body[0]&15
		if class > 1 {
			return d.broken("bad Tc value")
		}
		if id > 3 || d.baseline && id > 1 {
			return d.broken("bad Th value")
		}
		counts := body[1:17]
		n := 0
		for _, c := range counts {
			n += int(c)
		}
		switch {
		case n == 0:
			return d.broken("Huffman table has zero length")
		case n > 256:
			return d.broken("Huffman table has excessive length")
		case len(body) < 17+n:
			return d.broken("DHT has wrong length")
		}
		vals := body[17 : 17+n]
		if class == 0 {
			for _, v := range vals {
				if v > 15 {
					return d.unsupported("DC coefficients of %d bits", v)
				}
			}
		}
		t := d.newTable(d.huff[class][id])
		if !t.fill(counts, vals) {
			return d.broken("bad Huffman table")
		}
		d.huff[class][id] = t
		body = body[17+n:]
	}
	return nil
}

// newTable returns a table of zeroes in place of another: that one where no scan
// uses it, else one from an earlier file if there is one. A file may have any
// number of them.
func (d *decoder) newTable(old *huffTable) *huffTable {
	t := old
	if t == nil || t.used {
		if d.used == len(d.tables) {
			d.tables = append(d.tables, new(huffTable))
		}
		t = d.tables[d.used]
		d.used++
	}
	*t = huffTable{}
	return t
}

// fill makes the table of a canonical code: counts[n-1] symbols have codes of n
// bits. It returns false if there are not as many.
func (t *huffTable) fill(counts, vals []byte) bool {
	copy(t.vals[:], vals)
	code, next := uint32(0), 0
	for i, count := range counts {
		n := i + 1
		code <<= 1
		t.offset[n] = int32(next) - int32(code)
		for range count {
			if code >= 1<<n {
				return false
			}
			if n <= lutBits {
				t.enter(code, n, vals[next])
			}
			code++
			next++
		}
		t.limit[n] = code << (16 - n)
	}
	return true
}

// enter fills in the entries that begin with a code of n bits.
func (t *huffTable) enter(code uint32, n int, symbol byte) {
	free := lutBits - uint32(n)
	first := code << free
	run, size := uint32(symbol>>4), uint32(symbol&15)
	for tail := range uint32(1) << free {
		e := uint32(symbol)<<8 | uint32(n)
		if size > 0 && size <= free {
			e = uint32(extend(tail>>(free-size), size))<<16 | run<<8 | uint32(n) + size
		}
		t.lut[first+tail] = e
	}
}

// extend returns the value that size bits, at least one, stand for (F.2.2.1).
func extend(raw, size uint32) int32 {
	below := int32(raw>>(size-1)) - 1 // -1 if the first bit is 0
	return int32(raw) + below&(1-1<<size)
}

// long looks up a code that is longer than lut's. It returns symbol<<8 | bits of
// the code that acc, whose highest bit is next, begins with; 0 if that is none.
func (t *huffTable) long(acc uint64) uint32 {
	next := uint32(acc >> 48)
	for n := lutBits + 1; n <= 16; n++ {
		if next < t.limit[n] {
			return uint32(t.vals[byte(t.offset[n]+int32(next>>(16-n)))])<<8 | uint32(n)
		}
	}
	return 0
}
