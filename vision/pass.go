package vision

import (
	"encoding/binary"
	"slices"
)

// lanes picks the lowest byte of each half of a word.
const lanes = 0x000000ff_000000ff

// halves is half in both halves of a word.
const halves = half<<32 | half

// combine writes weighted sums of rows of src to dst, a row: output i of t. The
// rows have len(dst) bytes, the first is that at start[0].
//
// Eight bytes are done at once, two to a multiplication.
func (t *taps) combine(dst, src []byte, i int) {
	n, k := len(dst), t.coef[i*t.n:][:t.n]
	src = src[(t.start[i]-t.start[0])*n:]
	words := n &^ 7
	switch {
	case t.n == 3 && !t.clips:
		combine3(dst[:words], src, n, k)
	case t.n == 4 && !t.clips:
		combine4(dst[:words], src, n, k)
	default:
		t.combineAny(dst[:words], src, n, k)
	}
	for x := words; x < n; x++ {
		sum := uint64(half)
		for j, w := range k {
			sum += uint64(src[x+j*n]) * w
		}
		dst[x] = clip(int32(sum) >> precision)
	}
}

// combine3 combines three rows that are stride apart, which is what bilinear
// scaling by 2/3 to 1 takes. None of its sums may leave the range of a level.
func combine3(dst, src []byte, stride int, k []uint64) {
	a, b, c := src[:len(dst)], src[stride:][:len(dst)], src[2*stride:][:len(dst)]
	k = k[:3]
	for x := 0; x <= len(dst)-8; x += 8 {
		p := binary.LittleEndian.Uint64(a[x : x+8])
		q := binary.LittleEndian.Uint64(b[x : x+8])
		r := binary.LittleEndian.Uint64(c[x : x+8])
		v := (halves + p&lanes*k[0] + q&lanes*k[1] + r&lanes*k[2]) >> precision & lanes
		v |= (halves + p>>8&lanes*k[0] + q>>8&lanes*k[1] + r>>8&lanes*k[2]) >> precision & lanes << 8
		v |= (halves + p>>16&lanes*k[0] + q>>16&lanes*k[1] + r>>16&lanes*k[2]) >> precision & lanes << 16
		v |= (halves + p>>24&lanes*k[0] + q>>24&lanes*k[1] + r>>24&lanes*k[2]) >> precision & lanes << 24
		binary.LittleEndian.PutUint64(dst[x:x+8], v)
	}
}

// combine4 combines four rows that are stride apart, for scaling by 1/2 to 2/3.
func combine4(dst, src []byte, stride int, k []uint64) {
	a, b, c, d := src[:len(dst)], src[stride:][:len(dst)], src[2*stride:][:len(dst)], src[3*stride:][:len(dst)]
	k = k[:4]
	for x := 0; x <= len(dst)-8; x += 8 {
		p := binary.LittleEndian.Uint64(a[x : x+8])
		q := binary.LittleEndian.Uint64(b[x : x+8])
		r := binary.LittleEndian.Uint64(c[x : x+8])
		s := binary.LittleEndian.Uint64(d[x : x+8])
		v := (halves + p&lanes*k[0] + q&lanes*k[1] + r&lanes*k[2] + s&lanes*k[3]) >> precision & lanes
		v |= (halves + p>>8&lanes*k[0] + q>>8&lanes*k[1] + r>>8&lanes*k[2] + s>>8&lanes*k[3]) >> precision & lanes << 8
		v |= (halves + p>>16&lanes*k[0] + q>>16&lanes*k[1] + r>>16&lanes*k[2] + s>>16&lanes*k[3]) >> precision & lanes << 16
		v |= (halves + p>>24&lanes*k[0] + q>>24&lanes*k[1] + r>>24&lanes*k[2] + s>>24&lanes*k[3]) >> precision & lanes << 24
		binary.LittleEndian.PutUint64(dst[x:x+8], v)
	}
}

