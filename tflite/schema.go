package tflite

import "fmt"

// Numbers of LiteRT's schema, tensorflow/lite/schema/schema.fbs, version 3: those that
// a MobileNetV2 needs, and what tells others.

// identifier is what a file has at byte 4.
const identifier = "TFL3"

// Slots of the fields of the tables.
const (
	modelVersion, modelCodes, modelSubgraphs, modelDescription     = 0, 1, 2, 3
	modelBuffers, modelMetadata, modelSignatures, modelExternal    = 4, 6, 7, 9
	codeDeprecated, codeCustom, codeVersion, codeBuiltin           = 0, 1, 2, 3
	graphTensors, graphInputs, graphOutputs, graphOperators        = 0, 1, 2, 3
	graphName                                                      = 4
	tensorShape, tensorElem, tensorBuffer, tensorName              = 0, 1, 2, 3
	tensorQuantization, tensorSparsity, tensorExternal             = 4, 6, 10
	quantScale, quantZero, quantDetails, quantAxis                 = 2, 3, 4, 6
	bufferData, bufferOffset                                       = 0, 1
	operatorCode, operatorInputs, operatorOutputs, operatorOptType = 0, 1, 2, 3
	operatorOptions                                                = 4
	metadataName, metadataBuffer                                   = 0, 1
	signatureInputs, signatureOutputs, signatureKey                = 0, 1, 2
	mapName, mapTensor                                             = 0, 1

	convPadding, convStrideW, convStrideH, convActivation, convDilationW, convDilationH        = 0, 1, 2, 3, 4, 5
	depthPadding, depthStrideW, depthStrideH, depthMultiplier, depthActivation, depthDilationW = 0, 1, 2, 3, 4, 5
	depthDilationH                                                                             = 6
	poolPadding, poolStrideW, poolStrideH, poolFilterW, poolFilterH, poolActivation            = 0, 1, 2, 3, 4, 5
	fullyActivation, fullyFormat, addActivation, softmaxBeta, reducerKeep, reshapeShape        = 0, 1, 0, 0, 0, 0
)

// A builtin is one of LiteRT's operators.
type builtin int32

const (
	opAdd            builtin = 0
	opAveragePool    builtin = 1
	opConv           builtin = 3
	opDepthwise      builtin = 4
	opDequantize     builtin = 6
	opFullyConnected builtin = 9
	opLogistic       builtin = 14
	opMul            builtin = 18
	opRelu           builtin = 19
	opReluN1To1      builtin = 20
	opRelu6          builtin = 21
	opReshape        builtin = 22
	opSoftmax        builtin = 25
	opTanh           builtin = 28
	opCustom         builtin = 32
	opPad            builtin = 34
	opTranspose      builtin = 39
	opMean           builtin = 40
	opSub            builtin = 41
	opDiv            builtin = 42
	opSqueeze        builtin = 43
	opTopK           builtin = 48
	opLogSoftmax     builtin = 50
	opCast           builtin = 53
	opMaximum        builtin = 55
	opArgMax         builtin = 56
	opMinimum        builtin = 57
	opPadV2          builtin = 60
	opExpandDims     builtin = 70
	opQuantize       builtin = 114
	opHardSwish      builtin = 117
	opPlaceholder    builtin = 127 // what the older field of a code has for those above
)

// names are those of operators that people meet in other networks, too.
var names = map[builtin]string{
	opAdd: "ADD", opAveragePool: "AVERAGE_POOL_2D", 2: "CONCATENATION", opConv: "CONV_2D", opDepthwise: "DEPTHWISE_CONV_2D",
	opDequantize: "DEQUANTIZE", 7: "EMBEDDING_LOOKUP", opFullyConnected: "FULLY_CONNECTED", 11: "L2_NORMALIZATION",
	opLogistic: "LOGISTIC", 16: "LSTM", 17: "MAX_POOL_2D", opMul: "MUL", opRelu: "RELU", opReluN1To1: "RELU_N1_TO_1",
	opRelu6: "RELU6", opReshape: "RESHAPE", 23: "RESIZE_BILINEAR", opSoftmax: "SOFTMAX", opTanh: "TANH",
	opCustom: "CUSTOM", opPad: "PAD", 36: "GATHER", opTranspose: "TRANSPOSE", opMean: "MEAN", opSub: "SUB", opDiv: "DIV",
	opSqueeze: "SQUEEZE", 45: "STRIDED_SLICE", opTopK: "TOPK_V2", 49: "SPLIT", opLogSoftmax: "LOG_SOFTMAX", opCast: "CAST",
	54: "PRELU", opMaximum: "MAXIMUM", opArgMax: "ARG_MAX", opMinimum: "MINIMUM", opPadV2: "PADV2", 65: "SLICE",
	67: "TRANSPOSE_CONV", opExpandDims: "EXPAND_DIMS", 74: "SUM", 77: "SHAPE", 78: "POW", 83: "PACK", 88: "UNPACK",
	97: "RESIZE_NEAREST_NEIGHBOR", 98: "LEAKY_RELU", 100: "MIRROR_PAD", opQuantize: "QUANTIZE", opHardSwish: "HARD_SWISH",
	126: "BATCH_MATMUL", 118: "IF", 119: "WHILE", 150: "GELU",
}

func (b builtin) String() string {
	if name, ok := names[b]; ok {
		return name
	}
	return fmt.Sprintf("operator %d", int32(b))
}

// The options of the operators that are written, by number of the union.
const (
	optionsConv       = 1
	optionsDepthwise  = 2
	optionsPool       = 5
	optionsFully      = 8
	optionsSoftmax    = 9
	optionsAdd        = 11
	optionsReshape    = 17
	optionsPad        = 22
	optionsReducer    = 27
	optionsDequantize = 38
	optionsQuantize   = 89
	optionsLogistic   = 0 // it has none
)

// An elem is the type of a tensor's elements.
type elem uint8

const (
	elemFloat32 elem = 0
	elemFloat16 elem = 1
	elemInt32   elem = 2
	elemUint8   elem = 3
	elemInt64   elem = 4
	elemInt8    elem = 9
)

// sizes are in bytes.
var sizes = map[elem]int{elemFloat32: 4, elemFloat16: 2, elemInt32: 4, elemUint8: 1, elemInt64: 8, elemInt8: 1}

func (e elem) String() string {
	switch e {
	case elemFloat32:
		return "FLOAT32"
	case elemFloat16:
		return "FLOAT16"
	case elemInt32:
		return "INT32"
	case elemUint8:
		return "UINT8"
	case elemInt64:
		return "INT64"
	case elemInt8:
		return "INT8"
	}
	return fmt.Sprintf("type %d", uint8(e))
}

// bytes reports whether elements are bytes that stand for numbers.
func (e elem) bytes() bool { return e == elemInt8 || e == elemUint8 }

// Paddings and activations that options name.
const (
	paddingSame  = 0
	paddingValid = 1

	activationNone     = 0
	activationRelu     = 1
	activationReluN1   = 2
	activationRelu6    = 3
	activationTanh     = 4
	sparseDetails      = 1
	formatShuffled     = 1
	activationsUnknown = "an activation that no MobileNetV2 has"
)
