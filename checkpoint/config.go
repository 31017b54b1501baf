package checkpoint

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// widths are the published ones, tried in this order.
var widths = []float64{1, 0.75, 0.5, 0.35, 1.4, 1.3, 0.25, 0.1, 1.1, 1.2}

// depths are the depth multipliers of timm's variants: blocks per stage are
// multiplied and rounded up, the first and the last stage excepted.
var depths = []float64{1, 1.2, 1.4}

// channels are those of a network, read off its tensors.
type channels struct {
	first, last int
	blocks      [][3]int // in, hidden, out
	expands     []bool   // whether the blocks begin with a 1x1 convolution
}

// InferConfig returns the config of a network whose state dict, in torchvision's
// names, is dict. A published width is recognised by its channels, and the
// number of classes by the classifier. Any other network gets a table of exactly
// its channels at width 1.
//
// What shapes don't show is taken to be as in torchvision: resolution,
// preprocessing, padding, dropout and norms. Strides don't show, either: with
// the paper's number of blocks and expand ratios they are the paper's, otherwise
// 1, 2, 2, 2, 1, 2, 1 for the stages in turn, where a block begins a stage unless
// it has the same channels in and out and the expand ratio of the one before.
func InferConfig(dict model.StateDict) (model.Config, error) {
	shapes := make(map[string][]int, len(dict))
	for name, t := range dict {
		shapes[name] = t.Shape
	}
	ch, err := readChannels(shapes)
	if err != nil {
		return model.Config{}, err
	}
	classifier := shapes["classifier.1.weight"]
	if len(classifier) != 2 || classifier[0] == 0 {
		return model.Config{}, nearest(shapes)
	}
	c := ch.config()
	c.Classes = classifier[0]
	return c, nil
}

// expanding is c with [model.Stage.Expand] where all blocks of a stage have a 1x1
// convolution that a ratio of 1 does not explain.
func (ch channels) expanding(c model.Config) model.Config {
	at := 0
	for i := range c.Table {
		s := &c.Table[i]
		s.Expand = s.T == 1 && !slices.Contains(ch.expands[at:at+s.N], false)
		at += s.N
	}
	return c
}

// readChannels reads the channels of the features off their tensors' shapes.
func readChannels(shapes map[string][]int) (channels, error) {
	var ch channels
	dim := func(name string, axis int) int {
		if s := shapes[name]; axis < len(s) {
			return s[axis]
		}
		return 0
	}
	ch.first = dim("features.0.0.weight", 0)
	in := ch.first
	for i := 1; ; i++ {
		p := fmt.Sprintf("features.%d.conv.", i)
		hidden, project := dim(p+"0.0.weight", 0), p+"1.weight"
		expands := len(shapes[p+"2.weight"]) == 4
		if expands {
			project = p + "2.weight"
		}
		if hidden == 0 {
			ch.last = dim(fmt.Sprintf("features.%d.0.weight", i), 0)
			break
		}
		out := dim(project, 0)
		ch.blocks = append(ch.blocks, [3]int{in, hidden, out})
		ch.expands = append(ch.expands, expands)
		in = out
	}
	if ch.first == 0 || ch.last == 0 || len(ch.blocks) == 0 {
		return ch, nearest(shapes)
	}
	return ch, nil
}

// nearest says what is lacking of the published network that differs least.
func nearest(shapes map[string][]int) error {
	var least error
	fewest := math.MaxInt
	for _, w := range widths {
		c := model.Default()
		c.Width = w
		if s := shapes["classifier.1.weight"]; len(s) == 2 {
			c.Classes = min(max(1, s[0]), 1<<20)
		}
		err := c.Network().CheckShapes(shapes)
		if e, ok := err.(*model.MismatchError); ok && len(e.Missing)+len(e.Misshapen) < fewest {
			least, fewest = err, len(e.Missing)+len(e.Misshapen)
		}
	}
	return least
}

// channelsOf are the channels of a config.
func channelsOf(c model.Config) channels {
	n := c.Network()
	ch := channels{first: n.First.Out, last: n.Last.Out}
	for _, b := range n.Blocks {
		ch.blocks = append(ch.blocks, [3]int{b.In, b.Hidden, b.Out})
	}
	return ch
}

// config is that of a network with these channels. Its classes are not known yet.
func (ch channels) config() model.Config { return ch.expanding(ch.table()) }

// table is a config with the right table but for [model.Stage.Expand].
func (ch channels) table() model.Config {
	c := model.Default()
	for _, w := range widths {
		for _, d := range depths {
			c.Width, c.Table = w, deeper(d)
			got := channelsOf(c)
			if !slices.Equal(got.blocks, ch.blocks) && (got.first == ch.first || !slices.Equal(got.blocks[1:], ch.blocks[1:])) {
				continue
			}
			if got.first != ch.first {
				c.FirstChannels = ch.first
			}
			if got.last != ch.last {
				c.LastChannels = ch.last
			}
			if got = channelsOf(c); slices.Equal(got.blocks, ch.blocks) {
				return c
			}
			c.FirstChannels, c.LastChannels = 0, 0
		}
	}
	return ch.custom()
}

// deeper is the paper's table with a depth multiplier.
func deeper(d float64) []model.Stage {
	table := model.Table2()
	for i := 1; i < len(table)-1; i++ {
		n := float64(table[i].N) * d
		table[i].N = int(n)
		if float64(table[i].N) < n {
			table[i].N++
		}
	}
	return table
}

// custom is a config of exactly these channels.
func (ch channels) custom() model.Config {
	c := model.Default()
	c.RoundTo, c.FirstChannels, c.LastChannels = 1, ch.first, ch.last
	for _, d := range depths {
		if table, ok := ch.fit(deeper(d)); ok {
			c.Table = table
			return c
		}
	}
	c.Table = nil
	strides := []int{1, 2, 2, 2, 1, 2, 1}
	for i, b := range ch.blocks {
		t := float64(b[1]) / float64(b[0])
		if n := len(c.Table); i > 0 && b[0] == b[2] && c.Table[n-1].T == t {
			c.Table[n-1].N++
			continue
		}
		s := 1
		if n := len(c.Table); n < len(strides) {
			s = strides[n]
		}
		c.Table = append(c.Table, model.Stage{T: t, C: b[2], N: 1, S: s})
	}
	return c
}

// fit returns table with these channels, if its stages have as many blocks and
// the same expand ratios.
func (ch channels) fit(table []model.Stage) ([]model.Stage, bool) {
	at := 0
	for i, s := range table {
		for place := range s.N {
			if at == len(ch.blocks) {
				return nil, false
			}
			b := ch.blocks[at]
			if float64(b[1]) != s.T*float64(b[0]) || place > 0 && b[0] != b[2] {
				return nil, false
			}
			table[i].C = b[2]
			at++
		}
	}
	return table, at == len(ch.blocks)
}
