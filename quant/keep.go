package quant

import (
	"fmt"
	"strings"
)

// keep marks the layers of the modules that names has.
func (n *network) keep(names []string) error {
	for _, name := range names {
		found := false
		for _, l := range n.layers() {
			if l.Name == name || strings.HasPrefix(l.Name, name+".") {
				l.float, found = true, true
			}
		}
		if !found {
			return fmt.Errorf("no layer is called %q: near are %s", name, strings.Join(n.near(name), ", "))
		}
	}
	return nil
}

// layers lists those with weights, in the order they run.
func (n *network) layers() []*layer {
	var all []*layer
	for i := range n.convs {
		all = append(all, &n.convs[i])
	}
	return append(all, &n.linear)
}

// nearest is how many names an error has.
const nearest = 3

// near lists the layers whose names begin as name does for the longest.
func (n *network) near(name string) []string {
	var near []string
	most := -1
	for _, l := range n.layers() {
		same := 0
		for same < min(len(name), len(l.Name)) && name[same] == l.Name[same] {
			same++
		}
		if same > most {
			near, most = nil, same
		}
		if same == most && len(near) < nearest {
			near = append(near, l.Name)
		}
	}
	return near
}
