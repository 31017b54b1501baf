package onnx

import (
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/onnx/export"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/model"
)

// A QuantizedForm says how a graph computes with 8-bit integers.
type QuantizedForm string

const (
	// QDQ has the operators of float32 between pairs of QuantizeLinear and
	// DequantizeLinear, which say where bytes are: what ONNX Runtime, OpenVINO and
	// TensorRT take.
	QDQ QuantizedForm = "qdq"
	// QOperator has operators on bytes: QLinearConv, and ONNX Runtime's own QLinearAdd,
	// QLinearGlobalAveragePool and QGemm.
	QOperator QuantizedForm = "qoperator"
)

// ExportQuantized returns q as an ONNX graph of opset 13 or later: activations are uint8,
// weights int8 with a scale for each output channel, biases int32. ReLU6 is no operator
// where the bytes end at 6 or less.
//
// ONNX Runtime computes the bytes that [model.Quantized] describes, all of them: of a QDQ
// graph where it fuses the pairs into operators on bytes, as it does unless it is told
// to optimise nothing. Then it rounds sums of float32, and bytes next to a tie differ. So
// do those of a network with the rounding of LiteRT or QNNPACK, which ONNX can't say.
//
// Of the options, Mode is [Eval], and Half is not for bytes. The error of a network with
// wide sums, or with weights that int8 doesn't hold, is errors.ErrUnsupported.
func ExportQuantized(q *model.Quantized, form QuantizedForm, o ExportOptions) (*Graph, error) {
	if q == nil {
		return nil, errors.New("export: no model")
	}
	own := *q
	if o.Resolution != 0 {
		own.Config.SetInput(o.Resolution, o.Resolution)
	}
	o, err := o.complete(own.Config)
	switch {
	case err != nil:
	case o.Opset < export.MinQuantisedOpset:
		err = fmt.Errorf("opset %d: want at least %d for 8-bit integers", o.Opset, export.MinQuantisedOpset)
	case o.Mode != Eval || o.Half:
		err = errors.New("training form and float16 are not for 8-bit integers")
	case form != QDQ && form != QOperator:
		err = fmt.Errorf("form %q: want %q or %q", form, QDQ, QOperator)
	}
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	p, err := export.Quantised(&own, form == QOperator, o.internal())
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return ir.Wrap(p), nil
}
