package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
)

// compose brings a name into the one form that names are compared in: macOS writes
// é as two characters, others as one.
func compose(name string) string { return norm.NFC.String(name) }

// An index finds classes by their names. Upper and lower case are alike, and spaces
// and underscores, which Keras writes, unless that leaves a choice.
type index struct{ exact, folded map[string]int }

// What index.find returns for names that it can't place.
const (
	unknown   = -1
	ambiguous = -2 // the name of several classes
)

func newIndex(classes []string) index {
	x := index{make(map[string]int, len(classes)), make(map[string]int, len(classes))}
	put := func(m map[string]int, name string, i int) {
		if _, twice := m[name]; twice {
			i = ambiguous
		}
		m[name] = i
	}
	for i, c := range classes {
		c = compose(c)
		put(x.exact, c, i)
		put(x.folded, fold(c), i)
	}
	return x
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", " ") }

// alike returns pairs of classes whose names people take for the same.
func alike(classes []string) (pairs []string) {
	first := make(map[string]string, len(classes))
	for _, c := range classes {
		key := strings.TrimSpace(fold(c))
		if other, there := first[key]; there {
			pairs = append(pairs, fmt.Sprintf("%q and %q", other, c))
		} else {
			first[key] = c
		}
	}
	return pairs
}

// find returns the index of the class called name, unknown or ambiguous.
func (x index) find(name string) int {
	name = compose(name)
	if i, ok := x.exact[name]; ok {
		return i
	}
	if i, ok := x.folded[fold(name)]; ok {
		return i
	}
	return unknown
}

// names are the ways to name a model's classes.
type names struct {
	classes int      // how many
	labels  []string // nil where nobody knows them
	byName  index    // of labels
	synsets []string // WordNet ids in the order of the classes; nil for ImageNet's
}

// readNames returns the names of the classes that o says, with the WordNet ids in a
// file beside the images if there is one.
func readNames(path string, o EvalOptions) (names, error) {
	n := names{classes: o.Classes, labels: o.Labels}
	if n.labels != nil {
		n.classes = len(n.labels)
	}
	if placeholders(n.labels) {
		n.labels = nil
	}
	n.byName = newIndex(n.labels)
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
			for line := range strings.Lines(string(data)) {
				if f := strings.Fields(line); len(f) > 0 {
					n.synsets = append(n.synsets, f[0])
				}
			}
			if len(n.synsets) != n.classes && len(n.synsets)+1 != n.classes {
				return names{}, fault.In(file, fault.Unsupportedf("%d WordNet ids for a model of %d classes", len(n.synsets), n.classes))
			}
			return n, nil
		}
	}
	return n, nil
}

// placeholders reports whether labels are those that Hugging Face's transformers
// writes where it knows none: LABEL_0, LABEL_1, ...
func placeholders(labels []string) bool {
	for i, l := range labels {
		if l != "LABEL_"+strconv.Itoa(i) {
			return false
		}
	}
	return len(labels) > 0
}

// shown are the names of the classes, or their indices.
func (n names) shown() []string {
	if n.labels != nil {
		return n.labels
	}
	shown := make([]string, n.classes)
	for i := range shown {
		shown[i] = strconv.Itoa(i)
	}
	return shown
}

// assign says which class of the model each class of the data at path is. All are read in
// one way: as names, or as WordNet ids, or as indices, or, where the model has no
// names, in the order in which training numbered them. note says what had to be
// assumed.
func (n names) assign(path string, s *Set) (to []int, note string, err error) {
	readings := []func(string) int{n.byName.find, n.wordNet}
	if n.labels == nil {
		if to, note := n.ordered(s); to != nil {
			return to, note, nil
		}
	}
	if !slices.ContainsFunc(n.labels, isNumber) { // else a number is a name
		readings = append(readings, n.number)
	}
	furthest := 0
	for _, read := range readings {
		to, bad := each(s.Classes, read)
		if bad < 0 {
			return to, n.asIndices(s, to), nil
		}
		furthest = max(furthest, bad) // the reading that gets furthest says best what is wrong
	}
	wrong := n.none(s.Classes[furthest])
	for _, read := range readings {
		if read(s.Classes[furthest]) >= 0 {
			wrong = fault.Unsupportedf("class %q is the model's, but %q is not of the same kind; want all names, or all WordNet ids, or all indices", s.Classes[furthest], s.Classes[0])
		}
	}
	return nil, "", s.at(path, furthest, wrong)
}

