package checkpoint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A file of a whole network says what its modules compute, if not in which order its
// forward calls them. What it says goes into the config, or is an error where a config
// can't say it.

// heed takes what modules say of the network, whose config shapes and names have
// given, into the config.
func (n *network) heed(modules []*module) error {
	steps := []func() error{
		n.heedNorms, n.heedStrides, n.heedConvs, n.heedResiduals,
		func() error { return n.heedLayers(modules) },
		func() error { return n.heedCalls(modules) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return n.config.Validate()
}

// refuse is an error about a module.
func (m *module) refuse(format string, args ...any) error {
	return about(m.name, fault.Unsupportedf(format, args...))
}

// moduleOf returns the module of a layer by torchvision's name; nil if the file
// has none.
func (n *network) moduleOf(layer string) *module { return n.tensors[layer+".weight"].in }

// convs are the convolutions of the config's network.
func (n *network) convs() []model.Conv {
	net := n.config.Network()
	out := []model.Conv{net.First}
	for _, b := range net.Blocks {
		out = append(out, b.Convs()...)
	}
	return append(out, net.Last)
}

// heedNorms takes the epsilon of the norms, which have one.
func (n *network) heedNorms() error {
	var first *module
	for _, c := range n.convs() {
		m := n.moduleOf(c.Norm)
		if m == nil {
			continue
		}
		if strings.HasPrefix(m.class, "InstanceNorm") || strings.HasPrefix(m.class, "GroupNorm") {
			return m.refuse("%s: only BatchNorm2d runs here", fault.Shown(m.class))
		}
		eps, ok := m.says["eps"].(float64)
		switch {
		case !ok:
		case first == nil:
			first, n.config.BNEps = m, eps
		case eps != n.config.BNEps:
			return m.refuse("eps is %v, that of %s is %v: all norms have the same here", eps, fault.Shown(first.name), n.config.BNEps)
		}
	}
	return nil
}

// heedStrides takes the strides of the depthwise convolutions into the table. A stage
// in which a later block has a stride is two.
func (n *network) heedStrides() error {
	blocks := n.config.Network().Blocks
	var table []model.Stage
	at := 0
	for _, s := range n.config.Table {
		rest := s
		for place := range s.N {
			b := blocks[at]
			at++
			stride := b.Stride
			if m := n.moduleOf(b.Depthwise.Name); m != nil {
				if p, ok := m.says["stride"].([2]int); ok {
					if p[0] != p[1] || p[0] != 1 && p[0] != 2 {
						return m.refuse("stride %v: want 1 or 2", p)
					}
					stride = p[0]
				}
			}
			if place > 0 && stride == 1 {
				table[len(table)-1].N++
				continue
			}
			rest.N, rest.S = 1, stride
			table = append(table, rest)
		}
	}
	n.config.Table = table
	return nil
}

// heedConvs holds what convolutions say against the network, and takes the padding.
func (n *network) heedConvs() error {
	for _, c := range n.convs() {
		m := n.moduleOf(c.Name)
		if m == nil {
			continue
		}
		pair := func(key string, want int) error {
			if p, ok := m.says[key].([2]int); ok && p != [2]int{want, want} {
				return m.refuse("%s %v: MobileNetV2 has %d here", key, p, want)
			}
			return nil
		}
		if err := pair("stride", c.Stride); err != nil {
			return err
		}
		if err := pair("dilation", 1); err != nil {
			return err
		}
		if mode, ok := m.says["padding_mode"].(string); ok && mode != "zeros" {
			return m.refuse("padding_mode %s: only zeros", fault.Shown(mode))
		}
		if groups, ok := m.says["groups"].(int); ok && groups != c.Groups {
			return m.refuse("groups %d: MobileNetV2 has %d here", groups, c.Groups)
		}
		// TensorFlow's padding is made beforehand.
		same := m.class == "Conv2dSame" || n.config.Padding == model.PadSame
		p, ok := m.says["padding"].([2]int)
		switch {
		case !ok || same && c.Kernel == 3 && p == [2]int{0, 0}:
			if m.class == "Conv2dSame" {
				n.config.Padding = model.PadSame
			}
		case c.Kernel == 3 && c.Stride == 2 && p == [2]int{1, 1}:
			n.config.Padding = model.PadTorch
		default:
			if err := pair("padding", c.Kernel/2); err != nil {
				return err
			}
		}
	}
	return nil
}

// residualSwitches are what implementations call whether a block adds its input.
var residualSwitches = []string{"use_res_connect", "use_residual", "has_residual", "has_skip", "identity"}

func (n *network) heedResiduals() error {
	for i, b := range n.config.Network().Blocks {
		m := n.moduleOf(b.Depthwise.Name)
		for up := 0; m != nil && up < 4; up, m = up+1, m.parent {
			at := slices.IndexFunc(residualSwitches, func(key string) bool { _, ok := m.says[key].(bool); return ok })
			if at < 0 {
				continue
			}
			adds := m.says[residualSwitches[at]].(bool)
			switch {
			case i == 0 && b.Stride == 1 && b.In == b.Out:
				n.config.NoStemResidual = !adds
			case adds != b.Residual():
				return m.refuse("%s is %v, but MobileNetV2 has %v here", residualSwitches[at], adds, b.Residual())
			}
			break
		}
	}
	return nil
}

// What leaf modules without tensors do, by class.
var (
	// harmless classes change nothing here, or are the global average pool.
	harmless = []string{
		"Identity", "Dropout", "Dropout2d", "FeatureAlphaDropout", "AlphaDropout", "Flatten", "DropPath", "StochasticDepth", "Sequential", "ModuleList",
		"ModuleDict", "AdaptiveAvgPool2d", "FastAdaptiveAvgPool", "FastAdaptiveAvgPool2d", "GlobalAveragePooling", "QuantStub", "DeQuantStub", "FloatFunctional",
	}
	relus     = []string{"ReLU"}
	sigmoids  = []string{"Sigmoid"}
	softmaxes = []string{"Softmax", "LogSoftmax", "Softmax2d"}
)

// isReLU6 reports whether a module is ReLU6 by its class or by its bounds.
func (m *module) isReLU6() bool {
	number := func(v any) float64 {
		switch v := v.(type) {
		case int:
			return float64(v)
		case float64:
			return v
		}
		return -1
	}
	return m.class == "ReLU6" || m.class == "Hardtanh" && number(m.says["min_val"]) == 0 && number(m.says["max_val"]) == 6
}

// linears are the modules of the head's layers; nil where the file has none.
func (n *network) linears() []*module {
	var out []*module
	for i := range n.head {
		m := n.moduleOf(fmt.Sprintf("classifier.%d", 2*i+1))
		if m == nil {
			return nil
		}
		out = append(out, m)
	}
	return out
}

// span is where the modules of the features begin and end.
func (n *network) span() (first, last int) {
	first = -1
	for _, c := range n.convs() {
		for _, name := range []string{c.Name, c.Norm} {
			if m := n.moduleOf(name); m != nil {
				if first < 0 || m.index < first {
					first = m.index
				}
				last = max(last, m.index)
			}
		}
	}
	return first, last
}

// heedLayers holds the modules without tensors against what is in their place here: in
// the features ReLU6 and the average pool, in the head ReLU between linear layers and
// perhaps a sigmoid or a softmax at the end.
func (n *network) heedLayers(modules []*module) error {
	linears := n.linears()
	first, last := n.span()
	if first < 0 {
		return nil
	}
	inHead := func(m *module) bool {
		switch {
		case len(linears) == 0:
			return false
		case linears[0].index > last:
			return m.index > linears[0].index
		}
		return m.index > linears[0].index && m.index < first // registered before the features
	}
	behind := make([][]*module, len(linears)) // activations behind each linear layer
	for _, m := range modules {
		switch {
		case !m.leaf || m.tensors || slices.Contains(harmless, m.class) || strings.HasSuffix(m.class, "Loss"):
		case m.class == "AvgPool2d" && (m.says["kernel_size"] == 7 || m.says["kernel_size"] == [2]int{7, 7}):
		case inHead(m):
			at := 0
			for i, l := range linears {
				if m.index > l.index {
					at = i
				}
			}
			behind[at] = append(behind[at], m)
		case m.isReLU6():
		default:
			return m.refuse("%s: MobileNetV2 has ReLU6, and an average pool at the end", fault.Shown(m.class))
		}
	}
	return n.heedHead(linears, behind)
}

// inSequence reports whether forward calls the modules of m's parent in their order.
func (m *module) inSequence() bool { return m.parent != nil && m.parent.class == "Sequential" }

// heedHead looks at what is behind the linear layers. Without an nn.Sequential around
// them the order is that of the attributes, which says little.
func (n *network) heedHead(linears []*module, behind [][]*module) error {
	sequence := len(linears) > 0
	for i, l := range linears {
		end := i == len(linears)-1
		sequence = sequence && l.inSequence()
		seen := false
		for _, m := range behind[i] {
			inside := m.inSequence() && l.inSequence()
			switch {
			case slices.Contains(relus, m.class) && (!end || !inside && len(linears) > 1):
				seen = true
			case slices.Contains(sigmoids, m.class) && (end || !inside):
				n.config.Head.Sigmoid = true
				n.notes = slices.DeleteFunc(n.notes, func(s string) bool { return s == oneLogit })
			case slices.Contains(softmaxes, m.class) && (end || !inside):
			case !m.torch && !inside && (m.parent != l.parent || len(linears) == 1): // such as a metric
				n.note("left out: %s, of class %s", fault.Shown(m.name), fault.Shown(m.class))
			default:
				return m.refuse("%s behind the linear layer %s: only ReLU between two, and a sigmoid or a softmax at the end, run here", fault.Shown(m.class), fault.Shown(l.name))
			}
		}
		if !end && !seen && l.inSequence() && linears[i+1].parent == l.parent {
			return linears[i+1].refuse("no activation between it and the linear layer %s: only ReLU runs here", fault.Shown(l.name))
		}
	}
	for i := range n.notes {
		if sequence { // each ReLU has been seen
			n.notes[i] = strings.TrimSuffix(n.notes[i], assumedReLU)
		}
	}
	return nil
}

// Functions in the code of TorchScript that MobileNetV2 doesn't call.
var (
	foreignCall = regexp.MustCompile(`[^a-z0-9_](silu|hardswish|gelu|leaky_relu|tanh|elu|selu|celu|mish|softplus|hardsigmoid|prelu|rrelu|adaptive_max_pool2d|max_pool2d|amax)_?\(`)
	reluCall    = regexp.MustCompile(`[^a-z0-9_]relu_?\(`)
	sigmoidCall = regexp.MustCompile(`[^a-z0-9_]sigmoid_?\(`)
)

// heedCalls looks at what the code of modules calls.
func (n *network) heedCalls(modules []*module) error {
	linears := n.linears()
	_, last := n.span()
	for _, m := range modules {
		if m.code == "" {
			continue
		}
		if call := foreignCall.FindStringSubmatch(m.code); call != nil {
			return m.refuse("its code calls %s, which MobileNetV2 does not", call[1])
		}
		above := func(l *module) bool {
			for ; l != nil && l != m; l = l.parent {
			}
			return l == m
		}
		head := slices.ContainsFunc(linears, above)
		switch {
		case m.leaf: // whose class says it
		case !head && m.index < last && reluCall.MatchString(m.code):
			return m.refuse("its code calls relu, where MobileNetV2 has relu6")
		case sigmoidCall.MatchString(m.code) && head && m.parent == nil:
			n.config.Head.Sigmoid = true
			n.notes = slices.DeleteFunc(n.notes, func(s string) bool { return s == oneLogit })
		case sigmoidCall.MatchString(m.code):
			return m.refuse("its code calls sigmoid, which MobileNetV2 does not")
		}
	}
	return nil
}
