// Package ops is what is known of ONNX's operators: what they take in each
// opset, the types and shapes of what they make, and how that is computed, slowly.
//
//	operator.go    the table
//	type.go        what is known of a value before it is computed
//	call.go        a node with what is known of its inputs
//	infer.go       types and shapes of a whole graph
//	shape*.go      types and shapes, operator by operator
//	run.go         running a whole graph
//	run_*.go       computing, operator by operator
//	quant.go       both, for quantised operators
package ops
