package checkpoint

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A kerasModel is what a Keras config says: a chain of layers, those of models within
// models among them.
type kerasModel struct {
	ops []kerasOp
}

// A kerasOp is a layer of a config, or a function of Keras' that is a step of its own.
type kerasOp struct {
	class, name string
	keys        [2]string // what its weights may be called: see kerasLayer.key
	config      map[string]any
	calls       any // what it is called with
}

// maxKerasConfig bounds a config: keras.applications' has 0.2 MB.
const maxKerasConfig = 2 << 20

// parseKerasConfig reads a config of a functional or a sequential model.
func parseKerasConfig(text string) (*kerasModel, error) {
	if len(text) > maxKerasConfig {
		return nil, fault.TooLargef("a config of more than %d MB", maxKerasConfig>>20)
	}
	var root kerasNode
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return nil, about("config", fault.Brokenf("not JSON as it should be: %.200v", err))
	}
	k := &kerasModel{}
	return k, about("config", k.add(root, "", "", 0))
}

// A kerasNode is a layer or a model in a config's JSON.
type kerasNode struct {
	Class   string          `json:"class_name"`
	Name    string          `json:"name"`
	Config  json.RawMessage `json:"config"`
	Inbound json.RawMessage `json:"inbound_nodes"`
}

// A kerasGraph is the config of a model.
type kerasGraph struct {
	Name    string          `json:"name"`
	Layers  []kerasNode     `json:"layers"`
	Outputs json.RawMessage `json:"output_layers"`
}

// add appends the layers of a model. Their weights have names in the container called
// named, and are in the group of Keras 3 called grouped.
func (k *kerasModel) add(n kerasNode, named, grouped string, depth int) error {
	var g kerasGraph
	if json.Unmarshal(n.Config, &g) != nil || g.Layers == nil {
		return fault.Unsupportedf("a model of class %s, whose layers its config does not list: save the functional model in it", fault.Shown(n.Class))
	}
	if depth > 8 {
		return fault.Unsupportedf("models in models, more than 8 deep")
	}
	groups := map[string]int{} // layers of each class so far
	for i, l := range g.Layers {
		op := kerasOp{class: l.Class, name: l.Name}
		if err := json.Unmarshal(l.Config, &op.config); err != nil {
			return fault.Brokenf("layer %d has no config", i)
		}
		if name, ok := op.config["name"].(string); ok && op.name == "" {
			op.name = name
		}
		if json.Unmarshal(l.Inbound, &op.calls) == nil && i > 0 && l.Inbound != nil && !slices.Contains(inputsOf(op.calls), nameOf(g.Layers[i-1])) {
			return &fault.Error{Kind: fault.Unsupported, Place: layerPlace(op.name), Reason: "not behind " + fault.Shown(nameOf(g.Layers[i-1])) + ": only a chain of layers is read"}
		}
		group := snake(op.class)
		if n := groups[group]; n > 0 {
			groups[group]++
			group += "_" + strconv.Itoa(n)
		} else {
			groups[group] = 1
		}
		if _, ok := op.config["layers"]; ok {
			inside := op.name
			if named != "" { // older files name the outermost model only
				inside = named
			}
			if err := k.add(l, inside, join(grouped, group), depth+1); err != nil {
				return err
			}
			continue
		}
		op.keys = [2]string{join(grouped, group), join(named, op.name)}
		k.ops = append(k.ops, op)
	}
	var outputs any
	if n := len(g.Layers); json.Unmarshal(g.Outputs, &outputs) == nil && g.Outputs != nil && n > 0 {
		if names := inputsOf(outputs); !slices.Equal(names, []string{nameOf(g.Layers[n-1])}) {
			return fault.Unsupportedf("a model whose outputs are %s", some(names))
		}
	}
	return nil
}

func nameOf(n kerasNode) string {
	if n.Name != "" {
		return n.Name
	}
	var c struct{ Name string }
	json.Unmarshal(n.Config, &c)
	return c.Name
}

// inputsOf lists the layers that a call takes values from: ["name", 0, 0] in a
// keras_history, or as Keras 2 has it.
func inputsOf(v any) []string {
	var names []string
	switch v := v.(type) {
	case []any:
		if len(v) >= 3 {
			name, ok := v[0].(string)
			_, ok1 := v[1].(float64)
			_, ok2 := v[2].(float64)
			if ok && ok1 && ok2 {
				return []string{name}
			}
		}
		for _, x := range v {
			names = append(names, inputsOf(x)...)
		}
	case map[string]any:
		for _, x := range v {
			names = append(names, inputsOf(x)...)
		}
	}
	return names
}

