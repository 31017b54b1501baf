// Package ops is what is known of ONNX's operators: what they take in each
// opset, the types and shapes of what they make, and how that is computed, slowly.
//
//	operator.go   the table
//	type.go       what is known of a value before it is computed
//	value.go      a value that is
//	call.go       a node with what is known of its inputs
//	infer.go      types and shapes of a whole graph
//	run.go        running a whole graph
//	fold.go       computing what depends on constants alone
//	shape*.go     types and shapes, operator by operator
//	run_*.go      computing, operator by operator
//	pool.go choose.go quant.go   both, for families of operators
package ops
