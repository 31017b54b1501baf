package checkpoint

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A qtensor is a quantised tensor of a torch file: bytes q that stand for
// (q - zero) * scale, with one scale or one for each index of the first dimension.
type qtensor struct {
	view   view
	scale  float64
	zero   int64
	scales view // F64, empty if there is one scale
	zeros  view // I64
}

// buildQuantised reads (storage, offset, size, stride, (scheme, scale, zero, axis), ...).
func buildQuantised(a tuple) (any, error) {
	if len(a) < 5 {
		return nil, fmt.Errorf("a quantised tensor of %d parts", len(a))
	}
	v, err := buildView(a[:4])
	if err != nil {
		return nil, err
	}
	q := qtensor{}
	params, _ := a[4].(tuple)
	ok := false
	if q.view, ok = v.(view); !ok { // of a type that is not read
		return v, nil
	}
	if len(params) > 2 {
		switch params[0] {
		case global{"torch", "per_tensor_affine"}:
			scale, ok1 := params[1].(float64)
			zero, ok2 := params[2].(int64)
			q.scale, q.zero, ok = scale, zero, ok1 && ok2
			if ok {
				return q, nil
			}
		case global{"torch", "per_channel_affine"}:
			var ok1, ok2 bool
			q.scales, ok1 = params[1].(view)
			q.zeros, ok2 = params[2].(view)
			if n := len(params); ok1 && ok2 && n == 4 && params[3] == int64(0) && len(q.view.shape) > 0 &&
				slices.Equal(q.scales.shape, q.view.shape[:1]) && slices.Equal(q.zeros.shape, q.view.shape[:1]) {
				return q, nil
			}
		}
	}
	return unread{q.view.shape, fault.Unsupportedf("a tensor quantised in a way that is not read")}, nil
}

// integers are what a quantised tensor holds: its values less their zero points, and a
// scale for each index of the first dimension.
type integers struct {
	values []int16
	scales []float32
}

// reader returns a function that reads q.
func (q qtensor) reader(load func(storage) ([]byte, error)) func() (integers, error) {
	return func() (integers, error) {
		raw, err := load(q.view.storage)
		if err != nil {
			return integers{}, err
		}
		data := q.view.tensor(raw).Data
		rows := 1
		if len(q.view.shape) > 0 {
			rows = int(max(1, q.view.shape[0]))
		}
		out := integers{values: make([]int16, len(data)), scales: make([]float32, rows)}
		zeros := slices.Repeat([]float32{float32(q.zero)}, rows)
		for i := range out.scales {
			out.scales[i] = float32(q.scale)
		}
		if q.scales.shape != nil {
			scales, err := q.scales.reader(load)()
			if err != nil {
				return out, err
			}
			z, err := q.zeros.reader(load)()
			if err != nil {
				return out, err
			}
			out.scales, zeros = scales.Data, z.Data
		}
		each := max(1, len(data)/rows)
		for i, v := range data {
			d := v - zeros[min(i/each, rows-1)]
			if !(d >= -1<<15 && d < 1<<15) {
				return out, fault.Brokenf("a zero point of %v", zeros[min(i/each, rows-1)])
			}
			out.values[i] = int16(d)
		}
		return out, nil
	}
}

// leaf is q with the numbers that its bytes stand for.
func (q qtensor) leaf(at step, load func(storage) ([]byte, error)) leaf {
	read := q.reader(load)
	l := leaf{name: at.name, scope: at.scope, shape: ints(q.view.shape), same: q.view.String(), integers: read}
	l.values = func() (model.Tensor, error) {
		q, err := read()
		if err != nil {
			return model.Tensor{}, err
		}
		t := model.Tensor{Shape: l.shape, Data: make([]float32, len(q.values))}
		each := max(1, len(q.values)/len(q.scales))
		for i, v := range q.values {
			t.Data[i] = float32(v) * q.scales[min(i/each, len(q.scales)-1)]
		}
		return t, nil
	}
	return l
}

// unpacked gives the parameters of torch's quantised linear layers, a pair that is packed
// for its kernels, the names that they have in a float layer.
func unpacked(leaves []leaf) []leaf {
	const packed = "._packed_params._packed_params."
	out := slices.Clone(leaves)
	for i := range out {
		l := &out[i]
		for number, kind := range []string{".weight", ".bias"} {
			if module, ok := strings.CutSuffix(l.name, packed+fmt.Sprint(number)); ok {
				l.scope = strings.TrimSuffix(l.scope, strings.TrimPrefix(l.name, l.scope))
				l.name = module + kind
			}
		}
	}
	return out
}

// withoutScales leaves out what the linear layers that were packed put out: without other
// quantised layers they are dynamic ones, and these are only placeholders.
func withoutScales(unpacked, packed []leaf) []leaf {
	modules := map[string]bool{}
	for i, l := range unpacked {
		if l.name != packed[i].name {
			module, _ := cutLast(l.name)
			modules[module] = true
		}
	}
	return slices.DeleteFunc(unpacked, func(l leaf) bool {
		module, kind := cutLast(l.name)
		return modules[module] && (kind == ".scale" || kind == ".zero_point")
	})
}

