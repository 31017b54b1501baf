// Package recognise finds the MobileNetV2 in a graph of layers, whatever file the graph
// was read from.
//
// A format's importer says what every operator of its own is as a [Layer], one by one,
// and [Model] reads the network off the layer that makes the output, backwards:
//
//	layer.go    what an importer says
//	unit.go     a convolution or matrix with all that can be folded into it
//	head.go     from the output to the pool
//	network.go  from the pool to the input
//	config.go   what the layers say about the architecture and the photos
//	model.go    the state dict
//
// Errors are *[fault.Error]: the layer's own Place, and what is wanted there.
package recognise

// A Kind says what a layer does.
type Kind int

const (
	Other      Kind = iota // something that no MobileNetV2 has: Reason says what
	Input                  // the pixels
	Conv                   // a convolution
	Linear                 // a matrix
	Norm                   // batch normalisation
	Affine                 // x*Scale + Offset
	Clip                   // min(max(x, Low), High)
	Add                    // From + Operand
	Pad                    // zeros around rows and columns
	Pool                   // the mean over rows and columns
	Swap                   // the first and the last of three channels change places
	Turn                   // rows and columns are in the opposite order
	Reshape                // another shape for the same numbers in the same order
	Quantize               // rounding to 8 bits and back
	Activation             // another function of each number or row: Reason is its name
	Choice                 // the best class, or the best few: Reason is the operator
)

// A Layer is one step of a network. Only what its Kind needs is set.
type Layer struct {
	Kind    Kind
	Place   string // in the file's terms, for errors: node "Conv_3" (Conv)
	From    *Layer // what it takes; nil for an Input
	Operand *Layer // what an Add takes as well

	// Conv: Weight is [Out][In][Kernel][Kernel], where In channels belong to a group.
	// Linear: Weight is [Out][In].
	Weight  []float32
	Bias    []float32 // [Out], nil for none
	Whole   *Integers // what Weight and Bias are computed from, if that is integers
	In, Out int
	Kernel  int // also of a Pool, which has 0 for the whole map, whatever its size
	Stride  int
	Groups  int
	Pads    [4]int64 // top, left, bottom, right, in pixels; also of a Pad
	Same    bool     // padded as TensorFlow's SAME, whatever the size of the input

	Norm          Statistics
	Scale, Offset []float64 // Affine: one for each channel or one for all; nil is 1 and 0
	Low, High     float32   // Clip: infinite where there is no bound
	Rectifies     bool      // Quantize: what it holds begins at 0
	Range         Range     // Quantize: what it holds
	Reason        string
	Broken        bool // Other: not for lack of support

	// Bytes is what the integers stand for that a Quantize makes, nil where that shows
	// only when the graph runs; that a Clip bounds, if it is not numbers; or that an
	// Affine makes numbers of.
	Bytes *Bytes
	Added *Added // an Affine that adds bytes to bytes
}

// Bytes is what the integers of a tensor stand for: (q - Zero) * Scale.
type Bytes struct {
	Scale float32
	Zero  int
	Type  string // uint8, int8, or another one that is not run
}

// Integers are a layer's weights and biases as integers. Weights stand for w*Scale.
type Integers struct {
	Weight    []int16   // as the layer's Weight, each minus its zero point
	Scale     []float32 // [Out]
	Bias      []int32   // [Out], nil where the layer's Bias is all there is
	BiasScale []float32 // [Out] what biases stand for; nil for the product of Scale and the input's
}

// Added is bytes, one for each channel, that an Affine adds.
type Added struct {
	Values  []int
	Of      Bytes
	Swapped bool // they are the first operand
}

// Statistics are a batch normalisation's: (x-Mean)/sqrt(Variance+Eps)*Scale + Bias for
// each channel.
type Statistics struct {
	Scale, Bias, Mean, Variance []float32
	Eps                         float64
}

// A Range is the numbers that 8 bits stand for.
type Range struct{ Low, High float32 }

// A Source says what the file itself states about the network's input.
type Source struct {
	Place         string // input "images"
	Height, Width int    // pixels; 0 where the file leaves them free
	Channels      int    // 0 where the file leaves it free
	Levels        bool   // the input is levels from 0 to 255
}
