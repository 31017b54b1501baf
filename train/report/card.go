package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
)

// A Card is what a reader of a model's page wants to know: what it was made of, how
// good it is, and what not to expect of it.
type Card struct {
	Classes        []string
	Train, Val     []int  // images of each class that could be read; Val is nil without validation
	Input          string // such as "224x224"
	Weights        int    // numbers that were learned or came with the model
	Epochs         []Epoch
	Frozen         bool        // only the classifier was trained
	Best           int         // epoch of the weights; 0 is the classifier alone
	Evaluation     *Evaluation // on the validation images; nil without
	Test           *Evaluation // on images that no choice was made with; nil without
	ValShared      int         // validation images that were trained with, too
	TestShared     int         // test images that were trained or validated with, too
	Unreadable     int         // images to train or validate with that were left out
	UnreadableTest int         // test images that were left out
	Balanced       bool        // rare classes counted for as much as others

	// Images that were known before: the weights that the training began with had been
	// trained with them, or the teacher.
	ValBefore, TestBefore int
	ValTaught, TestTaught int
	Contradictions        int // images that come again under another label

	Settings string // how it was trained, as text of lines
	File     string // of the weights

	// Of the 8-bit network made of the weights; zero without.
	Int8File       string
	Int8, Int8Test *Evaluation // as Evaluation and Test

	// Of a training in 8 bits, which File and all figures are of. Zero without.
	Calibration int  // images that the network it began with was calibrated with
	Calibrated  bool // that network was better than any epoch, and is what was kept
}

// cardClasses are listed one and all. Of more, the worst are.
const cardClasses = 50

// WriteCard writes a card as README.md to a folder, beside the pictures that a
// training leaves there. A README.md that is no card stays as it is.
func WriteCard(dir string, c Card) error {
	if old, err := os.ReadFile(filepath.Join(dir, CardFile)); err == nil && !bytes.HasPrefix(old, []byte(cardHead)) {
		return nil
	}
	return atomicfile.Write(filepath.Join(dir, CardFile), func(w io.Writer) error {
		_, err := w.Write(c.markdown())
		return err
	})
}

// CardFile is what WriteCard writes.
const CardFile = "README.md"

// cardHead is what sites that publish models look for.
const cardHead = "---\npipeline_tag: image-classification\ntags: [mobilenet_v2]\n---\n"

func (c Card) markdown() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(cardHead)
	p("# MobileNetV2 for %d classes\n", len(c.Classes))
	p("A MobileNetV2 (arXiv 1801.04381) that tells %s apart: %s weights, photos of %s pixels. %s\n",
		c.what(), millions(c.Weights), c.Input, c.epoch())
	p("```\nmobilenet predict --model %s PHOTO\n```\n", c.File)
	if c.Int8File != "" {
		p("`%s` is the same network in 8-bit integers: a quarter of the size, and faster.\n", c.Int8File)
	}
	p("## How good it is\n")
	c.figures(p)
	p("## What it was trained with\n")
	c.data(p)
	p("## What it can't do\n")
	c.limits(p)
	p("## How it was trained\n")
	p("```yaml\n%s\n```", c.settings())
	if len(c.Epochs) > 0 {
		p("\n![loss and accuracy by epoch](results.png)")
	}
	return b.Bytes()
}

// epoch says which weights were kept.
func (c Card) epoch() string {
	if len(c.Epochs) == 0 {
		return ""
	}
	last := c.Epochs[len(c.Epochs)-1].Epoch
	switch {
	case c.Calibrated:
		return fmt.Sprintf("Its weights are 8-bit integers, calibrated with %s and not trained further: no epoch in 8 bits, of %d, was better in validation.", images(c.Calibration), last)
	case c.Calibration > 0:
		return fmt.Sprintf("Its weights are 8-bit integers, calibrated with %s and then trained in 8 bits: those of epoch %d of %d.", images(c.Calibration), c.Best, last)
	case c.Best > 0 && c.Frozen:
		return fmt.Sprintf("Only the classifier was trained: all other weights came with the model. It is that of epoch %d of %d.", c.Best, last)
	case c.Best > 0:
		return fmt.Sprintf("The weights are those of epoch %d of %d.", c.Best, last)
	case last == 0:
		return "The classifier alone was trained."
	}
	return fmt.Sprintf("The classifier alone was trained: no epoch with all layers, of %d, was better in validation.", last)
}