// torchInt8 returns the network of 8-bit integers that torchvision's quantised
// mobilenet_v2 is, if leaves are its state dict: a quantised weight, a float bias, and the
// scale and zero point of what it puts out for each convolution, with the norm folded in
// and ReLU in place of ReLU6. ok is false where leaves are something else.
func torchInt8(leaves []leaf) (q *model.Quantized, ok bool, err error) {
	const first = "features.0.0.weight"
	root := ""
	for _, l := range leaves {
		if at, is := strings.CutSuffix(l.name, first); is && l.integers != nil {
			root, ok = at, true
		}
	}
	if !ok {
		return nil, false, inObjects(leaves)
	}
	named, shapes := map[string]leaf{}, map[string][]int{}
	for _, l := range leaves {
		if name, is := strings.CutPrefix(l.name, root); is {
			named[name], shapes[name] = l, l.shape
		}
	}
	ch, err := readChannels(shapes)
	if err != nil {
		return nil, true, mismatch(root, err)
	}
	c := ch.config()
	classifier := named["classifier.1.weight"]
	if len(classifier.shape) != 2 || classifier.shape[1] != ch.last {
		return nil, true, fault.Unsupportedf("a quantised network with another head than one linear layer")
	}
	c.Classes = classifier.shape[0]
	if err := c.Validate(); err != nil {
		return nil, true, fault.Unsupportedf("%v", err)
	}
	r := int8Reader{named: named}
	q = r.network(c)
	if r.err != nil {
		return nil, true, r.err
	}
	return q, true, q.Validate()
}

// inObjects is an error for a quantised network without weights: whole modules and
// TorchScript have them packed for their kernels.
func inObjects(leaves []leaf) error {
	quantised := false
	for _, l := range leaves {
		quantised = quantised || l.name == "quant.scale" || strings.HasSuffix(l.name, ".quant.scale")
		if strings.HasSuffix(l.name, "features.0.0.weight") {
			return nil
		}
	}
	if !quantised {
		return nil
	}
	return fault.Unsupportedf("a quantised network as a whole module or TorchScript, whose weights are packed for its kernels: save its state_dict()")
}

// An int8Reader takes the parts of a quantised state dict. The first error stays.
type int8Reader struct {
	named map[string]leaf
	err   error
}

func (r *int8Reader) network(c model.Config) *model.Quantized {
	n := c.Network()
	q := &model.Quantized{Config: c, Assumed: model.AllAssumed, Logits: true, ReLU: true, QNNPACK: true, Sums: make([]model.QuantizedSum, len(n.Blocks))}
	q.Input = r.quantization("quant")
	x := q.Input
	layer := func(conv model.Conv) {
		l := r.layer(conv.Name, conv.WeightShape(), x)
		if conv.ReLU6 { // ReLU here: what is below the zero point is cut off
			l.Min = l.Out.Zero
		}
		q.Convs = append(q.Convs, l)
		x = l.Out
	}
	layer(n.First)
	for i, b := range n.Blocks {
		for _, conv := range b.Convs() {
			layer(conv)
		}
		if b.Residual() {
			q.Sums[i].Quantization = r.quantization(b.Name + ".skip_add")
			x = q.Sums[i].Quantization
		}
	}
	layer(n.Last)
	q.Pool = x // torch's pool keeps the scale
	q.Classifier = r.layer(n.Classifier.Name, []int{n.Classifier.Out, n.Classifier.In}, x)
	return q
}

// take returns a tensor of a shape, nil and an error if there is none.
func (r *int8Reader) take(name string, shape ...int) (leaf, bool) {
	l, ok := r.named[name]
	switch {
	case r.err != nil:
	case !ok:
		r.err = mismatch("", &model.MismatchError{Missing: []string{name}})
	case elements(l.shape) != elements(shape):
		r.err = mismatch("", &model.MismatchError{Misshapen: []string{fmt.Sprintf("%s: shape %v, want %v", name, l.shape, shape)}})
	}
	return l, r.err == nil
}

// floats returns the values of a tensor of a shape.
func (r *int8Reader) floats(name string, shape ...int) []float32 {
	l, ok := r.take(name, shape...)
	if !ok {
		return make([]float32, elements(shape))
	}
	t, err := l.read()
	if err != nil {
		r.err = about(name, err)
		return make([]float32, elements(shape))
	}
	return t.Data
}

// quantization reads what the bytes of a module's output stand for.
func (r *int8Reader) quantization(module string) model.Quantization {
	scale, zero := r.floats(module + ".scale")[0], r.floats(module + ".zero_point")[0]
	if !(zero >= 0 && zero <= 255) && r.err == nil {
		r.err = about(module, fault.Unsupportedf("a zero point of %v, which unsigned bytes have none of", zero))
	}
	return model.Quantization{Scale: scale, Zero: uint8(max(0, min(zero, 255)))}
}

// layer reads a convolution or the classifier, which reads x.
func (r *int8Reader) layer(module string, shape []int, x model.Quantization) model.QuantizedLayer {
	l := model.QuantizedLayer{Out: r.quantization(module), Max: 255}
	bias := r.floats(module+".bias", shape[0])
	w, ok := r.take(module+".weight", shape...)
	if ok && (w.integers == nil || !slices.Equal(w.shape, shape)) {
		r.err = about(module, fault.Unsupportedf("weights of shape %v, quantised in part", w.shape))
		ok = false
	}
	if !ok {
		return l
	}
	q, err := w.integers()
	if err != nil {
		r.err = about(module, err)
		return l
	}
	l.Weight, l.Scale = q.values, q.scales
	if len(l.Scale) == 1 {
		l.Scale = slices.Repeat(l.Scale, shape[0])
	}
	for o, v := range bias {
		b := math.RoundToEven(float64(v * (1 / (x.Scale * l.Scale[o])))) // torch multiplies, in float32
		if !(math.Abs(b) < 1<<31) {
			r.err = about(module, fault.Unsupportedf("a bias of %v, which 32 bits of scale %v can't hold", v, x.Scale*l.Scale[o]))
			return l
		}
		l.Bias = append(l.Bias, int32(b))
	}
	return l
}
