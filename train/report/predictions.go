package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// Predictions are what a model says of labelled images, one after another, and
// together.
type Predictions struct {
	Classes []string // of the model
	Images  []Prediction
	tally   *Tally
}

// A Prediction is what a model says of a labelled image.
type Prediction struct {
	Name  string // of the image, such as its path
	Label int    // its true class
	Outcome
}

// NewPredictions are none so far, of a model with classes of these names.
func NewPredictions(classes []string) *Predictions {
	return &Predictions{Classes: slices.Clone(classes), tally: NewTally(classes)}
}

// Add adds an image of true class label, of which the model says logits. Errors
// are those of [Tally.Add], with the image's name.
func (p *Predictions) Add(name string, label int, logits []float32) error {
	if p.tally == nil {
		p.tally = NewTally(p.Classes)
	}
	o, err := p.tally.Add(label, logits)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Images = append(p.Images, Prediction{name, label, o})
	return nil
}

// Evaluation returns the measures over the images added so far.
func (p *Predictions) Evaluation() *Evaluation {
	if p.tally == nil {
		return NewTally(p.Classes).Evaluation()
	}
	return p.tally.Evaluation()
}

// Worst returns the places of n images in Images: mistakes before what is right,
// and among either those first where the true class seemed least likely.
func (p *Predictions) Worst(n int) []int {
	order := make([]int, len(p.Images))
	for i := range order {
		order[i] = i
	}
	wrong := func(i int) int { return min(p.Images[i].Rank, 1) }
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(wrong(b), wrong(a)), cmp.Compare(p.Images[b].Loss, p.Images[a].Loss))
	})
	return order[:min(n, len(order))]
}

// WriteCSV writes a line per image, with a header. Ranks are from 1.
func (p *Predictions) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"file", "true", "predicted", "probability", "rank", "loss"})
	for _, i := range p.Images {
		out.Write([]string{
			printable(i.Name), printable(p.Classes[i.Label]), printable(p.Classes[i.Predicted]),
			strconv.FormatFloat(i.Confidence, 'f', 6, 64), strconv.Itoa(i.Rank + 1), decimal(i.Loss),
		})
	}
	out.Flush()
	return out.Error()
}

// sheetImages fill a screen, and can still be told apart.
const sheetImages = 32

// WriteSheet draws the worst images with what the model says of them, as JPEG.
// picture returns the image in a place of Images.
func (p *Predictions) WriteSheet(path string, picture func(i int) (image.Image, error)) error {
	var tiles []Tile
	for _, i := range p.Worst(sheetImages) {
		m, err := picture(i)
		if err != nil {
			return err
		}
		at := p.Images[i]
		said, is := ClassName(p.Classes, at.Predicted), ClassName(p.Classes, at.Label)
		t := Tile{Image: m, Verdict: Right}
		if at.Rank > 0 {
			said, is = differing(said, is)
			t.Verdict, t.Detail = Wrong, "is "+is
		}
		t.Caption = fmt.Sprintf("%.0f %% %s", 100*at.Confidence, said)
		tiles = append(tiles, t)
	}
	return WriteSheet(path, p.title(), tiles)
}

// differing cuts what two long names begin with alike, so that what they differ in
// has room below a picture.
func differing(a, b string) (string, string) {
	const (
		room  = 18 // about so many characters fit
		left  = 16 // of them, where there is a probability before them
		least = 6  // that are worth cutting
		stay  = 2  // of those that are cut, if there is room for no more
	)
	x, y := []rune(a), []rune(b)
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	if max(len(x), len(y)) <= room || same < least {
		return a, b
	}
	cut := min(same-stay, max(len(x), len(y))-left+1)
	return "…" + string(x[cut:]), "…" + string(y[cut:])
}

func (p *Predictions) title() string {
	wrong := 0
	for _, i := range p.Images {
		wrong += min(i.Rank, 1)
	}
	numbered := ""
	if slices.ContainsFunc(p.Classes, illegible) {
		numbered = "; " + byNumber
	}
	if wrong == 0 {
		return fmt.Sprintf("all %d right, the least sure first", len(p.Images)) + numbered
	}
	return fmt.Sprintf("%d of %d wrong, the worst first", wrong, len(p.Images)) + numbered
}

// WriteFolder writes everything to a folder that exists: what
// [Evaluation.WriteFolder] writes of e, predictions.csv and val_predictions.jpg.
// picture is as for [Predictions.WriteSheet].
func (p *Predictions) WriteFolder(dir string, e *Evaluation, picture func(i int) (image.Image, error)) error {
	if err := e.WriteFolder(dir); err != nil {
		return err
	}
	if err := clean(dir, "predictions.csv", "val_predictions.jpg"); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "predictions.csv"), p.WriteCSV); err != nil {
		return err
	}
	return p.WriteSheet(filepath.Join(dir, "val_predictions.jpg"), picture)
}

// ClassName returns the name of a class for a picture, or its number if the name
// has characters that can't be drawn.
func ClassName(classes []string, class int) string { return shown(classes[class], class) }

func shown(name string, class int) string {
	if illegible(name) {
		return fmt.Sprintf("#%d", class)
	}
	return name
}

func illegible(name string) bool { return name == "" || !fonts.Legible(name) }

// byNumber is what pictures say in which names are missing.
const byNumber = "names that can't be drawn are #number here, in the classes' order, from 0"
