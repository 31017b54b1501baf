//go:build !purego

package vision

import "golang.org/x/sys/cpu"

// native returns the sets of kernels with assembly that this CPU can run.
func native() []*kernels {
	if cpu.X86.HasAVX2 {
		return []*kernels{&avx2}
	}
	return nil
}

// avx2 looks at a range's last element before it passes on its first.
var avx2 = kernels{
	name: "avx2",
	columns: func(t *taps, dst, src *Image, y, top int, _ []byte) {
		// A pixel is read and written with a byte behind it: the last ones are not.
		inner := min(t.before(src.W-1), dst.W-1)
		end := min(y+strip, dst.H)
		for ; y < end; y++ {
			d, s := dst.row(y), src.row(top+y)
			if inner > 0 {
				t.columnsAVX2(d, s, inner)
			}
			for i := max(inner, 0); i < dst.W; i++ {
				t.pixel(d[3*i:3*i+3], s, i)
			}
		}
	},
	rows: func(t *taps, dst, src []byte, i int) {
		n := len(dst)
		if n < 32 {
			t.combine(dst, src, i)
			return
		}
		src = src[(t.start[i]-t.start[0])*n:]
		k := t.coef[i*t.n:][:t.n]
		_ = src[t.n*n-1]
		rowsAVX2(&dst[0], &src[0], n, n, &k[0], t.n)
	},
	paeth: func(row, above []byte, back int) {
		// It reads 8 bytes at a time.
		pixels := (len(row) - 8) / max(back, 1)
		if back != 3 && back != 4 || pixels < 1 {
			paethGeneric(row, above, back)
			return
		}
		_ = above[pixels*back+7]
		if back == 3 {
			paeth3AVX2(&row[0], &above[0], pixels)
		} else {
			paeth4AVX2(&row[0], &above[0], pixels)
		}
		for i := pixels * back; i < len(row); i++ {
			row[i] += predict(row[i-back], above[i], above[i-back])
		}
	},
}

// columnsAVX2 writes the first so many pixels of a row.
func (t *taps) columnsAVX2(dst, src []byte, pixels int) {
	_, _, _ = dst[3*pixels], src[3*(t.start[pixels-1]+t.n)], t.coef[pixels*t.n-1]
	switch t.n {
	case 3:
		columns3AVX2(&dst[0], &src[0], &t.start[0], &t.coef[0], pixels)
	case 4:
		columns4AVX2(&dst[0], &src[0], &t.start[0], &t.coef[0], pixels)
	default:
		columnsAVX2(&dst[0], &src[0], &t.start[0], &t.coef[0], t.n, pixels)
	}
}
