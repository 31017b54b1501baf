package tflite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Check looks at a .tflite file of any network as LiteRT does before it runs it, and
// returns what it holds, in lines of text, as far as that could be read: operators,
// input, output, metadata. The error is the first thing that can't be: offsets and
// counts past the end, constants with more or fewer bytes than their shape has,
// quantisation that is none, tensors that nothing makes or that two operators make, and
// shapes of the operators that a MobileNetV2 has.
func Check(data []byte) (about string, err error) {
	g, err := parse(data)
	if err != nil {
		return "", err
	}
	about = g.summary()
	if _, err := g.describe(); err != nil {
		return about, err
	}
	return about, g.wellFormed()
}

// summary is what a graph holds.
func (g *graph) summary() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s%s\n", name, fmt.Sprintf(format, args...))
	}
	counts := map[string]int{}
	var order []string
	for i := range g.operators {
		name := g.operators[i].String()
		if counts[name] == 0 {
			order = append(order, name)
		}
		counts[name]++
	}
	const shown = 12
	var operators []string
	for _, name := range order[:min(shown, len(order))] {
		operators = append(operators, fmt.Sprintf("%d %s", counts[name], name))
	}
	if len(order) > shown {
		operators = append(operators, "...")
	}
	line("operators", "%s", strings.Join(operators, ", "))
	if v, ok := g.metadata["min_runtime_version"]; ok {
		line("runtime", "%s or later", fault.Shown(strings.TrimRight(string(v[:min(len(v), 16)]), "\x00")))
	}
	for i, list := range [][]int{g.inputs, g.outputs} {
		for _, t := range list[:min(3, len(list))] {
			line([]string{"input", "output"}[i], "%s", g.tensors[t].text())
		}
	}
	if d, err := g.describe(); err == nil && d.mean != nil {
		line("normalised", "(level - %v) / %v", d.mean, d.std)
	}
	return b.String()
}

// text is a tensor in a line.
func (t *tensor) text() string {
	text := fmt.Sprintf("%s %v %v", fault.Shown(string(t.name[:min(len(t.name), maxString)])), t.elem, t.shape)
	if t.elem.bytes() && len(t.scale) == 1 && len(t.zero) == 1 {
		text += fmt.Sprintf(", scale %v, zero point %d", t.scale[0], t.zero[0])
	}
	return text
}

// wellFormed is the first thing that is wrong with the tensors and the operators.
func (g *graph) wellFormed() error {
	made := make([]bool, len(g.tensors))
	for i := range g.tensors {
		t := &g.tensors[i]
		reason := t.quantization
		if t.data != nil && reason == "" {
			reason, made[i] = t.whole(), true
		}
		if reason != "" {
			e := fault.Brokenf("%s", reason)
			e.Place = "tensor " + fault.Shown(string(t.name[:min(len(t.name), maxString)]))
			return e
		}
	}
	for _, t := range g.inputs {
		made[t] = true
	}
	for i := range g.operators {
		o := &g.operators[i]
		for _, t := range o.inputs {
			if t >= 0 && !made[t] {
				return wrong(o.at, o.String(), "nothing before it makes its input %s", g.tensors[t].text())
			}
		}
		for _, t := range o.outputs {
			if made[t] {
				return wrong(o.at, o.String(), "its output %s is there already", g.tensors[t].text())
			}
			made[t] = true
		}
		if reason := g.misshapen(o); reason != "" {
			return wrong(o.at, o.String(), "%s", reason)
		}
	}
	for _, t := range g.outputs {
		if !made[t] {
			return fault.Brokenf("nothing makes the output %s", g.tensors[t].text())
		}
	}
	return nil
}

// misshapen says why shapes of o don't fit each other, "" if they do or are not looked
// at.
func (g *graph) misshapen(o *operator) string {
	shape := func(list []int, i int) []int {
		if i < len(list) && list[i] >= 0 {
			return g.tensors[list[i]].shape
		}
		return nil
	}
	x, w, bias, y := shape(o.inputs, 0), shape(o.inputs, 1), shape(o.inputs, 2), shape(o.outputs, 0)
	switch o.code {
	case opConv, opDepthwise:
		if len(x) != 4 || len(w) != 4 || len(y) != 4 {
			return fmt.Sprintf("an input of %v, weights of %v and an output of %v", x, w, y)
		}
		channels, padding, down, across, strideH, strideW := w[0], convPadding, convDilationH, convDilationW, convStrideH, convStrideW
		if o.code == opDepthwise {
			channels, padding, down, across, strideH, strideW = w[3], depthPadding, depthDilationH, depthDilationW, depthStrideH, depthStrideW
		}
		same := o.options.u8(padding) == paddingSame
		h := windows(x[1], w[1], int(o.options.i32(strideH, 0)), int(o.options.i32(down, 1)), same)
		wide := windows(x[2], w[2], int(o.options.i32(strideW, 0)), int(o.options.i32(across, 1)), same)
		if want := []int{x[0], h, wide, channels}; !slices.Equal(want, y) {
			return fmt.Sprintf("an output of %v, where %v of %v make %v", y, w, x, want)
		}
		if bias != nil && !slices.Equal(bias, []int{channels}) {
			return fmt.Sprintf("a bias of %v for %d channels", bias, channels)
		}
	case opFullyConnected:
		if len(w) != 2 || len(y) == 0 || y[len(y)-1] != w[0] {
			return fmt.Sprintf("weights of %v for an output of %v", w, y)
		}
		if bias != nil && !slices.Equal(bias, []int{w[0]}) {
			return fmt.Sprintf("a bias of %v for %d channels", bias, w[0])
		}
	case opSoftmax, opLogistic, opRelu6, opRelu, opQuantize, opDequantize:
		if !slices.Equal(x, y) {
			return fmt.Sprintf("an input of %v and an output of %v", x, y)
		}
	case opReshape, opSqueeze:
		n, ok := elements(x)
		if m, fits := elements(y); !ok || !fits || n != m {
			return fmt.Sprintf("an input of %v and an output of %v", x, y)
		}
	}
	return ""
}

// windows is how many positions a kernel of k has on n pixels, 0 for none.
func windows(n, k, stride, dilation int, same bool) int {
	if stride < 1 || dilation < 1 || k < 1 || k > 1<<20 || dilation > 1<<20 {
		return 0
	}
	if !same {
		n -= (k - 1) * dilation
	}
	return max(0, (n+stride-1)/stride)
}
