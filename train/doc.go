// Package train fine-tunes and trains MobileNetV2 on labelled images.
//
// [Fit] takes a model, the images of package dataset and [Options], best begun
// from a recipe. The network runs forward with the statistics of the batch and
// backward through every layer in the layout and with the kernels of package
// kernel; batch normalisation and ReLU6 are computed where a convolution's output
// is read, so only that output is kept of a layer.
//
// Everything random is drawn from the seed and the place in the training, and
// sums over the batch have a fixed order: the same options give the same weights
// to the bit, on any number of threads and after any interruption.
package train
