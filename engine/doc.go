// Package engine runs MobileNetV2 on a CPU.
//
// [Compile] makes an [Engine] of a model: it folds the batch normalisation into the
// convolutions, packs the weights for the kernels of this CPU, and starts the
// threads. [CompileQuantized] does the same for a network of 8-bit integers, which
// takes a third of the time. [Cached] does either once for all processes that share a
// folder.
//
// [Engine.Run] takes a batch of images, pixels or normalised values, of any size
// from 32 by 32 pixels up, and gives the logits, the pooled features, and what any
// module in between puts out ([Tap]).
//
// An Engine is safe for concurrent use. A run allocates no memory once the engine
// has seen its input size, except for taps. It gives the same bits for any number
// of threads and for any batch that an image is in; the kernels of different
// instruction sets differ in the last bits, those for 8-bit integers in nothing.
// [Engine.Close] ends the threads.
//
// [Engine.ClassWeights] are what a class makes of the features, and [Engine.Record] has
// gradients of its logit at any module.
//
// [Engine.Measure], [Engine.Profile] and [Engine.Peak] say how fast it is.
//
// The way of a model through the source, by file:
//
//	engine.go    options, checks, a batch cut into groups of images
//	cache.go     packed weights in a folder: build.go, packed.go
//	network.go   layers, their weights folded and packed
//	float32.go   which steps run for an input: layout.go, plan.go
//	strip.go     the steps on wide maps, row by row through several layers
//	layers.go    the steps on narrow maps, layer by layer
//	tap.go       what modules put out: modules.go
//	gradient.go  from a logit back to a module: class.go
//	team.go      threads that share the tasks of a step
package engine
