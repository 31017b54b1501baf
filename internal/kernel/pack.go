package kernel

// Pack packs output block b of a layer for its kernels: weights w [n][k] into
// pw [k][NR] and the bias [n] into pb [NR], with zeros where the block has no
// channel. For a depthwise convolution k is the 9 taps, for the first one its
// 27 inputs.
func Pack(pw, pb, w, bias []float32, b int) {
	n := len(bias)
	k, nr := len(w)/n, NR(n, b)
	clear(pw[:k*nr])
	clear(pb[:nr])
	for c := range min(nr, n-b*Block) {
		o := b*Block + c
		pb[c] = bias[o]
		for i, v := range w[o*k : (o+1)*k] {
			pw[i*nr+c] = v
		}
	}
}
