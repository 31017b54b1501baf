package checkpoint

import (
	"fmt"
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
		func() error { return n.heedCalls(modules) },
		func() error { return n.heedLayers(modules) },
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
	stem := n.moduleOf(n.config.Network().First.Name)
	for i, b := range n.config.Network().Blocks {
		first, last := n.moduleOf(b.Depthwise.Name), n.moduleOf(b.Project.Name)
		if first == nil || last == nil || stem == nil {
			continue
		}
		var block *module
		adds, known, code := false, false, ""
		for m := first.parent; m != nil && !m.above(stem) && !known; m = m.parent {
			if !m.above(last) {
				continue
			}
			block = m
			code += m.code
			for _, key := range residualSwitches {
				if v, ok := m.says[key].(bool); ok {
					adds, known = v, true
				}
			}
		}
		if !known && code != "" && !strings.Contains(code, "if ") { // traced
			adds, known = addCall().MatchString(code), true
		}
		switch {
		case !known:
		case i == 0 && b.Stride == 1 && b.In == b.Out:
			n.config.NoStemResidual = !adds
		case adds && !b.Residual():
			return block.refuse("it adds its input to its output, which MobileNetV2 does not here")
		case !adds && b.Residual():
			return block.refuse("it does not add its input to its output, which MobileNetV2 does here")
		}
	}
	return nil
}

// above reports whether m is l, or l is in it.
func (m *module) above(l *module) bool {
	for ; l != nil && l != m; l = l.parent {
	}
	return l == m
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
	modules := slices.ContainsFunc(slices.Concat(behind...), func(m *module) bool { return slices.Contains(relus, m.class) })
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
		if p := l.parent; !end && !seen && !modules && p != nil && p.code != "" && !reluCall().MatchString(p.code) && linears[i+1].parent == p {
			return linears[i+1].refuse("the code of %s has no activation between it and %s: only ReLU runs here", fault.Shown(p.class), fault.Shown(l.name))
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
	foreignCall = pattern(`[^a-z0-9_](silu|hardswish|gelu|leaky_relu|tanh|elu|selu|celu|mish|softplus|hardsigmoid|prelu|rrelu|adaptive_max_pool2d|max_pool2d|amax)_?\(`)
	reluCall    = pattern(`[^a-z0-9_]relu_?\(`)
	addCall     = pattern(`torch\.add_?\(`)
	arithmetic  = pattern(`torch\.(div|mul|sub|rsub|pow|exp|log|clamp|flip|neg|reciprocal)_?\(`)
	sigmoidCall = pattern(`[^a-z0-9_]sigmoid_?\(`)
)

// heedCalls looks at what the code of modules calls.
func (n *network) heedCalls(modules []*module) error {
	linears, stem := n.linears(), n.moduleOf(n.config.Network().First.Name)
	_, last := n.span()
	var users []string // classes that nobody else knows, without their code
	for _, m := range modules {
		if m.code == "" {
			if !m.leaf && !m.known && len(users) < 10 && !slices.Contains(users, m.class) {
				users = append(users, m.class)
			}
			continue
		}
		if m.leaf && m.torch { // its class says it
			continue
		}
		if call := foreignCall().FindStringSubmatch(m.code); call != nil {
			return m.refuse("the code of %s calls %s, which MobileNetV2 does not", fault.Shown(m.class), call[1])
		}
		head := slices.ContainsFunc(linears, m.above)
		if calls := arithmetic().FindStringSubmatch(m.code); calls != nil && stem != nil && m.above(stem) {
			n.note("left out: what the code of %s does by %s", fault.Shown(m.class), calls[1])
		}
		switch {
		case m.leaf: // see heedLayers
		case !head && m.index < last && reluCall().MatchString(m.code):
			return m.refuse("the code of %s calls relu, where MobileNetV2 has relu6", fault.Shown(m.class))
		case sigmoidCall().MatchString(m.code) && head && m.parent == nil:
			n.config.Head.Sigmoid = true
			n.notes = slices.DeleteFunc(n.notes, func(s string) bool { return s == oneLogit })
		case sigmoidCall().MatchString(m.code):
			return m.refuse("the code of %s calls sigmoid, which MobileNetV2 does not", fault.Shown(m.class))
		}
	}
	if users != nil {
		n.note("what the forward of %s does besides calling modules is not in the file", some(users))
	}
	return nil
}
