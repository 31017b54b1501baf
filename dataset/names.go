package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// names are the ways to name a model's classes.
type names struct {
	labels  []string
	synsets []string // WordNet ids in the order of labels; nil for ImageNet's
}

// readNames returns the names of labels, with the WordNet ids in a file beside the
// images if there is one.
func readNames(path string, labels []string) (names, error) {
	for _, dir := range []string{path, filepath.Dir(filepath.Clean(path))} {
		for _, name := range []string{"synsets.txt", "LOC_synset_mapping.txt"} {
			file := filepath.Join(dir, name)
			if !exists(file) {
				continue
			}
			data, err := boundedfile.Read(file, maxLabelBytes)
			if err != nil {
				return names{}, err
			}
			n := names{labels: labels}
			for line := range strings.Lines(string(data)) {
				if f := strings.Fields(line); len(f) > 0 {
					n.synsets = append(n.synsets, f[0])
				}
			}
			if len(n.synsets) != len(labels) && len(n.synsets)+1 != len(labels) {
				return names{}, fmt.Errorf("%s: %d WordNet ids for a model of %d classes", file, len(n.synsets), len(labels))
			}
			return n, nil
		}
	}
	return names{labels: labels}, nil
}

// find returns the index of the class that is called name.
func (n names) find(name string) (int, error) {
	if i := index(n.labels, name); i >= 0 {
		return i, nil
	}
	if i := n.wordNet(name); i >= 0 {
		return i, nil
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.labels) {
		return i, nil
	}
	some, more := n.labels, ""
	if len(some) > 5 {
		some, more = some[:5], ", ..."
	}
	return 0, fmt.Errorf("class %q is none of the %d classes (%s%s)", name, len(n.labels), strings.Join(some, ", "), more)
}

// wordNet returns the class with a WordNet id, or -1. A model with one class more
// than there are ids has the background first.
func (n names) wordNet(id string) int {
	ids := n.synsets
	if ids == nil {
		ids = synsets()
	}
	i := slices.Index(ids, id)
	switch {
	case i < 0 || len(n.labels) == len(ids):
		return i
	case len(n.labels) == len(ids)+1:
		return i + 1
	case n.synsets == nil: // trained on some of ImageNet's classes
		return index(n.labels, imageNet()[i])
	}
	return -1
}