// settings are as they are, but for where files lie on a machine that is nobody's
// business.
func (c Card) settings() string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(c.Settings, "```", "'''")), "\n")
	for i, line := range lines {
		if name, path, ok := strings.Cut(line, ": "); ok && filepath.IsAbs(path) {
			lines[i] = name + ": " + filepath.Base(path)
		}
	}
	return strings.Join(lines, "\n")
}

// what names few classes, and counts many.
func (c Card) what() string {
	const most = 10
	if len(c.Classes) > most {
		return fmt.Sprintf("%d kinds of pictures", len(c.Classes))
	}
	var names []string
	for _, name := range c.Classes {
		names = append(names, cell(name))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func (c Card) figures(p func(string, ...any)) {
	if c.Evaluation == nil && c.Test == nil {
		p("Nobody knows: there were no images to validate with.\n")
		return
	}
	top5, rule := "", "" // of five classes and fewer it says nothing
	if len(c.Classes) > 5 {
		top5, rule = " top-5 |", "---|"
	}
	p("| measured on | images | top-1 | 95 %% interval |%s loss | calibration error |\n|---|---|---|---|%s---|---|", top5, rule)
	line := func(name string, e *Evaluation) {
		if e == nil {
			return
		}
		low, high := interval(e.Top1Accuracy, e.Images)
		if top5 != "" {
			top5 = " " + percent(e.Top5Accuracy) + " |"
		}
		p("| %s | %d | %s | %s to %s |%s %.4f | %s |", name, e.Images, percent(e.Top1Accuracy), percent(low), percent(high), top5, e.Loss, percent(e.ECE))
	}
	by := "the epoch"
	if c.Calibrated {
		by = "it"
	}
	line("validation, which "+by+" was chosen by", c.Evaluation)
	line("the same in 8 bits", c.Int8)
	test := "test, which nothing was chosen by"
	if c.TestShared+c.TestBefore+c.TestTaught > 0 {
		test = "test, which is not all new"
	}
	line(test, c.Test)
	line("the same in 8 bits", c.Int8Test)
	p("")
	if n := c.UnreadableTest; n > 0 && c.Test != nil {
		p("Of the test images, %d of %d could not be read, and %s left out (`unreadable.csv`).\n", n, n+c.Test.Images, wasWere(n))
	}
	c.leaks(p)
	p("Photos to measure with that are known to the model were looked for byte for byte: copies that were saved anew, scaled or cut count as new ones (`mobilenet duplicates` finds them).\n")
	e := c.Evaluation
	if e == nil {
		e = c.Test
	}
	if confused := e.MostConfused(5); len(confused) > 0 {
		p("Most often confused:\n\n| is | taken for | images |\n|---|---|---|")
		for _, m := range confused {
			p("| %s | %s | %d of %d |", cell(c.Classes[m.True]), cell(c.Classes[m.Predicted]), m.Count, e.PerClass[m.True].Support)
		}
		p("")
	}
	if c.Evaluation != nil {
		p("![confusion matrix](confusion_matrix.png)\n")
	}
}

// leaks says which of the figures flatter the model.
func (c Card) leaks(p func(string, ...any)) {
	val, test := 0, 0
	for _, n := range c.Val {
		val += n
	}
	if c.Test != nil {
		test = c.Test.Images
	}
	for _, leak := range []struct {
		n, of int
		what  string
	}{
		{c.ValShared, val, "%d of the %d photos to validate with %s trained with, too: validation flatters the model.\n"},
		{c.ValBefore, val, "%d of the %d photos to validate with %s known to the weights that this training began with: validation flatters the model.\n"},
		{c.ValTaught, val, "%d of the %d photos to validate with %s known to the teacher, which was trained with them: validation flatters the model.\n"},
		{c.TestShared, test, "%d of the %d test photos %s trained or validated with, too: the test flatters the model.\n"},
		{c.TestBefore, test, "%d of the %d test photos %s known to the weights that this training began with: the test flatters the model.\n"},
		{c.TestTaught, test, "%d of the %d test photos %s known to the teacher, which was trained with them: the test flatters the model.\n"},
	} {
		if leak.n > 0 && leak.of > 0 {
			p(leak.what, leak.n, leak.of, isAre(leak.n))
		}
	}
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// interval is Wilson's: where the accuracy of all such images lies, to 95 %, if it was
// measured on so many.
func interval(accuracy float64, images int) (low, high float64) {
	const z = 1.96
	n := float64(max(images, 1))
	middle := (accuracy + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(accuracy*(1-accuracy)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}

func (c Card) data(p func(string, ...any)) {
	train, val := 0, 0
	for i, n := range c.Train {
		train += n
		if c.Val != nil {
			val += c.Val[i]
		}
	}
	p("%s, and %d to validate with.", images(train), val)
	if c.Unreadable > 0 {
		p("Besides, %s could not be read, and %s left out (`unreadable.csv`).", images(c.Unreadable), wasWere(c.Unreadable))
	}
	list := make([]int, 0, len(c.Classes))
	if e := c.Evaluation; e != nil && len(c.Classes) > cardClasses {
		p("Of the %d classes these %d are told apart worst:", len(c.Classes), cardClasses)
		for _, class := range e.Worst(cardClasses) {
			list = append(list, class.Index)
		}
	} else {
		for i := range min(cardClasses, len(c.Classes)) {
			list = append(list, i)
		}
	}
	p("\n| class | trained with | validated with | precision | recall |\n|---|---|---|---|---|")
	for _, i := range list {
		val, precision, recall := "-", "-", "-"
		if c.Val != nil {
			val = fmt.Sprint(c.Val[i])
		}
		if e := c.Evaluation; e != nil && e.PerClass[i].Support > 0 {
			recall = percent(e.PerClass[i].Recall)
			if e.PerClass[i].Predicted > 0 { // of none there is no share
				precision = percent(e.PerClass[i].Precision)
			}
		}
		name := cell(c.Classes[i])
		if illegible(c.Classes[i]) {
			name += fmt.Sprintf(" (#%d in the pictures)", i)
		}
		p("| %s | %d | %s | %s | %s |", name, c.Train[i], val, precision, recall)
	}
	p("")
}

// fewImages of a class say little about it: of ten right out of ten the interval
// still begins at 72 %.
const fewImages = 10

func (c Card) limits(p func(string, ...any)) {
	p("- It knows these classes and no others: of a picture of anything else it names one of them all the same.")
	p("- The figures hold for pictures like those it was measured on, and say little about others.")
	var few []string
	for i, name := range c.Classes {
		if c.Val != nil && c.Val[i] < fewImages {
			few = append(few, cell(name))
		}
	}
	const most = 10
	if n := len(few) - most; n > 0 {
		few = append(few[:most], fmt.Sprintf("%d more", n))
	}
	switch {
	case len(c.Val) > 0 && slices.Max(c.Val) < fewImages:
		p("- Too few images to say much about any of the classes: fewer than %d of each to validate with.", fewImages)
	case len(few) > 0:
		p("- Too few images to say much about: %s (fewer than %d to validate with).", strings.Join(few, ", "), fewImages)
	}
	least, greatest := math.MaxInt, 0
	for _, n := range c.Train {
		least, greatest = min(least, n), max(greatest, n)
	}
	switch {
	case greatest < 10*max(least, 1):
	case c.Balanced:
		p("- The classes are uneven, from %d to %d images, and were balanced: of rare ones it has seen the same few images again and again.", least, greatest)
	default:
		p("- The classes are uneven, from %d to %d images: rare ones are named too seldom.", least, greatest)
	}
	if n := c.Contradictions; n > 0 {
		p("- Images that are in more than one class, so that a label is wrong: %d.", n)
	}
	p("")
}

func millions(n int) string {
	if n < 1_000_000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%.2f million", float64(n)/1e6)
}

func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// cell is a name in a table of Markdown.
func cell(name string) string {
	return strings.NewReplacer("\\", `\\`, "|", `\|`, "<", "&lt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`).Replace(printable(name))
}
