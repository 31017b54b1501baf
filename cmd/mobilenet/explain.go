package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/explain"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/png"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/vision"
)

// explainFlags are those of mobilenet explain.
type explainFlags struct {
	classifierFlags
	classes        []string
	method, layer  string
	out, format    string
	colors         string
	alpha          float64
	relu, contours bool
	asStored       bool
	list           fromFlags
}

func newExplain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [flags] PHOTO...",
		Short: "Show where in photos a class is seen",
		Long: `Show where in photos a class is seen: for each photo a picture of it and, beside it, of
where the network sees its most probable class, or the classes that --class names.

cam, the class activation map, is exact where one linear layer stands behind the
global average pool, as in every published MobileNetV2: the mean of the map and the
classifier's bias are the class's logit. gradcam (Grad-CAM) is for other layers and
heads, occlusion for every network: it covers a part of the photo after the other and
looks by how much the logit falls.

The whole photo is shown. What the network doesn't see of it, because the crop leaves it
out, is dimmed and has no colours. Values between those of the map are linear. All
classes of a photo have the same scale, so that they compare.

Pictures are written to the folder of -o, each named after its photo. A file that is there
already is left alone: another one of that name gets a number. --format npy has the map's
numbers, [classes][height][width], and json these with all that is known of them.

--from LIST takes photos from JSON lines or CSV, and gives every row back with what
--format json has of it, in parts in the folder of -o: see predict --help.`,
		Example: `  mobilenet explain dog.jpg
  mobilenet explain --class top2 --size 448 -o why/ photos/
  mobilenet explain --class 'golden retriever' --class kuvasz dog.jpg
  mobilenet explain --layer features.14 --relu dog.jpg
  mobilenet explain --contours -o print/ dog.jpg
  mobilenet explain --format npy --class 207 dog.jpg
  mobilenet explain --from list.jsonl --shard 0/16 -o maps/ --resume`,
		Args: args(f.list.photoArgs),
		RunE: f.list.either(f.check, f.run, f.runList),
	}
	f.registerModel(cmd)
	f.list.register(cmd)
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.classes, "class", "c", []string{"top1"}, "a class's name or index, or topK for the K most probable; several times for several classes")
	fs.StringVar(&f.method, "method", "", "cam, gradcam or occlusion; by default cam, and gradcam for another --layer than the last")
	fs.StringVar(&f.layer, "layer", "", "the module whose output is looked at, such as features.14; the default is the last, features.18")
	fs.StringVarP(&f.out, "output", "o", "explained", "write to `DIR`; without it --from writes to standard output")
	fs.StringVarP(&f.format, "format", "f", "png", "png, npy or json")
	fs.StringVar(&f.colors, "colormap", string(explain.Inferno), "inferno, turbo or jet")
	fs.Float64Var(&f.alpha, "alpha", 0.5, "how much of the colours covers the photo, up to 1")
	fs.BoolVar(&f.relu, "relu", false, "show only what speaks for a class, and not what speaks against it")
	fs.BoolVar(&f.contours, "contours", false, "lines over a light grey photo in place of colours, for print")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	fs.Lookup("resolution").Usage = "or --size: input of the network, in pixels, or HEIGHTxWIDTH; a larger one gives a finer map. The default is the model's"
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "size" {
			name = "resolution"
		}
		return pflag.NormalizedName(name)
	})
	complete(cmd, "method", string(mobilenet.CAM), string(mobilenet.GradCAM), string(mobilenet.Occlusion))
	complete(cmd, "format", "png", "npy", "json")
	complete(cmd, "colormap", "inferno", "turbo", "jet")
	return cmd
}

func (f *explainFlags) check(cmd *cobra.Command, args []string) error {
	stdin := slices.Index(args, "-")
	switch {
	case !(f.alpha > 0 && f.alpha <= 1): // NaN neither
		return usagef(cmd, "--alpha %v: want more than 0 and at most 1", f.alpha)
	case f.out == "":
		return usagef(cmd, "-o: want a folder")
	case stdin >= 0 && slices.Contains(args[stdin+1:], "-"):
		return usagef(cmd, "standard input can be read only once")
	case f.offline && slices.ContainsFunc(args, isURL):
		return usagef(cmd, "--offline: %s is not on this machine", args[slices.IndexFunc(args, isURL)])
	}
	if err := modelAsPhoto(cmd, args); err != nil {
		return err
	}
	if err := oneOf(cmd, "format", f.format, "png", "npy", "json"); err != nil {
		return err
	}
	if err := oneOf(cmd, "colormap", f.colors, "inferno", "turbo", "jet"); err != nil {
		return err
	}
	if cmd.Flags().Changed("output") {
		f.list.out = f.out
	}
	if err := f.list.check(cmd, args); err != nil {
		return err
	}
	if f.list.from != "" {
		if err := f.checkList(cmd); err != nil {
			return err
		}
	}
	if f.method != "" {
		if err := oneOf(cmd, "method", f.method, "cam", "gradcam", "occlusion"); err != nil {
			return err
		}
	}
	return f.classifierFlags.check(cmd)
}

