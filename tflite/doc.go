// Package tflite reads and writes MobileNetV2 in the format of LiteRT, TensorFlow Lite
// until 2024.
//
// [Parse] makes a model of a file, [Network] one of 8-bit integers of a quantised one;
// [Export] and [ExportQuantized] make a file of a model. [Check] says
// what any .tflite file holds and whether it is well-formed. What is wrong with a file
// is said with a *[fault.Error]: its Place is an offset, an operator or a tensor, and
// errors.Is(err, errors.ErrUnsupported) holds for files that are intact but hold
// something else.
//
// A file is a flatbuffer (schema.fbs of TensorFlow, version 3), perhaps with
// tflite-support's metadata (metadata_schema.fbs) in one of its buffers and a zip
// archive with the labels behind it.
//
//	wire.go       a flatbuffer, read within its bounds
//	schema.go     slots and numbers of the schema
//	graph.go      the tensors and operators of a file
//	metadata.go   normalisation and labels
//	trace.go      operators as layers, for package recognise
//	import.go     a file as a model
//	export.go     a model as a file
//	export_quantized.go  one of 8-bit integers
//	about.go      the metadata of one
//	writer.go     the tables of one
//	check.go      files of any network
package tflite
