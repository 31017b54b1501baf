package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// contents are what a file holds.
type contents struct {
	leaves   []leaf
	modules  []*module         // of whole modules and of TorchScript
	metadata map[string]string // may be nil
	what     string            // what the file is where there are no tensors: "a dictionary"
	part     string            // see ParsePart
	names    []classNames      // beside the weights

	keras     *kerasModel      // what its config says, if there is one
	quantised *model.Quantized // all that there is, if not nil
}

// A candidate is what may be the state dict of a MobileNetV2: tensors whose names
// begin with root and go on as a naming has them. They can be a whole state dict, or
// a part of one: the backbone of a larger network, or what a wrapper has put its own
// name before.
type candidate struct {
	root   string          // ends with a dot, or is empty
	scope  string          // what of it leads to the state dict
	inside map[string]leaf // by the names that follow root
	beside []leaf          // the other tensors of the same state dict or module
	others []string        // roots of other networks, whose tensors are not beside

	modules []*module // of the same module as a whole
}

// maxRoots bounds the time that a file takes. A file of more networks is ambiguous.
const maxRoots = 16

// roots finds the first convolutions of all namings among leaves, and what is before
// their names.
func roots(leaves []leaf) ([]leaf, error) {
	var out []leaf
	seen := map[string]bool{}
	for _, l := range leaves {
		for _, s := range schemes {
			root, ok := strings.CutSuffix(l.name, s.has[0])
			if ok && (root == "" || strings.HasSuffix(root, ".")) && !seen[root] {
				seen[root] = true
				out = append(out, leaf{name: root, scope: l.scope})
			}
		}
	}
	if len(out) > maxRoots {
		return nil, fault.Unsupportedf("%d networks, %s and %s among them: save the one that you want alone", len(out), where(out[0].name), where(out[1].name))
	}
	return out, nil
}

// candidateAt is the candidate at one of some roots.
func (f *contents) candidateAt(at leaf, leaves, roots []leaf) candidate {
	root, scope := at.name, at.scope
	c := candidate{root: root, scope: scope, inside: map[string]leaf{}}
	for _, other := range roots {
		if other.name != root && !strings.HasPrefix(root, other.name) {
			c.others = append(c.others, other.name)
		}
	}
	// A state dict of dictionaries within each other has its scopes below root.
	below := strings.HasPrefix(scope, root) && scope != root
	for _, l := range leaves {
		name, ok := strings.CutPrefix(l.name, root)
		switch {
		case slices.ContainsFunc(c.others, func(other string) bool { return strings.HasPrefix(l.name, other) }):
		case ok && (l.scope == scope || below && strings.HasPrefix(l.scope, root)):
			c.inside[name] = l
		case l.scope == scope:
			c.beside = append(c.beside, l)
		}
	}
	for _, m := range f.modules {
		if m.scope == scope && !slices.ContainsFunc(c.others, func(other string) bool { return strings.HasPrefix(m.name+".", other) }) {
			c.modules = append(c.modules, m)
		}
	}
	return c
}

// A network is what a candidate turned out to be: everything but the values.
type network struct {
	root    string
	config  model.Config
	own     bool            // the config is the file's
	head    []int           // outputs of the linear layers behind the features
	tensors map[string]leaf // by torchvision's names
	notes   []string        // see model.Model
	whole   bool            // modules have been heeded
	grey    bool            // see addColours
}

