package main

import (
	"fmt"
	"io"
	"sync"
)

// clippedPhotos counts photos whose levels are clipped (see vision.Image.Clipped): what a
// model says of them is what PyTorch says, and worth little. It may be used from several goroutines.
type clippedPhotos struct {
	mu    sync.Mutex
	n     int
	first string
}

// look counts a photo if its levels are clipped.
func (c *clippedPhotos) look(name string, clipped bool) {
	if !clipped {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == 1 || name < c.first { // whichever is decoded first
		c.first = name
	}
}

func (c *clippedPhotos) say(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	warnClipped(w, c.n, c.first)
}

// warnClipped says of n photos, some of which have these names, that most of them is white.
func warnClipped(w io.Writer, n int, names ...string) {
	if n == 0 {
		return
	}
	text := few(names)
	if len(names) < n {
		text += ", ..."
	}
	fmt.Fprintf(w, "warning: grey photos of more than 8 bits: %d: %s: levels above 255 are taken for white, as Pillow's convert(\"RGB\") does; scale them to 0 to 255 first\n", n, text)
}
