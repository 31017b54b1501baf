package checkpoint

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/hdf5"
	"github.com/mobilenet-go/mobilenet/model"
)

// saveKeras writes m as .keras, a functional model that says everything, or as
// .weights.h5 for keras.applications.MobileNetV2 of the same width. The input of either
// is normalised already. The config and the labels are attributes of the weights.
func saveKeras(path string, m *model.Model) error {
	if err := m.Config.Network().Check(m.Dict); err != nil {
		return fault.In(path, err)
	}
	whole := strings.HasSuffix(strings.ToLower(path), ".keras")
	if !whole {
		if err := fitsKerasApplications(m.Config); err != nil {
			return fault.In(path, err)
		}
	}
	weights, err := kerasWeights(m)
	if err != nil {
		return err
	}
	if !whole {
		return atomicfile.Write(path, func(w io.Writer) error {
			_, err := w.Write(weights)
			return err
		})
	}
	config, err := json.Marshal(kerasConfig(m.Config))
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, entry := range []struct {
			name string
			data []byte
		}{{"metadata.json", []byte(`{"keras_version": "3.0.0"}`)}, {kerasConfigEntry, config}, {kerasWeightsEntry, weights}} {
			f, err := z.CreateRaw(&zip.FileHeader{
				Name: entry.name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(entry.data),
				CompressedSize64: uint64(len(entry.data)), UncompressedSize64: uint64(len(entry.data)),
			})
			if err != nil {
				return err
			}
			if _, err := f.Write(entry.data); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// fitsKerasApplications returns an error unless keras.applications.MobileNetV2 has a
// network with the layers of c, which its weights alone don't say.
func fitsKerasApplications(c model.Config) error {
	const library = "keras.applications"
	const instead = "; write a .keras file, which says so"
	want := model.Default()
	want.Width = c.Width
	switch {
	case c.Padding != model.PadSame:
		return cantSay(library, "it pads as TensorFlow, and this network as torch"+instead)
	case c.BNEps != 1e-3:
		return cantSay(library, "an epsilon of %v, not of 0.001"+instead, c.BNEps)
	case c.NoStemResidual && want.Network().Blocks[0].Residual():
		return cantSay(library, "no residual around the first block"+instead)
	}
	for _, n := range append([]model.Stage{{C: 32}}, want.Table...) {
		whole := model.Default() // Keras rounds down to whole channels first
		whole.Width = math.Floor(float64(n.C)*c.Width) / float64(n.C)
		if n.C != 32 && channelOf(whole, n.C) != channelOf(c, n.C) {
			return cantSay(library, "it rounds %d channels at width %v to others"+instead, n.C, c.Width)
		}
	}
	if err := sameNetwork(library, c, want); err != nil {
		return err
	}
	return nil
}

// kerasWeights is the HDF5 file of a model's weights.
func kerasWeights(m *model.Model) ([]byte, error) {
	metadata, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	layers := hdf5.Group{Name: "layers"}
	groups := map[string]int{}
	add := func(class, name string, arrays ...hdf5.Array) {
		group := class
		if n := groups[class]; n > 0 {
			group = fmt.Sprintf("%s_%d", class, n)
		}
		groups[class]++
		for i := range arrays {
			arrays[i].Name = fmt.Sprint(i)
		}
		vars := hdf5.Group{Name: "vars", Text: map[string]string{"name": name}, Arrays: arrays}
		layers.Groups = append(layers.Groups, hdf5.Group{Name: group, Groups: []hdf5.Group{vars}})
	}
	array := func(name string, order ...int) hdf5.Array {
		t := m.Dict[name]
		a := hdf5.Array{Shape: t.Shape, Data: t.Data}
		if order != nil {
			a.Data = permute(t.Data, t.Shape, order)
			a.Shape = nil
			for _, from := range order {
				a.Shape = append(a.Shape, t.Shape[from])
			}
		}
		return a
	}
	n := m.Config.Network()
	names := kerasPairs(n)
	for i, c := range n.Convs() {
		if c.Depthwise() {
			add("depthwise_conv2d", names[i].conv, array(c.Name+".weight", 2, 3, 0, 1))
		} else {
			add("conv2d", names[i].conv, array(c.Name+".weight", 2, 3, 1, 0))
		}
		add("batch_normalization", names[i].norm,
			array(c.Norm+".weight"), array(c.Norm+".bias"), array(c.Norm+".running_mean"), array(c.Norm+".running_var"))
	}
	for i, l := range n.Linears() {
		add("dense", kerasLinear(n, i), array(l.Name+".weight", 1, 0), array(l.Name+".bias"))
	}
	return hdf5.Marshal(hdf5.Group{Text: metadata, Groups: []hdf5.Group{layers}}), nil
}

// kerasPairs lists Keras' names for the convolutions of n.
func kerasPairs(n model.Network) []pair {
	var expands []bool
	for _, b := range n.Blocks {
		expands = append(expands, b.Expand != nil)
	}
	return kerasOrder(expands)
}

// kerasLinear names linear layer i.
func kerasLinear(n model.Network, i int) string {
	if i == len(n.Hidden) {
		return kerasScheme.classifier
	}
	return fmt.Sprintf("hidden_%d", i+1)
}

// A kerasChain is the config of a functional model in the making.
type kerasChain struct {
	layers []any
	last   string // layer
}

// fields are an object of JSON.
type fields = map[string]any

// add appends a layer behind the last one and, for a sum, others.
func (k *kerasChain) add(class, name string, config fields, others ...string) {
	config["name"] = name
	tensor := func(layer string) fields {
		return fields{"class_name": "__keras_tensor__", "config": fields{
			"shape": []any{nil, nil, nil, nil}, "dtype": "float32", "keras_history": []any{layer, 0, 0},
		}}
	}
	calls := []any{}
	if k.last != "" {
		args := []any{tensor(k.last)}
		if others != nil {
			all := []any{}
			for _, o := range others {
				all = append(all, tensor(o))
			}
			args = []any{append(all, tensor(k.last))}
		}
		calls = append(calls, fields{"args": args, "kwargs": fields{}})
	}
	k.layers = append(k.layers, fields{
		"module": "keras.layers", "class_name": class, "config": config, "registered_name": nil, "name": name, "inbound_nodes": calls,
	})
	k.last = name
}

// kerasConfig is the config of the functional model that c is.
func kerasConfig(c model.Config) fields {
	n := c.Network()
	names := kerasPairs(n)
	h, w := c.InputSize()
	k := &kerasChain{}
	k.add("InputLayer", "input", fields{"batch_shape": []any{nil, h, w, 3}, "dtype": "float32"})
	conv := func(i int, v model.Conv) {
		config := fields{
			"kernel_size": []int{v.Kernel, v.Kernel}, "strides": []int{v.Stride, v.Stride}, "padding": "same", "use_bias": false, "activation": "linear",
		}
		if v.Kernel == 3 && c.Padding == model.PadTorch {
			k.add("ZeroPadding2D", names[i].conv+"_pad", fields{"padding": [][]int{{1, 1}, {1, 1}}})
			config["padding"] = "valid"
		}
		if v.Depthwise() {
			k.add("DepthwiseConv2D", names[i].conv, config)
		} else {
			config["filters"] = v.Out
			k.add("Conv2D", names[i].conv, config)
		}
		k.add("BatchNormalization", names[i].norm, fields{"axis": -1, "epsilon": c.BNEps, "momentum": 1 - c.BNMomentum})
		if v.ReLU6 {
			k.add("ReLU", names[i].conv+"_relu", fields{"max_value": 6.0})
		}
	}
	at := 0
	next := func(v model.Conv) { conv(at, v); at++ }
	next(n.First)
	for _, b := range n.Blocks {
		before := k.last
		for _, v := range b.Convs() {
			next(v)
		}
		if b.Residual() {
			k.add("Add", names[at-1].conv+"_add", fields{}, before)
		}
	}
	next(n.Last)
	k.add("GlobalAveragePooling2D", "pool", fields{"keepdims": false})
	for i, l := range n.Linears() {
		activation := "relu"
		if i == len(n.Hidden) {
			if activation = "softmax"; c.Head.Sigmoid {
				activation = "sigmoid"
			}
			if c.Dropout > 0 {
				k.add("Dropout", "dropout", fields{"rate": c.Dropout})
			}
		}
		k.add("Dense", kerasLinear(n, i), fields{"units": l.Out, "activation": activation, "use_bias": true})
	}
	return fields{
		"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional", "build_config": fields{"input_shape": nil},
		"config": fields{
			"name": "mobilenetv2", "trainable": true, "layers": k.layers,
			"input_layers": []any{"input", 0, 0}, "output_layers": []any{k.last, 0, 0},
		},
	}
}
