// Package dataset names the classes that a network tells apart: ImageNet's,
// built in, or those of a file.
//
// A list of labels has one name per class, in the order of the network's
// outputs.
package dataset