// combineAny combines any number of rows that are stride apart.
func (t *taps) combineAny(dst, src []byte, stride int, k []uint64) {
	t.sums = slices.Grow(t.sums[:0], len(dst)/2)[:len(dst)/2]
	for i := range t.sums {
		t.sums[i] = halves
	}
	for ; len(k) >= 2; k = k[2:] {
		add2(t.sums, src[:len(dst)], src[stride:], k[0], k[1])
		src = src[2*stride:]
	}
	if len(k) == 1 {
		add(t.sums, src[:len(dst)], k[0])
	}
	if t.clips {
		for i, s := range t.sums {
			t.sums[i] = clipHalves(s)
		}
	}
	for s := t.sums; len(s) >= 4 && len(dst) >= 8; s, dst = s[4:], dst[8:] {
		binary.LittleEndian.PutUint64(dst, s[0]>>precision&lanes|
			s[1]>>precision&lanes<<8|s[2]>>precision&lanes<<16|s[3]>>precision&lanes<<24)
	}
}

// add adds a weighted row to sums, which has four words for eight bytes: those of
// bytes 0 and 4, 1 and 5, 2 and 6, 3 and 7.
func add(sums []uint64, a []byte, w uint64) {
	for len(a) >= 8 && len(sums) >= 4 {
		p := binary.LittleEndian.Uint64(a)
		sums[0] += p & lanes * w
		sums[1] += p >> 8 & lanes * w
		sums[2] += p >> 16 & lanes * w
		sums[3] += p >> 24 & lanes * w
		a, sums = a[8:], sums[4:]
	}
}

// add2 adds two rows.
func add2(sums []uint64, a, b []byte, v, w uint64) {
	b = b[:len(a)]
	for x := 0; x <= len(a)-8 && len(sums) >= 4; x += 8 {
		p := binary.LittleEndian.Uint64(a[x : x+8])
		q := binary.LittleEndian.Uint64(b[x : x+8])
		sums[0] += p&lanes*v + q&lanes*w
		sums[1] += p>>8&lanes*v + q>>8&lanes*w
		sums[2] += p>>16&lanes*v + q>>16&lanes*w
		sums[3] += p>>24&lanes*v + q>>24&lanes*w
		sums = sums[4:]
	}
}

// clipHalves limits the sums in both halves of a word to what rounds to a level.
// The lower one, if negative, has borrowed from the upper.
func clipHalves(sums uint64) uint64 {
	const most = 256<<precision - 1
	lo := int64(int32(sums))
	hi := (int64(sums) - lo) >> 32
	return uint64(min(max(hi, 0), most)<<32 | min(max(lo, 0), most))
}

// strip is how many rows horizontal does at once.
const strip = 16

// horizontal writes rows y to y+strip of dst: rows top+y and on of src with the
// columns combined. Past the last row, that is repeated. Columns are turned into
// rows, so that a pixel is a row of three times strip bytes for combine. scratch
// has place for the columns read and written.
func (t *taps) horizontal(dst, src *Image, y, top int, scratch []byte) {
	const pixel = 3 * strip
	first, last := t.start[0], t.end()
	in, out := scratch[:pixel*(last-first)], scratch[pixel*(last-first):][:pixel*dst.W]
	var rows [8][]byte
	for at := 0; at < strip; at += 8 {
		for i := range rows {
			rows[i] = src.row(top + min(y+at+i, dst.H-1))[3*first : 3*last]
		}
		toColumns(in[at:], &rows)
	}
	for i := range t.start {
		t.combine(out[pixel*i:][:pixel], in, i)
	}
	for at := 0; at < strip; at += 8 {
		for i := range rows {
			rows[i] = dst.row(min(y+at+i, dst.H-1))
		}
		toRows(&rows, out[at:])
	}
}

