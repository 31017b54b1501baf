// Package duplicates finds photos that are the same: byte for byte, pixel for pixel,
// or to the eye, as what is left of a photo that was resized, cropped, compressed or
// written on.
package duplicates
