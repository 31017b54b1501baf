// Package mobilenet classifies photos with MobileNetV2, in pure Go, with the
// answers that torchvision gives.
//
//	c, err := mobilenet.Open(ctx, "imagenet1k_v2") // or the path of a checkpoint
//	photo, err := mobilenet.DecodeFile(ctx, "dog.jpg")
//	best, err := c.Classify(ctx, photo, 5)
//	fmt.Println(best[0].Label, best[0].Probability)
//
// [Classifier.ClassifyAll] is for many photos: it takes them as they come, decodes
// ahead, and gives a result or an error for each. [Classifier.Explain] says where in a
// photo a class is seen.
//
// The path of a photo from its bytes to the labels, by file:
//
//	vision/decode.go     bytes to RGB pixels, upright
//	prepared.go          what the network sees of them,
//	vision/crop.go       shorter side resized, centre cut out
//	engine/engine.go     pixels normalised and run through the network
//	softmax.go           logits to probabilities, the largest first
//
// and [Classifier.Classify] is these calls in this order, after the decoding.
package mobilenet