func (f *explainFlags) run(cmd *cobra.Command, args []string) error {
	f.settle()
	stderr := cmd.ErrOrStderr()
	if err := os.MkdirAll(f.out, 0o777); err != nil { // now rather than after an hour
		return err
	}
	photos, skipped := findPhotos(args, f.out)
	workers := f.threads
	if len(photos) > 1 { // photos beside each other: no thread waits for another
		f.threads = 1
	}
	c, err := f.open(cmd.Context(), stderr)
	if err != nil {
		return err
	}
	options, err := f.options(cmd, c)
	if err != nil {
		return err
	}
	e := explaining{explainFlags: f, c: c, options: options, stdin: cmd.InOrStdin(), decoding: f.decoding()}
	e.decoding.IgnoreOrientation = f.asStored
	failed := false
	bar := photoBar{}
	if !isTerminal(cmd.OutOrStdout()) {
		bar = newPhotoBar(stderr, len(photos))
		defer bar.finish()
	}
	for r, err := range prefetch.Map(cmd.Context(), prefetch.Options{Workers: workers, Ahead: 2 * workers}, slices.Values(photos), e.explain) {
		if err == nil && r.err == nil {
			err = f.keep(cmd.OutOrStdout(), r)
		}
		bar.add()
		switch {
		case err != nil:
			return err
		case r.err != nil:
			failed = true
			bar.clear()
			fmt.Fprintf(stderr, "mobilenet: %s: %s\n", shown(r.name), printable(reason(r.err)))
		}
	}
	if tellSkipped(stderr, skipped) || failed {
		return errReported
	}
	return nil
}

// keep writes what became of a photo to a file, and says so.
func (f *explainFlags) keep(stdout io.Writer, r explained) error {
	path, err := place(f.out, fileName(r.name)+"."+f.format, r.data)
	if err != nil {
		return err
	}
	const most = 5 // on a line
	var classes []string
	for _, m := range r.maps[:min(most, len(r.maps))] {
		classes = append(classes, shown(m.Label)+" "+percent(float64(m.Probability)))
	}
	if n := len(r.maps) - most; n > 0 {
		classes = append(classes, fmt.Sprintf("and %d more", n))
	}
	_, err = fmt.Fprintf(stdout, "%s: %s\n  %s\n", shown(r.name), strings.Join(classes, ", "), shown(path))
	return err
}

// options are what the flags ask of c.
func (f *explainFlags) options(cmd *cobra.Command, c *mobilenet.Classifier) (o mobilenet.ExplainOptions, err error) {
	o = mobilenet.ExplainOptions{Method: mobilenet.Method(f.method), Layer: f.layer}
	layers := c.Layers()
	last := layers[len(layers)-1]
	if f.layer != "" && !slices.Contains(layers, f.layer) {
		u := usagef(cmd, "--layer %s: no module of that name has an output of its own; the last that has is %s", f.layer, last)
		if near := alike(f.layer, layers); len(near) > 0 {
			u.hint = "did you mean " + strings.Join(near, ", ") + "?"
		}
		return o, u
	}
	grad := o.Method == mobilenet.GradCAM || o.Method == "" && f.layer != "" && f.layer != last
	switch {
	case o.Method == mobilenet.Occlusion && f.layer != "":
		return o, usagef(cmd, "--method occlusion looks at no layer")
	case o.Method == mobilenet.CAM && f.layer != "" && f.layer != last:
		u := usagef(cmd, "--method cam is of the last layer, %s", last)
		u.hint = "--method gradcam is for " + f.layer
		return o, u
	case grad && c.Precision() == mobilenet.Int8:
		u := usagef(cmd, "gradcam needs gradients, and a network of 8-bit integers has none")
		u.hint = "--precision float runs it in float32"
		return o, u
	case !grad && o.Method != mobilenet.Occlusion && len(c.Config().Head.Hidden) > 0:
		u := usagef(cmd, "cam wants one linear layer behind the pool, and %s has %d", f.model, 1+len(c.Config().Head.Hidden))
		u.hint = "--method gradcam is for such a head"
		return o, u
	}
	o.Classes, o.Top, err = f.choose(cmd, c)
	if n := max(len(o.Classes), o.Top); err == nil && f.format == "png" && f.list.from == "" && n > maxPanels {
		u := usagef(cmd, "a picture of %d classes: want at most %d", n, maxPanels)
		u.hint = "--format npy and json have any number"
		return o, u
	}
	return o, err
}

