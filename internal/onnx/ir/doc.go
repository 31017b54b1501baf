// Package ir is ONNX's intermediate representation (onnx/docs/IR.md): the bytes of a
// file become messages here, and messages bytes.
//
//	scan.go      bounds, before anything is decoded
//	file.go      bytes to messages and back
//	external.go  tensors whose data lies in other files
//	tensor.go    tensors as numbers, and numbers as tensors
//	node.go      attributes and names of nodes
//	build.go     messages made from scratch
//	index.go     who makes a value, and who takes it
package ir