// network recognises the MobileNetV2 in c, by names and shapes.
func (c candidate) network(metadata map[string]string) (network, error) {
	n := network{root: c.root, tensors: map[string]leaf{}}
	shapes := shapesOf(c.inside)
	s, ok := schemeIn(func(name string) bool { _, ok := shapes[name]; return ok })
	if !ok { // only the first name of a naming is there
		return n, nearest(shapes)
	}
	if c.root != c.scope && c.root != c.scope+s.root { // more than the key of a dictionary
		n.note("the network is %s", fault.Shown(strings.TrimSuffix(c.root, ".")))
	}
	modules := s.toTorchvision(shapes)
	delete(modules, s.classifier)
	var loose []part
	for name, l := range c.inside {
		module, kind := cutLast(name)
		if theirs, ok := s.kinds[kind]; ok {
			kind = theirs
		}
		if s.naming == paddleNaming && len(l.shape) == 2 {
			l = transposed(l)
		}
		if ours, ok := modules[module]; ok {
			if l.err != nil {
				return n, about(name, l.err)
			}
			n.tensors[ours+kind] = l
		} else {
			loose = append(loose, part{name, true, l})
		}
	}
	for _, l := range c.beside {
		loose = append(loose, part{strings.TrimPrefix(l.name, l.scope), false, l})
	}
	slices.SortFunc(loose, func(a, b part) int { return strings.Compare(a.name, b.name) })
	channels, err := readChannels(shapesOf(n.tensors))
	if err != nil {
		return n, n.incomplete(loose, s.classifier)
	}
	if err := n.addColours(); err != nil {
		return n, err
	}
	notes := n.notes
	if err := n.addHead(loose, s.classifier, channels.last); err != nil {
		return n, err
	}
	if n.config, n.own, err = model.MetadataConfig(metadata); err != nil {
		return n, err
	}
	if n.own { // it says what the head is
		n.notes = notes
	} else {
		n.config = n.inferConfig(channels, s.naming)
		n.whole = len(c.modules) > 0
		if err := n.heed(c.modules); err != nil {
			return n, err
		}
		if err := n.config.Validate(); err != nil {
			return n, fault.Unsupportedf("%v", err)
		}
		n.noteStrides()
	}
	return n, n.config.Network().CheckShapes(shapesOf(n.tensors))
}

// oneLogit is the note on a classifier of one output.
const oneLogit = "it has one output, which is taken for a logit: its sigmoid is the probability of the second of two classes"

// inferConfig is what the shapes and the names of the file say of the config.
func (n *network) inferConfig(ch channels, naming Naming) model.Config {
	c := ch.config()
	c.Classes = 0
	if last := len(n.head) - 1; last >= 0 {
		c.Head.Hidden, c.Classes = n.head[:last:last], n.head[last]
	}
	if len(c.Head.Hidden) == 0 {
		c.Head.Hidden = nil
	}
	if c.Classes == 1 {
		c.Head.Sigmoid = true
		n.note(oneLogit)
	}
	switch naming {
	case TIMM: // timm's default_cfg of mobilenetv2_*: crop_pct 0.875, bicubic
		c.Preprocess.Interpolation = model.Bicubic
	case HuggingFace: // MobileNetV2Config and MobileNetV2ImageProcessor
		c.Padding, c.BNEps, c.Dropout = model.PadSame, 1e-3, 0.8
		c.Preprocess = model.TFPreprocess(256)
		c.NoStemResidual = c.Network().Blocks[0].Residual()
	case kerasNaming: // keras.applications
		c.Padding, c.BNEps, c.Dropout = model.PadSame, 1e-3, 0
		c.Preprocess = model.TFPreprocess(256)
	}
	if p := &c.Preprocess; n.grey { // which has one mean
		mean, std := (p.Mean[0]+p.Mean[1]+p.Mean[2])/3, (p.Std[0]+p.Std[1]+p.Std[2])/3
		p.Mean, p.Std = [3]float32{mean, mean, mean}, [3]float32{std, std, std}
	}
	return c
}

// noteStrides says which strides are assumed for a table that isn't the paper's.
func (n *network) noteStrides() {
	table := n.config.Table
	said := func(b model.InvertedResidual) bool { // by the module
		m := n.moduleOf(b.Depthwise.Name)
		return m != nil && m.says["stride"] != nil
	}
	if !slices.ContainsFunc(n.config.Network().Blocks, func(b model.InvertedResidual) bool { return !said(b) }) {
		return
	}
	for _, d := range depths {
		if slices.EqualFunc(table, deeper(d), func(a, b model.Stage) bool { return a.T == b.T && a.N == b.N }) {
			return
		}
	}
	var strides []string
	for _, s := range table {
		strides = append(strides, strconv.Itoa(s.S))
	}
	n.note("its table is not the paper's; strides assumed: %s (a whole module or ONNX says them)", strings.Join(strides, " "))
}

