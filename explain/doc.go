// Package explain draws where a network sees a class: what
// [mobilenet.Classifier.Explain] finds, over the photo.
//
//	e, err := c.Explain(ctx, photo, mobilenet.ExplainOptions{Top: 2})
//	picture := explain.Picture(photo, c.Seen(photo.W, photo.H), e, explain.Options{})
//
// The way of a map to a picture, by file:
//
//	map.go       values between the network's, and how large they are
//	colormap.go  colours for them
//	contour.go   lines in place of colours, for print
//	picture.go   photos, maps, captions and the legend in one picture
package explain