// choose finds the classes that --class names.
func (f *explainFlags) choose(cmd *cobra.Command, c *mobilenet.Classifier) (classes []int, top int, err error) {
	for _, text := range f.classes {
		class, k, err := findClass(cmd, c, text)
		switch {
		case err != nil:
			return nil, 0, err
		case k > 0 && len(f.classes) > 1:
			return nil, 0, usagef(cmd, "--class %s beside another --class: which classes are the most probable differs from photo to photo; want names and indices, or one topK alone", text)
		case k > 0:
			return nil, k, nil
		case slices.Contains(classes, class):
			return nil, 0, usagef(cmd, "--class %s: class %d is there twice", text, class)
		}
		classes = append(classes, class)
	}
	return classes, 0, nil
}

// findClass finds the class that text stands for by name or index, or the k of topK.
func findClass(cmd *cobra.Command, c *mobilenet.Classifier, text string) (class, k int, err error) {
	labels := c.Labels()
	named := matching(labels, text)
	index, isIndex := asIndex(strings.TrimPrefix(text, "#"))
	switch {
	case strings.HasPrefix(text, "#") && isIndex && index < len(labels):
		return index, 0, nil
	case len(named) > 1:
		return 0, 0, usagef(cmd, "--class %s: %d classes have that name: say %s", text, len(named), hashes(named))
	case len(named) == 1 && isIndex && index != named[0] && index < len(labels):
		return 0, 0, usagef(cmd, "--class %s: that is the name of class %d: say %s", text, named[0], hashes([]int{named[0], index}))
	case len(named) == 1:
		return named[0], 0, nil
	case isIndex && index < len(labels):
		return index, 0, nil
	case isIndex:
		return 0, 0, usagef(cmd, "--class %s: want 0 to %d", text, len(labels)-1)
	}
	if k, ok := asIndex(strings.TrimPrefix(text, "top")); ok && strings.HasPrefix(text, "top") {
		if k < 1 {
			return 0, 0, usagef(cmd, "--class %s: want at least top1", text)
		}
		return 0, min(k, len(labels)), nil
	}
	u := usagef(cmd, "--class %s: no class has that name", text)
	if near := alike(text, labels); len(near) > 0 {
		u.hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return 0, 0, u
}

// maxPanels bounds the memory for a picture, and is more than anybody looks at.
const maxPanels = 20

// asIndex reads an index: digits, and no more of them than a number of classes has.
func asIndex(text string) (n int, ok bool) {
	if text == "" || len(text) > 7 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	_, err := fmt.Sscan(text, &n)
	return n, err == nil
}

// matching returns the classes with a name: as it is, or if none has it, in upper or
// lower case.
func matching(labels []string, name string) []int {
	var exact, folded []int
	for i, l := range labels {
		switch {
		case l == name:
			exact = append(exact, i)
		case strings.EqualFold(l, name):
			folded = append(folded, i)
		}
	}
	if exact != nil {
		return exact
	}
	return folded
}

func hashes(classes []int) string {
	var texts []string
	for _, c := range classes {
		texts = append(texts, fmt.Sprintf("'#%d'", c))
	}
	return strings.Join(texts, " or ")
}

// slips is how far text is from a name, or from one of its words if that is nearer: a slip
// in three letters.
func slips(text, name string) int {
	off := math.MaxInt
	if len(name) <= 2*len(text)+3 { // others are far off, and names may be long
		off = distance(text, name)
	}
	for _, word := range strings.Fields(name) {
		if len(word) <= 2*len(text) {
			if d := distance(text, word); d <= len(text)/3 {
				off = min(off, d)
			}
		}
	}
	return off
}

// maxAlike is how many names are suggested.
const maxAlike = 5

// alike returns the names that text may have been meant for: those that it is a part of,
// and those that differ, or a word of which does, by a slip or two.
func alike(text string, names []string) (near []string) {
	type candidate struct {
		name string
		off  int
	}
	var all []candidate
	low := strings.ToLower(text)
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		other := strings.ToLower(name)
		off := 0
		if len(low) < 3 || !strings.Contains(other, low) {
			if off = slips(low, other); off > min(3, len(low)/2) {
				continue
			}
		}
		all = append(all, candidate{shown(name), off})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.off, b.off) })
	for _, c := range all[:min(maxAlike, len(all))] {
		near = append(near, c.name)
	}
	return near
}

