// Package dataset opens labelled images, to train with ([Open]) or to measure a
// model with ([OpenEval]): folders with a folder per class, the MNIST family's
// IDX files, CSV lists, ImageNet's validation layouts.
//
// It also names the classes that a network tells apart: ImageNet's, built in, or
// those of a file. A list of labels has one name per class, in the order of the
// network's outputs.
package dataset