// snake is what Keras makes of a class's name for a group: DepthwiseConv2D becomes
// depthwise_conv2d.
func snake(class string) string {
	var out []byte
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	for i := range len(class) {
		c := class[i]
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && (lower(class[i-1]) || i+1 < len(class) && lower(class[i+1])) {
			out = append(out, '_')
		}
		if upper {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

// nameLayers gives the layers of a file the names of keras.applications, by the order
// that the config has them in, whatever they are called there. Linear layers become
// torchvision's where there are several.
func (k *kerasModel) nameLayers(layers []*kerasLayer) {
	byKey := map[string]*kerasLayer{}
	for _, l := range layers {
		byKey[l.key()] = l
	}
	call := func(op kerasOp, name string) {
		for _, key := range op.keys {
			if l := byKey[key]; l != nil {
				l.container, l.name = "", name
				delete(byKey, key)
				return
			}
		}
	}
	body, head := k.split()
	units := unitsOf(body)
	for i, p := range kerasOrder(expansions(units)) {
		if i >= len(units) {
			break
		}
		call(units[i].conv, p.conv)
		if units[i].norm != nil {
			call(*units[i].norm, p.norm)
		}
	}
	linear := linears(head)
	for i, op := range linear {
		if len(linear) == 1 {
			call(op, "predictions")
		} else {
			call(op, "classifier."+strconv.Itoa(2*i+1))
		}
	}
}

// split cuts the chain before the pool.
func (k *kerasModel) split() (body, head []kerasOp) {
	at := slices.IndexFunc(k.ops, func(op kerasOp) bool { return strings.Contains(op.class, "Pooling") })
	if at < 0 {
		return k.ops, nil
	}
	return k.ops[:at], k.ops[at:]
}

// A unit is a convolution of a config and what belongs to it.
type unit struct {
	conv     kerasOp
	pad      *kerasOp // a ZeroPadding2D before
	norm     *kerasOp
	relu6    bool
	residual bool // an Add is behind it
}

func (u unit) depthwise() bool { return u.conv.class == "DepthwiseConv2D" }

// unitsOf groups the layers of a body by their convolutions.
func unitsOf(body []kerasOp) []unit {
	var units []unit
	var pad *kerasOp
	for i := range body {
		op := body[i]
		switch op.class {
		case "Conv2D", "DepthwiseConv2D":
			units = append(units, unit{conv: op, pad: pad})
			pad = nil
		case "ZeroPadding2D":
			pad = &op
		}
		if len(units) == 0 {
			continue
		}
		switch u := &units[len(units)-1]; op.class {
		case "BatchNormalization":
			u.norm = &op
		case "ReLU", "Activation":
			u.relu6 = true
		case "Add":
			u.residual = true
		}
	}
	return units
}

// expansions says which blocks have an expansion: those with two convolutions between
// their depthwise one and the one of the block before.
func expansions(units []unit) []bool {
	var out []bool
	since := 0 // convolutions since the last depthwise one
	for _, u := range units {
		if !u.depthwise() {
			since++
			continue
		}
		out = append(out, since > 1)
		since = 0
	}
	return out
}

// linears are the layers of a head that multiply by a matrix.
func linears(head []kerasOp) []kerasOp {
	var out []kerasOp
	for _, op := range head {
		if op.class == "Dense" || op.class == "Conv2D" {
			out = append(out, op)
		}
	}
	return out
}

// number returns a number of an op's config.
func (op kerasOp) number(key string, otherwise float64) float64 {
	if v, ok := op.config[key].(float64); ok {
		return v
	}
	return otherwise
}

// text returns a text of an op's config.
func (op kerasOp) text(key string) string {
	switch v := op.config[key].(type) {
	case string:
		return v
	case map[string]any: // a function that Keras has written out
		name, _ := v["config"].(string)
		return name
	}
	return ""
}

// sides returns two numbers of an op's config: a pair, or one for both.
func (op kerasOp) sides(key string, otherwise float64) (h, w float64) {
	switch v := op.config[key].(type) {
	case float64:
		return v, v
	case []any:
		if len(v) == 2 {
			h, ok := v[0].(float64)
			w, ok2 := v[1].(float64)
			if ok && ok2 {
				return h, w
			}
		}
		return math.NaN(), math.NaN()
	}
	return otherwise, otherwise
}

func (op kerasOp) unsupported(format string, args ...any) error {
	e := fault.Unsupportedf(format, args...)
	e.Place = layerPlace(op.name)
	return e
}

// finish applies what a Keras config says to the model that was made of its weights, and
// makes sure that the network is the config's.
func (k *kerasModel) finish(m *model.Model) error {
	body, head := k.split()
	if err := k.input(m, body); err != nil {
		return err
	}
	if err := sameBody(m, body); err != nil {
		return err
	}
	if err := applyHead(m, head); err != nil {
		return err
	}
	return m.Config.Validate()
}