// incomplete is the error about features that lack some tensors.
func (n *network) incomplete(loose []part, classifier string) error {
	shapes := shapesOf(n.tensors)
	for _, p := range loose {
		if module, kind := cutLast(p.name); p.inside && module == classifier {
			shapes["classifier.1"+kind] = p.leaf.shape
		} else if p.inside {
			shapes[p.name] = p.leaf.shape
		}
	}
	return nearest(shapes)
}

func (n *network) note(format string, args ...any) {
	n.notes = append(n.notes, fmt.Sprintf(format, args...))
}

// cutLast cuts a name before its last part: "features.0.0", ".weight".
func cutLast(name string) (module, kind string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", "." + name
	}
	return name[:dot], name[dot:]
}

func shapesOf(leaves map[string]leaf) map[string][]int {
	shapes := make(map[string][]int, len(leaves))
	for name, l := range leaves {
		shapes[name] = l.shape
	}
	return shapes
}

// model returns the model in a file of size bytes.
func (f *contents) model(size int) (*model.Model, error) {
	if f.quantised != nil {
		return f.quantised.Dequantize(), nil
	}
	n, err := f.network()
	if err != nil && f.keras != nil { // the config knows it better than the names of arrays
		if e := f.keras.headFault(); e != nil {
			return nil, e
		}
	}
	if err != nil {
		return nil, err
	}
	total := 0
	for _, l := range n.tensors {
		total += elements(l.shape)
	}
	// A value takes a byte at least, unless tensors overlap or are compressed.
	if total > inflation*size || 4*total > size+maxInflated {
		return nil, fault.TooLargef("%d values in a file of %d bytes", total, size)
	}
	dict := model.StateDict{}
	for _, name := range slices.Sorted(maps.Keys(n.tensors)) {
		if dict[name], err = n.tensors[name].read(); err != nil {
			return nil, about(n.tensors[name].name, err)
		}
	}
	m, err := model.FromDict(n.config, dict)
	if err != nil {
		return nil, err
	}
	m.Notes = n.notes
	for _, l := range n.tensors { // such as torch's quantize_dynamic makes
		m.Dequantized = m.Dequantized || l.integers != nil
	}
	if !n.own {
		m.Assumed = model.AllAssumed
		m.Assumed.Head = f.keras == nil && n.config.Classes > 1 && n.moduleOf("features.0.0") == nil
	}
	if f.keras != nil && !n.own {
		m.Notes = nil // the config says what the head is
		if n.grey {
			m.Notes = []string{greyNote}
		}
		if err := f.keras.finish(m); err != nil {
			return nil, about("config", err)
		}
	}
	if m.Labels, err = model.MetadataLabels(f.metadata, m.Config.Outcomes()); err != nil {
		return nil, err
	}
	f.takeNames(m)
	return m, nil
}

// about gives an error the place that it lacks.
func about(place string, err error) error {
	if e, ok := err.(*fault.Error); ok && e.Place == "" && place != "" {
		placed := *e
		placed.Place = fault.Shown(place)
		return &placed
	}
	return err
}

