// Package diagram draws MobileNetV2 and ONNX files for slides and papers.
//
// [Architecture] is the paper's Table 2 as a row of tensors and operators,
// [Block] the inverted residual beside the classical one, and [ONNX] every
// operator of a graph. Each gives a [Drawing], which writes itself as SVG, PNG,
// DOT or Mermaid. The bytes written depend on the input alone: no clock, no
// fonts of the machine, no map order.
//
// SVG and PNG come from the same list of shapes, laid out with the widths of
// Liberation Sans. An SVG asks for that font or one of the same widths (Arial,
// Helvetica) and keeps its text as text.
package diagram
