// Package ir is ONNX's intermediate representation (onnx/docs/IR.md): the bytes of a
// file become messages here, and messages bytes.
//
//	match.go       whether bytes look like a file at all
//	scan.go        bounds, before anything is decoded
//	file.go        bytes to messages and back
//	raw.go         tensors' data, which is not copied
//	external.go    tensors whose data lies in other files
//	references.go  the names of these, without reading the whole file
//	graph.go       a whole model, opaque to others
//	tensor.go      tensors as numbers
//	node.go        attributes and names of nodes
//	build.go       messages made from scratch
//	index.go       who makes a value, and who takes it
package ir
