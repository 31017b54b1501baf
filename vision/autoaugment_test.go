package vision

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// An autoGolden is what torchvision makes of images; testdata/autoaugment.py wrote it.
type autoGolden struct {
	Sizes   [][2]int // width, height
	Rand    []autoRow
	Jitter  []jitterRow
	Chains  []chainRow
	Colours []colourRow
}

type autoRow struct {
	name      string
	strength  int
	magnitude float64 // of the first image
	hashes    []string
}

type jitterRow struct {
	name   string
	factor float64
	hashes []string
}

type chainRow struct {
	steps  []jitterStep
	hashes []string
}

type jitterStep struct {
	name   string
	factor float64
}

type colourRow struct {
	share float64
	hash  string
}

func (r *autoRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.name, &r.strength, &r.magnitude, &r.hashes})
}
func (r *jitterRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.name, &r.factor, &r.hashes})
}
func (r *chainRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.steps, &r.hashes})
}
func (r *jitterStep) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.name, &r.factor})
}
func (r *colourRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&r.share, &r.hash})
}

func readAutoGolden(t *testing.T) (g autoGolden, photos []*Image) {
	text, err := os.ReadFile("testdata/autoaugment.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	for _, s := range g.Sizes {
		photos = append(photos, checkered(s[0], s[1]))
	}
	return g, photos
}

// checkered is photo of autoaugment.py.
func checkered(w, h int) *Image {
	m := NewImage(w, h)
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := (x*7919 + y*104729 + x*y*31 + c*65537) % 251
				if (x/3+y/5)%2 == 0 {
					v = [3]int{20 + 5*x, 200 - 4*y - x, x*y%190 + 7}[c]
				}
				m.Pix[(y*w+x)*3+c] = uint8(min(255, max(0, v)))
			}
		}
	}
	return m
}

func digest(m *Image) string {
	sum := sha256.Sum256(m.Pix)
	return hex.EncodeToString(sum[:])[:16]
}

// TestRandAugment compares magnitudes and pixels of every operation, at strengths
// from none to the greatest, with torchvision's.
func TestRandAugment(t *testing.T) {
	g, photos := readAutoGolden(t)
	of := map[string]operation{}
	for _, op := range operations {
		of[op.name] = op
	}
	seen := map[string]bool{}
	for _, r := range g.Rand {
		op, ok := of[r.name]
		if !ok {
			t.Fatalf("there is no operation %s", r.name)
		}
		seen[r.name] = true
		negative := math.Signbit(r.magnitude)
		for i, m := range photos {
			v := op.random(r.strength, m, negative)
			// torch.linspace counts from either end, so that some are another float32.
			if i == 0 && !(math.Abs(v-r.magnitude) <= 1e-6*math.Abs(r.magnitude)) {
				t.Errorf("%s: magnitude %v at strength %d, want %v", r.name, v, r.strength, r.magnitude)
			}
			if got := digest(op.apply(m, v)); got != r.hashes[i] {
				t.Errorf("%s at strength %d, %v, of %dx%d: other pixels", r.name, r.strength, v, m.W, m.H)
			}
		}
	}
	if len(seen) != len(operations) {
		t.Errorf("%d operations compared, want all %d", len(seen), len(operations))
	}
}

// jitters are what a Jitter does, by torchvision's names.
var jitters = map[string]func(*Image, float64) *Image{
	"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": turnHue,
}

