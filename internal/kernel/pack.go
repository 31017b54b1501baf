package kernel

// Pack packs weights w [n][k] and bias [n] for output block b: [k][NR] and
// [NR], zero where the block has no channel. For a depthwise convolution k is
// the 9 taps, for the first one its 27 inputs.
func Pack(w, bias []float32, n, k, b int) (pw, pb []float32) {
	nr := NR(n, b)
	pw, pb = Aligned(k*nr), Aligned(nr)
	for c := range min(nr, n-b*Block) {
		o := b*Block + c
		pb[c] = bias[o]
		for i, v := range w[o*k : (o+1)*k] {
			pw[i*nr+c] = v
		}
	}
	return pw, pb
}
