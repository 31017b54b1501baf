package vision

// labToRGB is to come.
func labToRGB(l, a, b byte) (r, g, bb byte) { return l, a, b }
