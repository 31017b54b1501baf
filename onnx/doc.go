// Package onnx reads and writes MobileNetV2 in the ONNX format.
package onnx
