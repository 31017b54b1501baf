// Package quant makes a network of 8-bit integers of a model, by looking at some
// photos: post-training quantisation, in closed form and deterministic.
//
//	q, err := quant.Calibrate(ctx, m, photos, quant.Options{})
//	e, err := engine.CompileQuantized(q, engine.Options{})
//
// What is done, in this order, by file:
//
//	observe.go   what every tensor holds, channel by channel, over the photos
//	equalise.go  channels scaled so that one scale suits them all, exactly
//	round.go     weights, biases and ranges become integers
//	settle.go    weights that go together are rounded together
//	compare.go   how far the result is from the model
//
// The numbers that the comments call measured are of torchvision's width 1.0 on 80
// ImageNet photos, half of them to calibrate with: signal to quantisation noise of the
// logits.
package quant
