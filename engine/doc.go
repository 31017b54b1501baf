// Package engine runs MobileNetV2 on a CPU.
//
// [Compile] folds the batch normalisation of a model into its convolutions,
// packs the weights for this CPU's kernels and starts the threads.
// [Engine.Run] then turns normalised images into logits. An Engine is safe for
// concurrent use, allocates nothing per run once it has seen an input size, and
// gives the same bits for any number of threads and any batch.
package engine
