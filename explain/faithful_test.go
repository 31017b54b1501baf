package explain_test

import (
	"cmp"
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/explain"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// squashed opens the shared weights for inputs of side pixels, which see all of a photo.
func squashed(t *testing.T, side int) *mobilenet.Classifier {
	t.Helper()
	if testing.Short() {
		t.Skip("thousands of runs of the network")
	}
	c, err := mobilenet.Open(t.Context(), testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"),
		mobilenet.WithInput(model.Input{Height: side, Squash: true}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// every is how many photos there are for one that a test takes: all of them where -v asks
// for its table.
func every() int {
	if testing.Verbose() {
		return 1
	}
	return 5
}

// TestPointingGame: of four photos beside each other, the largest value of each one's
// class lies in that one's quarter (Zhang et al., arXiv 1608.00507). -v prints the
// table of docs/explain.md.
func TestPointingGame(t *testing.T) {
	files, classes := testenv.NIPS17(t)
	quarter := len(files) / 4
	for _, side := range []int{224, 448} {
		c := squashed(t, side)
		type score struct {
			hits, asked int
			inside      float64 // share of what speaks for the class in its quarter
		}
		scores := map[string]*score{}
		methods := map[string]mobilenet.ExplainOptions{
			"cam": {}, "gradcam, features.17": {Layer: "features.17"}, "gradcam, features.14": {Layer: "features.14"},
		}
		if side == 224 {
			methods["occlusion"] = mobilenet.ExplainOptions{Method: mobilenet.Occlusion}
		}
		for i := 0; i < quarter; i += every() {
			mosaic := vision.NewImage(2*side, 2*side)
			var here []int
			for q := range 4 {
				part := vision.Resize(decode(t, files[i+q*quarter]), side, side, model.Bilinear)
				for y := range side {
					copy(mosaic.Pix[3*((y+q/2*side)*2*side+q%2*side):], part.Pix[3*y*side:][:3*side])
				}
				here = append(here, classes[i+q*quarter])
			}
			if len(slices.Compact(slices.Sorted(slices.Values(here)))) < 4 {
				continue // two photos of a class: nothing to tell apart
			}
			for name, o := range methods {
				if name == "occlusion" && i%4 > 0 {
					continue // it takes its time
				}
				o.Classes = here
				e, err := c.Explain(t.Context(), mosaic, o)
				if err != nil {
					t.Fatal(err)
				}
				s := scores[name]
				if s == nil {
					s = &score{}
					scores[name] = s
				}
				for q := range e.Maps {
					best, inside, all := 0, 0.0, 0.0
					heat := explain.Heat(e, q, 2*e.Height, 2*e.Width, true) // even: no value lies between quarters
					for p, v := range heat {
						if v > heat[best] {
							best = p
						}
						all += float64(v)
						if quarterOf(p, 2*e.Width, 2*e.Height) == q {
							inside += float64(v)
						}
					}
					s.asked++
					s.inside += inside / max(all, 1e-9)
					if quarterOf(best, 2*e.Width, 2*e.Height) == q {
						s.hits++
					}
				}
			}
		}
		t.Logf("| input | method | largest value in its quarter | of the map in its quarter |")
		t.Logf("| %d | any point, by chance | 25.0 %% | 25.0 %% |", side)
		for name, s := range scores {
			share := float64(s.hits) / float64(s.asked)
			t.Logf("| %d | %s | %.1f %% of %d | %.1f %% |", side, name, 100*share, s.asked, 100*s.inside/float64(s.asked))
			if share < 0.5 && name != "gradcam, features.14" {
				t.Errorf("%s at %d: %v of the points, and chance is 0.25", name, side, share)
			}
		}
	}
}

// quarterOf is the quarter of a map of w by h values that value p lies in.
func quarterOf(p, w, h int) int { return p%w*2/w + 2*(p/w*2/h) }

// TestInsertionAndDeletion: covering what a map calls important takes the class's
// probability away sooner than covering at random, or from the centre, and showing it
// brings it back sooner (Petsiuk et al., arXiv 1806.07421). -v prints the table of
// docs/explain.md.
func TestInsertionAndDeletion(t *testing.T) {
	const side, steps, photos = 224, 16, 32
	files, _ := testenv.NIPS17(t)
	c := squashed(t, side)
	rng := rand.New(rand.NewPCG(3, 4))
	names := []string{"cam", "gradcam, features.14", "random", "centre"}
	sums := map[string]*[2]float64{}
	for i := 0; i < photos; i += every() {
		photo := vision.Resize(decode(t, files[i*len(files)/photos]), side, side, model.Bilinear)
		grey := vision.NewImage(side, side)
		for p := range grey.Pix {
			grey.Pix[p] = []byte{124, 116, 104}[p%3]
		}
		blurred := vision.Resize(vision.Resize(photo, 8, 8, model.Bilinear), side, side, model.Bilinear)
		random, centre := make([]float32, side*side), make([]float32, side*side)
		for p := range random {
			x, y := p%side-side/2, p/side-side/2
			centre[p] = -float32(x*x + y*y)
		}
		cells := make([]float32, 14*14) // as coarse as the maps: single pixels change little
		for k := range cells {
			cells[k] = rng.Float32()
		}
		for p := range random {
			random[p] = cells[p/side*14/side*14+p%side*14/side]
		}
		for _, name := range names {
			var heat []float32
			e, err := c.Explain(t.Context(), photo, map[string]mobilenet.ExplainOptions{
				"gradcam, features.14": {Layer: "features.14"},
			}[name])
			if err != nil {
				t.Fatal(err)
			}
			class := e.Maps[0].Index
			switch name {
			case "random":
				heat = random
			case "centre":
				heat = centre
			default:
				heat = explain.Heat(e, 0, side, side, false)
			}
			if sums[name] == nil {
				sums[name] = &[2]float64{}
			}
			sums[name][0] += area(t, c, class, photo, grey, heat, steps)
			sums[name][1] += area(t, c, class, blurred, photo, heat, steps)
		}
	}
	taken := float64((photos + every() - 1) / every())
	t.Log("| map | deletion (less is better) | insertion (more is better) |")
	for _, name := range names {
		t.Logf("| %s | %.3f | %.3f |", name, sums[name][0]/taken, sums[name][1]/taken)
	}
	better := func(name string) float64 { return sums[name][1] - sums[name][0] }
	for _, name := range []string{"random", "centre"} {
		if !(better("cam") > better(name)) {
			t.Errorf("cam %v is no better than %s %v", *sums["cam"], name, *sums[name])
		}
	}
}

// area is the mean probability of a class while the pixels of from become those of to,
// those of the largest values first.
func area(t *testing.T, c *mobilenet.Classifier, class int, from, to *vision.Image, heat []float32, steps int) float64 {
	t.Helper()
	order := make([]int, len(heat))
	for p := range order {
		order[p] = p
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(heat[b], heat[a]) })
	var images []image.Image
	for s := range steps + 1 {
		m := &vision.Image{W: from.W, H: from.H, Pix: slices.Clone(from.Pix)}
		for _, p := range order[:s*len(order)/steps] {
			copy(m.Pix[3*p:][:3], to.Pix[3*p:])
		}
		images = append(images, m)
	}
	logits, err := c.Logits(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, l := range logits {
		p, err := c.Probabilities(l)
		if err != nil {
			t.Fatal(err)
		}
		weight := 1.0
		if i == 0 || i == steps {
			weight = 0.5 // the trapezoidal rule
		}
		sum += weight * p[class]
	}
	return sum / float64(steps)
}