// network returns the one MobileNetV2 in the file.
func (f *contents) network() (network, error) {
	f.leaves = slices.DeleteFunc(f.leaves, leaf.counts)
	leaves, pruned := restorePruned(f.leaves)
	found, err := roots(leaves)
	if err != nil {
		return network{}, err
	}
	if len(found) == 0 {
		if leaves = restoreFeatures(leaves); leaves == nil {
			return network{}, f.other()
		}
		if found, err = roots(leaves); err != nil {
			return network{}, err
		}
	}
	var fit, refused []network
	var misfits, left []string
	var nearest error
	for _, root := range found {
		if !f.wants(root.name) {
			left = append(left, where(root.name))
			continue
		}
		n, err := f.candidateAt(root, leaves, found).network(f.metadata)
		switch {
		case err == nil && !slices.ContainsFunc(fit, n.equals):
			fit = append(fit, n)
		case err == nil && n.whole: // which says more than a state dict
			fit[slices.IndexFunc(fit, n.equals)] = n
		case err != nil:
			if n.whole {
				refused = append(refused, n)
			}
			misfits = append(misfits, where(root.name))
			if nearest == nil || differences(err) < differences(nearest) {
				nearest = mismatch(root.name, err)
			}
		}
	}
	for _, n := range fit {
		if slices.ContainsFunc(refused, n.equals) { // the state dict of such a module
			return network{}, nearest
		}
	}
	switch {
	case len(left) == len(found):
		return network{}, fault.Unsupportedf("no network %s in it; there is %s", fault.Shown(f.part), some(left))
	case len(fit) == 0:
		return network{}, nearest
	}
	n := fit[0]
	if len(fit) > 1 {
		average, ok := averaged(fit)
		if !ok {
			return network{}, fault.Unsupportedf("two networks fit, %s and %s: say which behind the name of the file, as FILE#%s", where(fit[0].root), where(fit[1].root), where(fit[0].root))
		}
		n = fit[average]
		other := where(fit[1-average].root)
		n.note("of two networks it is %s, the moving average; FILE#%s is the other one", where(n.root), other)
	}
	misfits = append(misfits, left...)
	if misfits != nil {
		n.note("left out: another network, %s", some(misfits))
	}
	if pruned > 0 {
		n.note("%d tensors are pruned: they are their original times a mask", pruned)
	}
	return n, nil
}

// wants reports whether the network at root is, or is in, the part that is asked for.
func (f *contents) wants(root string) bool {
	return f.part == "" || strings.HasPrefix(root, strings.TrimSuffix(f.part, ".")+".")
}

// averaged finds the network that is the moving average of the weights of the other: of
// two of the same shapes the one that is called so, "state_dict_ema" or "ema.module". Who
// keeps one in a training takes it for the result, and timm loads it by itself.
func averaged(fit []network) (int, bool) {
	isAverage := func(n network) bool {
		return slices.Contains(strings.FieldsFunc(strings.ToLower(n.root), func(r rune) bool { return r == '.' || r == '_' }), "ema")
	}
	if len(fit) != 2 || isAverage(fit[0]) == isAverage(fit[1]) || fit[0].config.Network().CheckShapes(shapesOf(fit[1].tensors)) != nil {
		return 0, false
	}
	if isAverage(fit[0]) {
		return 0, true
	}
	return 1, true
}

// equals reports whether two networks have the same tensors in memory, as those of a
// module and of its state dict in one file.
func (n network) equals(o network) bool {
	return maps.EqualFunc(n.tensors, o.tensors, func(a, b leaf) bool { return a.same == b.same && a.same != "" })
}

// differences is the number of tensors that an error is about.
func differences(err error) int {
	if e, ok := errors.AsType[*model.MismatchError](err); ok {
		return len(e.Missing) + len(e.Unexpected) + len(e.Misshapen)
	}
	return 1
}

// mismatch is an error about the network at root.
func mismatch(root string, err error) error {
	if e, ok := err.(*model.MismatchError); ok {
		err = &fault.Error{Kind: fault.Unsupported, Reason: e.Error(), Err: e}
	}
	return about(strings.TrimSuffix(root, "."), err)
}

func where(root string) string {
	if root == "" {
		return "that at the top"
	}
	return fault.Shown(strings.TrimSuffix(root, "."))
}

// other is the error about a file without the names of any naming.
func (f *contents) other() error {
	if len(f.leaves) == 0 && strings.HasPrefix(f.what, "an object of class __torch__") {
		return fault.Unsupportedf("TorchScript without parameters, as torch.jit.freeze makes it, whose weights are constants of its code: save the module that was frozen, or export it as ONNX")
	}
	if len(f.leaves) == 0 {
		return fault.Unsupportedf("no state dict: %s without tensors", f.what)
	}
	shapes := map[string][]int{}
	for _, l := range f.leaves {
		if l.scope == f.leaves[0].scope {
			shapes[strings.TrimPrefix(l.name, l.scope)] = l.shape
		}
	}
	return mismatch("", nearest(shapes))
}

// elements is the number of elements of a shape from a file: at most maxElements.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
