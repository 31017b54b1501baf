package checkpoint

import (
	"math"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// input applies what stands before the first convolution: the size of the input, and
// layers that make of levels from 0 to 255 what the network wants.
func (k *kerasModel) input(m *model.Model, body []kerasOp) error {
	// A level v becomes v*scale[c] + shift[c].
	scale, shift := [3]float64{1, 1, 1}, [3]float64{}
	normalises := false
	var in model.Input
	for _, op := range body {
		change := func(factor, offset float64) error {
			if math.IsNaN(factor) || math.IsNaN(offset) || factor == 0 {
				return op.unsupported("a step of the preprocessing with values for each channel")
			}
			for c := range scale {
				scale[c], shift[c] = scale[c]*factor, shift[c]*factor+offset
			}
			normalises = true
			return nil
		}
		var err error
		switch class := op.class; {
		case class == "InputLayer":
			if h, w, ok := inputSize(op); ok && in.Height == 0 {
				in.Height, in.Width = h, w
			}
		case class == "Rescaling":
			err = change(op.number("scale", math.NaN()), op.number("offset", 0))
		case isStep(op, "truediv", "TrueDivide"):
			err = change(1/constant(op.calls), 0)
		case isStep(op, "multiply", "Multiply"):
			err = change(constant(op.calls), 0)
		case isStep(op, "subtract", "Subtract"):
			err = change(1, -constant(op.calls))
		case isStep(op, "add", "Add"):
			err = change(1, constant(op.calls))
		case class == "Resizing":
			h, w := op.number("height", 0), op.number("width", 0)
			if !(h >= model.MinResolution && w >= model.MinResolution && h < 1<<16 && w < 1<<16) {
				return op.unsupported("resizes to %v by %v", h, w)
			}
			in.Height, in.Width = int(h), int(w)
			crops, _ := op.config["crop_to_aspect_ratio"].(bool)
			pads, _ := op.config["pad_to_aspect_ratio"].(bool)
			if pads {
				return op.unsupported("pads photos to the input's shape")
			}
			if in.Squash = !crops; crops {
				in.Resize = int(max(h, w))
			}
			m.Notes = append(m.Notes, "its layer "+fault.Shown(op.name)+" resizes without antialiasing; photos are resized with it here")
		case strings.HasPrefix(class, "Random"), class == "GaussianNoise", class == "Dropout": // nothing but in training
		case class == "Conv2D" || class == "ZeroPadding2D":
			if normalises {
				for c := range scale {
					std := 1 / (255 * scale[c])
					in.Std = append(in.Std, float32(std))
					in.Mean = append(in.Mean, float32(-shift[c]*std))
				}
			}
			return m.SetInput(in)
		default:
			return op.unsupported("a %s before the first convolution", fault.Shown(class))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inputSize reads the height and width of an InputLayer, where they are said.
func inputSize(op kerasOp) (h, w int, ok bool) {
	shape, _ := op.config["batch_shape"].([]any)
	if shape == nil {
		shape, _ = op.config["batch_input_shape"].([]any)
	}
	if len(shape) != 4 {
		return 0, 0, false
	}
	side := func(v any) int {
		f, _ := v.(float64)
		if !(f >= 1 && f < 1<<16) {
			return 0
		}
		return int(f)
	}
	h, w = side(shape[1]), side(shape[2])
	if h <= 4 && side(shape[3]) > 4 { // channels first
		h, w = side(shape[2]), side(shape[3])
	}
	return h, w, h > 0 && w > 0
}

// isStep reports whether op is a function of one value and a constant, as Keras 3 or,
// with a lambda layer, Keras 2 has it.
func isStep(op kerasOp, lambda, class string) bool {
	function, _ := op.config["function"].(string)
	return op.class == class || op.class == "TFOpLambda" && (function == "math."+lambda || function == "__operators__."+lambda)
}

// constant is the number that a function is called with, NaN if there is not just one.
func constant(calls any) float64 {
	found := numbers(calls)
	if len(found) != 1 {
		return math.NaN()
	}
	return found[0]
}

// numbers lists the numbers in a call that are not places of layers or shapes.
func numbers(v any) []float64 {
	var out []float64
	switch v := v.(type) {
	case float64:
		return []float64{v}
	case []any:
		if len(v) >= 3 && len(inputsOf(v[:3])) == 1 { // ["name", 0, 0, {"y": 127.5}]
			v = v[3:]
		}
		for _, x := range v {
			out = append(out, numbers(x)...)
		}
	case map[string]any:
		if v["class_name"] == "__keras_tensor__" {
			return nil
		}
		for _, x := range v {
			out = append(out, numbers(x)...)
		}
	}
	return out
}

// sameBody makes sure that the config's convolutions are those of m's network, with the
// same strides and activations, and applies its padding and its norms' epsilon.
func sameBody(m *model.Model, body []kerasOp) error {
	units := unitsOf(body)
	n := m.Config.Network()
	convs := n.Convs()
	if len(units) != len(convs) {
		return fault.Unsupportedf("a config of %d convolutions for weights of %d", len(units), len(convs))
	}
	adds := map[string]bool{}
	for _, b := range n.Blocks {
		adds[b.Project.Name] = b.Residual()
	}
	for _, op := range body {
		if err := knownLayer(op); err != nil {
			return err
		}
	}
	h, w := m.Config.InputSize()
	sized := !m.Assumed.Resolution
	torch, same := true, true // whether the padding may be
	for i, u := range units {
		c, op := convs[i], u.conv
		kh, kw := op.sides("kernel_size", 0)
		sh, sw := op.sides("strides", 1)
		dh, dw := op.sides("dilation_rate", 1)
		switch {
		case kh != float64(c.Kernel) || kw != kh || u.depthwise() != c.Depthwise() || dh != 1 || dw != 1:
			return op.unsupported("a convolution of %v by %v where MobileNetV2 has one of %d by %d", kh, kw, c.Kernel, c.Kernel)
		case sh != float64(c.Stride) || sw != sh:
			return op.unsupported("a stride of %v where the table of its channels has %d", sh, c.Stride)
		case u.relu6 != c.ReLU6:
			return op.unsupported("its activation, or none, where MobileNetV2 has the other")
		case u.norm == nil:
			return op.unsupported("no BatchNormalization behind it")
		case u.residual != adds[c.Name]:
			return op.unsupported("a residual, or none, where MobileNetV2 has the other")
		}
		eps := u.norm.number("epsilon", 1e-3)
		if i > 0 && eps != m.Config.BNEps {
			return u.norm.unsupported("an epsilon of %v, and %v before", eps, m.Config.BNEps)
		}
		m.Config.BNEps = eps
		if c.Kernel == 3 {
			sides, err := padding(u)
			if err != nil {
				return err
			}
			for axis, n := range []int{h, w} {
				// Where the input's size is not known, Keras takes it for even.
				odd := c.Stride == 1 || sized && n%2 == 1
				switch sides[axis] {
				case paddedSame:
					torch = torch && odd
				case paddedBoth:
					same = same && odd
				case paddedAfter:
					torch, same = false, same && !odd
				}
			}
		}
		h, w = c.OutSize(h), c.OutSize(w)
	}
	switch {
	case same:
		m.Config.Padding = model.PadSame
	case torch:
		m.Config.Padding = model.PadTorch
	default:
		return fault.Unsupportedf("the convolutions of the config are padded neither all as torch does nor all as TensorFlow")
	}
	return nil
}

// How a 3x3 convolution is padded in one direction.
const (
	paddedSame  = iota // by TensorFlow's rule
	paddedBoth         // a pixel on both sides
	paddedAfter        // a pixel below, or at the right
)

// padding says how a 3x3 convolution is padded, from top to bottom and from left to right.
func padding(u unit) (sides [2]int, err error) {
	if u.pad == nil && u.conv.text("padding") == "same" {
		return sides, nil
	}
	if u.pad == nil || u.conv.text("padding") != "valid" {
		return sides, u.conv.unsupported("padding %s", fault.Shown(u.conv.text("padding")))
	}
	flat := numbers(u.pad.config["padding"])
	switch len(flat) {
	case 1: // of all sides
		flat = []float64{flat[0], flat[0], flat[0], flat[0]}
	case 2: // of both directions
		flat = []float64{flat[0], flat[0], flat[1], flat[1]}
	}
	for axis := range sides {
		switch {
		case len(flat) == 4 && flat[2*axis] == 1 && flat[2*axis+1] == 1:
			sides[axis] = paddedBoth
		case len(flat) == 4 && flat[2*axis] == 0 && flat[2*axis+1] == 1:
			sides[axis] = paddedAfter
		default:
			return sides, u.pad.unsupported("padding of %v", flat)
		}
	}
	return sides, nil
}

// knownLayer returns an error for a layer that no MobileNetV2 has.
func knownLayer(op kerasOp) error {
	switch op.class {
	case "Conv2D", "DepthwiseConv2D":
		if a := op.text("activation"); a != "" && a != "linear" {
			return op.unsupported("an activation of its own, %s", fault.Shown(a))
		}
	case "ReLU":
		if most := op.number("max_value", 0); most != 6 || op.number("negative_slope", 0) != 0 || op.number("threshold", 0) != 0 {
			return op.unsupported("a ReLU that is not ReLU6")
		}
	case "Activation":
		if a := op.text("activation"); a != "relu6" {
			return op.unsupported("the activation %s, where MobileNetV2 has ReLU6", fault.Shown(a))
		}
	case "InputLayer", "Rescaling", "Resizing", "TrueDivide", "Subtract", "Multiply", "TFOpLambda", "Dropout", "GaussianNoise",
		"ZeroPadding2D", "BatchNormalization", "Add":
	default:
		if !strings.HasPrefix(op.class, "Random") {
			return op.unsupported("a layer of class %s, which MobileNetV2 has none of", fault.Shown(op.class))
		}
	}
	return nil
}

// headFault is the error about a head that is not read, whatever its weights are; nil if
// the config has nothing against it.
func (k *kerasModel) headFault() error {
	_, head := k.split()
	if head == nil {
		for _, op := range k.ops {
			if op.class == "Flatten" {
				return op.unsupported("a Flatten of the features, which MobileNetV2 pools")
			}
		}
	}
	m := &model.Model{Config: model.Default()}
	for _, op := range head {
		if op.class == "BatchNormalization" || op.class == "LayerNormalization" {
			return applyHead(m, []kerasOp{op})
		}
	}
	return nil
}

// applyHead applies what stands behind the features.
func applyHead(m *model.Model, head []kerasOp) error {
	c := &m.Config
	left := len(linears(head))
	c.Dropout = 0
	last := "" // the last activation
	for i, op := range head {
		activation := ""
		switch op.class {
		case "GlobalAveragePooling2D":
			if i > 0 {
				return op.unsupported("a second pool")
			}
		case "AveragePooling2D":
			if h, w := op.sides("pool_size", 2); i > 0 || h != math.Ceil(float64(c.Resolution)/32) || w != h {
				return op.unsupported("a pool that is not the global one")
			}
		case "Dropout":
			if rate := op.number("rate", 0); rate >= 0 && rate < 1 {
				c.Dropout = rate
			}
		case "Flatten", "Reshape":
		case "Dense", "Conv2D":
			left--
			activation = op.text("activation")
		case "Activation":
			activation = op.text("activation")
		case "Softmax":
			activation = "softmax"
		case "ReLU":
			activation = "relu"
			if op.config["max_value"] != nil {
				activation = "relu6"
			}
		default:
			return op.unsupported("a head with a %s: linear layers and Dropout are read", fault.Shown(op.class))
		}
		if activation == "" || activation == "linear" {
			continue
		}
		if last != "" {
			return op.unsupported("%s behind %s", fault.Shown(activation), last)
		}
		switch {
		case left > 0 && activation == "relu":
			last = ""
			continue
		case left == 0 && (activation == "softmax" || activation == "sigmoid" || activation == "log_softmax"):
			last = activation
		default:
			return op.unsupported("the activation %s in a head: ReLU is read between linear layers, softmax and sigmoid behind the last", fault.Shown(activation))
		}
	}
	switch {
	case last == "sigmoid":
		c.Head.Sigmoid = true
	case last != "" && c.Classes == 1:
		return fault.Unsupportedf("a softmax of one class, which is 1 for every photo")
	case c.Classes == 1:
		m.Notes = append(m.Notes, oneLogit)
	}
	return nil
}