// TestJitterOperations compares the pixels of each change of colours, of several in a
// row, and the hue of a quarter of a million colours with torchvision's.
func TestJitterOperations(t *testing.T) {
	g, photos := readAutoGolden(t)
	for i, m := range photos {
		for _, r := range g.Jitter {
			if got := digest(jitters[r.name](m, r.factor)); got != r.hashes[i] {
				t.Errorf("%s by %v of %dx%d: other pixels", r.name, r.factor, m.W, m.H)
			}
		}
		for k, r := range g.Chains {
			out := m
			for _, s := range r.steps {
				out = jitters[s.name](out, s.factor)
			}
			if digest(out) != r.hashes[i] {
				t.Errorf("chain %d of %dx%d: other pixels", k, m.W, m.H)
			}
		}
	}
	colours := NewImage(512, 512)
	for i := range 64 * 64 * 64 {
		colours.Pix[3*i], colours.Pix[3*i+1], colours.Pix[3*i+2] = uint8(i/4096*4+1), uint8(i/64%64*4+1), uint8(i%64*4+1)
	}
	for _, r := range g.Colours {
		if digest(turnHue(colours, r.share)) != r.hash {
			t.Errorf("hue by %v: other colours", r.share)
		}
	}
}

// TestPolicies checks what is random: that every operation and both signs come, as
// many as asked for, and that jitter keeps to its ranges and uses them.
func TestPolicies(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := checkered(25, 21)
	none := RandAugment{}.apply(m, rng)
	if none != m {
		t.Error("no operations, and another image")
	}
	results := map[string]bool{}
	for range 600 {
		results[digest(RandAugment{Operations: 1, Magnitude: 9}.apply(m, rng))] = true
	}
	// 14 operations, 9 of them with two signs.
	if len(results) != 23 {
		t.Errorf("%d different results of one operation, want 23", len(results))
	}
	for _, most := range []float64{0.4, 3} {
		low, high := math.Inf(1), math.Inf(-1)
		for range 5000 {
			f := factor(most, 2*rng.Float64()-1)
			low, high = min(low, f), max(high, f)
		}
		least := max(0, 1-most)
		width := 1 + most - least
		if low < least || low > least+0.01*width || high > 1+most || high < 1+most-0.01*width {
			t.Errorf("jitter %v: factors %v to %v, want %v to %v", most, low, high, least, 1+most)
		}
	}
	colours := map[string]bool{}
	for range 50 {
		colours[digest(Jitter{0.4, 0.4, 0.4, 0.1}.apply(m, rng))] = true
	}
	if len(colours) < 45 {
		t.Errorf("%d different images in 50", len(colours))
	}
}

// TestPolicyText checks the texts of flags, both ways, and what they may not be.
func TestPolicyText(t *testing.T) {
	for text, want := range map[string]Jitter{
		"0": {}, "0.4": {0.4, 0.4, 0.4, 0}, "0.4,0,0.2,0.1": {0.4, 0, 0.2, 0.1}, " 1, 2, 3, 0.5": {1, 2, 3, 0.5},
	} {
		var got, again Jitter
		err := got.UnmarshalText([]byte(text))
		written, _ := got.MarshalText()
		if err := cmp.Or(err, again.UnmarshalText(written)); err != nil || got != want || again != want {
			t.Errorf("%q: %+v, as text %s, %v", text, got, written, err)
		}
	}
	for text, want := range map[string]RandAugment{"0": {}, "2,9": {2, 9}, "1, 30": {1, 30}} {
		var got, again RandAugment
		err := got.UnmarshalText([]byte(text))
		written, _ := got.MarshalText()
		if err := cmp.Or(err, again.UnmarshalText(written)); err != nil || got != want || again != want {
			t.Errorf("%q: %+v, as text %s, %v", text, got, written, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "11", "NaN", "Inf", "1,2", "1,2,3,0.6", "1,2,3,0.1,1", "1,,2,3"} {
		if j := (Jitter{Hue: 0.25}); j.UnmarshalText([]byte(text)) == nil || j.Hue != 0.25 {
			t.Errorf("jitter %q is read, or left something", text)
		}
	}
	for _, text := range []string{"", "2", "9,", "-1,9", "2,31", "2,-1", "99,9", "2,9,1"} {
		if a := (RandAugment{1, 2}); a.UnmarshalText([]byte(text)) == nil || a.Operations != 1 {
			t.Errorf("RandAugment %q is read, or left something", text)
		}
	}
}
