package train

import (
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// A parameter is an entry of the state dict that is learned: its value, shared
// with the model, and the gradient of the loss with respect to it after a
// backward pass. Both have the state dict's layout.
type parameter struct {
	Name  string
	Value []float32
	Grad  []float32
	Decay bool    // weight decay applies: not to normalisation and bias
	Rate  float64 // of the learning rate that it learns at
}

// parameters returns what is learned of m, in the order of the state dict, by
// name.
func parameters(m *model.Model) ([]*parameter, map[string]*parameter) {
	var list []*parameter
	byName := map[string]*parameter{}
	for _, s := range m.Config.Network().Specs() {
		if !s.Trained() {
			continue
		}
		value := m.Dict[s.Name].Data
		p := &parameter{
			Name: s.Name, Value: value, Grad: make([]float32, len(value)),
			Decay: len(s.Shape) > 1 && strings.HasSuffix(s.Name, ".weight"), Rate: 1,
		}
		list = append(list, p)
		byName[s.Name] = p
	}
	return list, byName
}