// asIndices says that folders called 0, 1, 10 are taken for indices, where this is
// not what ImageFolder would say; and what numbers mean where the first class is
// TensorFlow's background, which other programs don't count.
func (n names) asIndices(s *Set, to []int) string {
	if n.labels != nil && strings.EqualFold(n.labels[0], "background") && n.number(s.Classes[0]) == to[0] {
		return fmt.Sprintf("numbers are taken for indices of the model's %d classes, of which 0 is \"background\" (%d is %q); where they count without that class, they are one too low",
			n.classes, to[0], n.labels[to[0]])
	}
	if s.form != inFolders || slices.IsSorted(to) || n.byName.find(s.Classes[0]) >= 0 || n.number(s.Classes[0]) < 0 {
		return ""
	}
	return fmt.Sprintf("the folders' names are taken for indices of the model's classes (%s is %q), not for places in the order in which torchvision's ImageFolder numbers folders (%s)",
		s.Classes[0], n.shown()[to[0]], some(s.Classes))
}

// each reads all names in one way. bad is the first that can't be, or -1.
func each(found []string, read func(string) int) (to []int, bad int) {
	to = make([]int, len(found))
	for i, name := range found {
		if to[i] = read(name); to[i] < 0 {
			return nil, i
		}
	}
	return to, -1
}

// ordered reads names for a model that has none. IDX files number the classes
// themselves. Folders are taken as ImageFolder numbers them, in the order of their
// names, 0 1 10 11 2, and if all are numbers, some may be missing. Numbers in tables
// are indices; other names in tables are in order too. It returns nil where none of
// this can be.
func (n names) ordered(s *Set) (to []int, note string) {
	isIndex := func(name string) bool { i := n.number(name); return i >= 0 && strconv.Itoa(i) == name }
	indices := !slices.ContainsFunc(s.Classes, func(name string) bool { return !isIndex(name) })
	order := slices.Sorted(slices.Values(s.Classes))
	switch {
	case s.form == inIDX && len(s.Classes) == n.classes:
		order = s.Classes
	case s.form != inFolders && indices:
		return nil, ""
	case len(s.Classes) == n.classes:
	case indices:
		order = slices.Sorted(slices.Values(n.shown()))
	default:
		return nil, ""
	}
	differs := false
	for _, name := range s.Classes {
		i := slices.Index(order, name)
		to = append(to, i)
		differs = differs || n.number(name) != i
	}
	if !differs || s.form == inIDX {
		return to, ""
	}
	what := "the classes are taken in the order of their names"
	if indices {
		what = "the folders are not taken for indices but"
	}
	return to, fmt.Sprintf("the model has no names for its classes: %s as torchvision's ImageFolder numbers them (%s); a list of labels for the model settles it", what, some(order))
}

// number reads the index of a class.
func (n names) number(name string) int {
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < n.classes {
		return i
	}
	return unknown
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// none is the error about a name that is no class's.
func (n names) none(name string) *fault.Error {
	if n.byName.find(name) == ambiguous {
		return fault.Unsupportedf("class %q: several classes of the model are called so; WordNet ids or indices tell them apart", name)
	}
	if n.labels == nil {
		return fault.Unsupportedf("class %q is none of the %d classes, which have no names, only indices: a list of labels for the model gives them names", name, n.classes)
	}
	return fault.Unsupportedf("class %q is none of the %d classes (%s)", name, len(n.labels), some(n.labels))
}

// some lists the first few names.
func some(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
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
	case i < 0:
		return unknown
	case n.classes == len(ids):
		return i
	case n.classes == len(ids)+1:
		return i + 1
	case n.synsets == nil: // trained on some of ImageNet's classes
		return n.byName.find(imageNet()[i])
	}
	return unknown
}