// An explaining is the photos of a command line on their way.
type explaining struct {
	*explainFlags
	c        *mobilenet.Classifier
	options  mobilenet.ExplainOptions
	stdin    io.Reader
	decoding vision.DecodeOptions
}

// An explained photo is a file to write, or why there is none.
type explained struct {
	name string
	maps []mobilenet.ClassMap // without values
	data []byte
	row  explanation // of a list, in place of data
	err  error
}

// explain makes the file of a photo. An error is the model's, and the same for all.
func (e *explaining) explain(ctx context.Context, in input) (explained, error) {
	r := explained{name: in.name, err: in.err}
	if r.err != nil {
		return r, nil
	}
	data, err := readPhoto(ctx, in.name, e.stdin)
	if err != nil {
		r.err = err
		return r, ctx.Err()
	}
	photo, err := vision.Decode(ctx, data, e.decoding)
	if err != nil {
		r.err = err
		return r, ctx.Err()
	}
	x, err := e.c.Explain(ctx, photo, e.options)
	switch {
	case errors.Is(err, mobilenet.ErrNotFinite), errors.Is(err, engine.ErrNotLinear), errors.Is(err, errors.ErrUnsupported):
		return r, fault.In(e.model, err)
	case err != nil:
		r.err = err
		return r, ctx.Err()
	}
	if e.relu {
		for _, m := range x.Maps {
			for i, v := range m.Values {
				m.Values[i] = max(v, 0)
			}
		}
	}
	switch {
	case e.list.from != "":
		r.row = e.explanation(photo, x)
		return r, nil
	case e.format == "npy":
		r.data = npy(x)
	case e.format == "json":
		r.data, err = e.json(in.name, photo, x)
	default:
		r.data, err = e.picture(in.name, photo, x)
	}
	for _, m := range x.Maps {
		m.Values = nil
		r.maps = append(r.maps, m)
	}
	return r, err
}

func (e *explaining) picture(name string, photo *vision.Image, x *mobilenet.Explanation) ([]byte, error) {
	m, err := explain.Picture(photo, e.c.Seen(photo.W, photo.H), x, explain.Options{
		Colors: explain.Colormap(e.colors), Alpha: e.alpha, ReLU: e.relu, Contours: e.contours, Name: fileName(name),
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = png.Encode(&out, m)
	return out.Bytes(), err
}

// npy is the maps in NumPy's format, float32 [classes][height][width].
func npy(x *mobilenet.Explanation) []byte {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", len(x.Maps), x.Height, x.Width)
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	out := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	out = append(out, header...)
	for _, m := range x.Maps {
		out, _ = binary.Append(out, binary.LittleEndian, m.Values) // of numbers there is no error
	}
	return out
}

// json is all that is known of a photo's maps, in a line.
func (e *explaining) json(name string, photo *vision.Image, x *mobilenet.Explanation) ([]byte, error) {
	object := struct {
		jsonFile
		explanation
	}{jsonFileOf(name), e.explanation(photo, x)}
	var b, out bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return nil, err
	}
	err := writeJSON(&out, b.Bytes())
	return out.Bytes(), err
}

// An explanation is what JSON has of a photo.
type explanation struct {
	Width   int                  `json:"width"` // of the photo
	Height  int                  `json:"height"`
	Seen    [4]float64           `json:"seen"`  // left, top, right, bottom in the photo's pixels
	Input   [2]int               `json:"input"` // height and width of what the network saw
	Method  string               `json:"method"`
	Layer   string               `json:"layer,omitempty"`
	Classes []explanationOfClass `json:"classes"`
}

type explanationOfClass struct {
	mobilenet.Prediction
	Logit float32     `json:"logit"`
	Bias  float32     `json:"bias"`
	Map   [][]float32 `json:"map"` // [height][width]
}

func (e *explaining) explanation(photo *vision.Image, x *mobilenet.Explanation) explanation {
	seen := e.c.Seen(photo.W, photo.H)
	h, w := e.c.Config().InputSize()
	object := explanation{photo.W, photo.H, [4]float64{seen.Left, seen.Top, seen.Right, seen.Bottom}, [2]int{h, w}, string(x.Method), x.Layer, nil}
	for _, m := range x.Maps {
		object.Classes = append(object.Classes, explanationOfClass{m.Prediction, m.Logit, m.Bias, slices.Collect(slices.Chunk(m.Values, x.Width))})
	}
	return object
}
