//go:build !purego

package jpeg

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
	idct: func(q *queue) {
		a, b := q.dst[0], q.dst[1]
		_, _ = a[7*q.stride[0]+7], b[7*q.stride[1]+7]
		idctAVX2(&q.coefs, &a[0], &b[0], q.stride[0], q.stride[1])
	},
	blend: func(sums []uint16, near, far []byte) {
		n := len(sums) &^ (chunk - 1)
		_, _ = near[n-1], far[n-1]
		blendAVX2(&sums[0], &near[0], &far[0], n)
	},
	spread: func(dst []byte, sums []uint16, even, odd uint16) {
		n := (len(sums) - 2) &^ (chunk - 1)
		_ = dst[2*n-1]
		spreadAVX2(&dst[0], &sums[0], n, even, odd)
	},
	rgb: func(dst, luma, cb, cr []byte) {
		n := len(dst) / 3
		if n < 32 {
			rgbGeneric(dst, luma, cb, cr)
			return
		}
		_, _, _ = luma[n-1], cb[n-1], cr[n-1]
		rgbAVX2(&dst[0], &luma[0], &cb[0], &cr[0], n)
	},
}
