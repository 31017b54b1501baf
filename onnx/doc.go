// Package onnx reads and writes MobileNetV2 in the ONNX format.
//
// [Export] makes a graph of a model, and [Model] a model of a graph. [Read] and [Save]
// are for files, [Import] is [Read] and [Model]. [Check] says whether a graph is
// well-formed, [Simplify] makes it smaller, and [Run] computes it, slowly, for
// comparison.
//
// What is wrong with a file is said with a *[fault.Error]: its Place is a node, a
// tensor or an offset, and errors.Is(err, errors.ErrUnsupported) holds for graphs that
// are intact but not read here.
//
// # What is exported
//
// The graph is what torch.onnx.export of torch 1.13 makes of torchvision's
// mobilenet_v2: the same operators, node names, tensor names, attributes and
// initialisers in the same order. That goes for the modes
//
//	eval      model.eval(), the defaults
//	train     model.train(), training=TRAINING, do_constant_folding=False
//	preserve  model.eval(), training=PRESERVE, do_constant_folding=False
//
// at every opset that torch 1.13 knows, 9 to 17, with fixed and dynamic axes. The
// tests compare them node for node. From opset 18 to 23 the graph is that of opset
// 17, which these versions did not change for its operators.
//
// Opsets differ in this: ReLU6 is Clip with attributes before 11 and with two
// Constant nodes from 11 on; Dropout has its ratio as attribute before 12 and ratio
// and mode as inputs from 12 on; BatchNormalization in training has five outputs
// before 14, and training_mode and three outputs from 14 on.
//
// # What differs from torch's file
//
//   - Folded weights. torch multiplies batch normalisation into the convolutions in
//     float32, [model.Model.Fold] in float64, rounded once: values can differ in the
//     last bit. Their names, onnx::Conv_538 and so on, are the same.
//   - Which tensors are shared. In eval and preserve torch makes one initialiser of
//     equal tensors, and an Identity node of each of the others. So does Export; but
//     torch calls 0 and -0 equal, Export does not.
//   - producer_name and producer_version, which say who made the file.
//   - metadata_props, which torch leaves empty: mobilenet.config (architecture and
//     preprocessing) and mobilenet.labels (the classes' names), both JSON.
//   - Padding 'SAME', which torchvision's model does not have: at stride 2 pads are
//     asymmetric. With DynamicAll no pads are right for every size, so the network
//     sees its input turned by 180 degrees: a Slice does that, the 3x3 kernels are
//     turned, too (in train and preserve they are called NAME.turned), and all pads
//     are 1. At opset 9, where Slice has no steps, auto_pad is SAME_UPPER.
//   - What the options Softmax, Preprocess and Half add: a Softmax node at the end;
//     Transpose, Cast, Div, Sub and Div nodes under /preprocess at the start; float16
//     initialisers called NAME.half with a Cast node NAME/Cast each, before all
//     others. With Half the biases and norms stay float32.
//
// # 8-bit integers
//
// [ExportQuantized] writes a [model.Quantized] in either form that other programs take.
// testdata/quantised.py holds ONNX Runtime's bytes against the engine's. [Network] reads
// these graphs, and those of others, as a [model.Quantized] again: testdata/foreign.py.
//
// # Trust
//
// A file's structure is walked, and what its parts take in memory is added up, before
// anything is decoded; no more is allocated for a tensor than its data takes in the
// file. External data is read from the model's folder only.
package onnx
