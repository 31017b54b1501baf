package explain

import (
	_ "embed"
	"fmt"
	"strings"
)

// A Colormap gives values colours.
type Colormap string

// The tables are matplotlib's.
const (
	Inferno Colormap = "inferno" // from black to yellow; its grey rises with the value
	Turbo   Colormap = "turbo"
	Jet     Colormap = "jet" // what most papers have; its bands are not in the data
)

// Colormaps lists them.
func Colormaps() []Colormap { return []Colormap{Inferno, Turbo, Jet} }

// colormaps is [3][256] levels of red, green and blue (testdata/colormaps.py).
//
//go:embed colormaps.bin
var colormaps string

// table returns the colours of a map, [256][3]. It is an error if there is none.
func (m Colormap) table() (string, error) {
	const bytes = 256 * 3
	var names []string
	for i, other := range Colormaps() {
		if m == other {
			return colormaps[i*bytes:][:bytes], nil
		}
		names = append(names, string(other))
	}
	return "", fmt.Errorf("colours %q: want %s", m, strings.Join(names, ", "))
}
