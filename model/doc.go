// Package model describes MobileNetV2 (arXiv 1801.04381) and holds its weights.
//
// A [Config] is the architecture: the (t, c, n, s) table of the paper, the
// width multiplier, the input resolution and how photos are prepared for it.
// [Config.Network] spells the table out, layer by layer, under the module
// paths of torchvision's mobilenet_v2. A [Model] is a Config with a
// [StateDict]: the tensors that torchvision's state_dict() returns, with the
// same names, shapes and layout. Every other form of the weights in this
// module (folded, packed, quantised, exported) is derived from a Model.
package model