// toColumns writes the bytes of eight rows column by column, strip apart.
func toColumns(dst []byte, rows *[8][]byte) {
	n := len(rows[0])
	x := 0
	for ; x+8 <= n; x += 8 {
		var b [8]uint64
		b[0] = binary.LittleEndian.Uint64(rows[0][x:])
		b[1] = binary.LittleEndian.Uint64(rows[1][x:])
		b[2] = binary.LittleEndian.Uint64(rows[2][x:])
		b[3] = binary.LittleEndian.Uint64(rows[3][x:])
		b[4] = binary.LittleEndian.Uint64(rows[4][x:])
		b[5] = binary.LittleEndian.Uint64(rows[5][x:])
		b[6] = binary.LittleEndian.Uint64(rows[6][x:])
		b[7] = binary.LittleEndian.Uint64(rows[7][x:])
		transpose(&b)
		d := dst[strip*x:][:7*strip+8]
		binary.LittleEndian.PutUint64(d, b[0])
		binary.LittleEndian.PutUint64(d[strip:], b[1])
		binary.LittleEndian.PutUint64(d[2*strip:], b[2])
		binary.LittleEndian.PutUint64(d[3*strip:], b[3])
		binary.LittleEndian.PutUint64(d[4*strip:], b[4])
		binary.LittleEndian.PutUint64(d[5*strip:], b[5])
		binary.LittleEndian.PutUint64(d[6*strip:], b[6])
		binary.LittleEndian.PutUint64(d[7*strip:], b[7])
	}
	for ; x < n; x++ {
		for i, r := range rows {
			dst[strip*x+i] = r[x]
		}
	}
}

// toRows is the inverse of toColumns.
func toRows(rows *[8][]byte, src []byte) {
	n := len(rows[0])
	x := 0
	for ; x+8 <= n; x += 8 {
		var b [8]uint64
		s := src[strip*x:][:7*strip+8]
		b[0] = binary.LittleEndian.Uint64(s)
		b[1] = binary.LittleEndian.Uint64(s[strip:])
		b[2] = binary.LittleEndian.Uint64(s[2*strip:])
		b[3] = binary.LittleEndian.Uint64(s[3*strip:])
		b[4] = binary.LittleEndian.Uint64(s[4*strip:])
		b[5] = binary.LittleEndian.Uint64(s[5*strip:])
		b[6] = binary.LittleEndian.Uint64(s[6*strip:])
		b[7] = binary.LittleEndian.Uint64(s[7*strip:])
		transpose(&b)
		binary.LittleEndian.PutUint64(rows[0][x:], b[0])
		binary.LittleEndian.PutUint64(rows[1][x:], b[1])
		binary.LittleEndian.PutUint64(rows[2][x:], b[2])
		binary.LittleEndian.PutUint64(rows[3][x:], b[3])
		binary.LittleEndian.PutUint64(rows[4][x:], b[4])
		binary.LittleEndian.PutUint64(rows[5][x:], b[5])
		binary.LittleEndian.PutUint64(rows[6][x:], b[6])
		binary.LittleEndian.PutUint64(rows[7][x:], b[7])
	}
	for ; x < n; x++ {
		for i, r := range rows {
			r[x] = src[strip*x+i]
		}
	}
}

// transpose mirrors 8x8 bytes in the diagonal: the quarters first, then theirs.
func transpose(b *[8]uint64) {
	b0, b4 := swap(b[0], b[4], 32, 0x00000000_ffffffff)
	b1, b5 := swap(b[1], b[5], 32, 0x00000000_ffffffff)
	b2, b6 := swap(b[2], b[6], 32, 0x00000000_ffffffff)
	b3, b7 := swap(b[3], b[7], 32, 0x00000000_ffffffff)
	b0, b2 = swap(b0, b2, 16, 0x0000ffff_0000ffff)
	b1, b3 = swap(b1, b3, 16, 0x0000ffff_0000ffff)
	b4, b6 = swap(b4, b6, 16, 0x0000ffff_0000ffff)
	b5, b7 = swap(b5, b7, 16, 0x0000ffff_0000ffff)
	b[0], b[1] = swap(b0, b1, 8, 0x00ff00ff_00ff00ff)
	b[2], b[3] = swap(b2, b3, 8, 0x00ff00ff_00ff00ff)
	b[4], b[5] = swap(b4, b5, 8, 0x00ff00ff_00ff00ff)
	b[6], b[7] = swap(b6, b7, 8, 0x00ff00ff_00ff00ff)
}

// swap exchanges the part of a that is shift bits above mask with mask's of b.
func swap(a, b uint64, shift int, mask uint64) (uint64, uint64) {
	t := (a>>shift ^ b) & mask
	return a ^ t<<shift, b ^ t
}
