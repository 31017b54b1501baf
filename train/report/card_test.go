package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCard(t *testing.T) {
	e := threeClasses(t)
	c := Card{
		Classes: []string{"ant", "b|e\x1be", "cat"}, Train: []int{20, 3, 200}, Val: []int{2, 1, 2}, Input: "96x96", Weights: 12345,
		Epochs: []Epoch{{Epoch: 1}, {Epoch: 2}}, Best: 2, Evaluation: e, Unreadable: 1,
		Settings: "lr: 0.1\ndata: /home/somebody/pets\n", File: "best.safetensors",
	}
	dir := t.TempDir()
	if err := WriteCard(dir, c); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, CardFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"# MobileNetV2 for 3 classes", "12345 weights, photos of 96x96 pixels. The weights are those of epoch 2 of 2.",
		`that tells ant, "b\|e\\x1be" and cat apart`, "| 5 | 60.0 % | 23.1 % to 88.2 % |",
		"| ant | 20 | 2 | 100.0 % | 50.0 % |", "223 images, and 5 to validate with.", "Besides, 1 image could not be read, and was left out (`unreadable.csv`).",
		"were looked for byte for byte: copies that were saved anew", "any of the classes: fewer than 10 of each to validate with", "uneven, from 3 to 200", "lr: 0.1\ndata: pets\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	flattered := c
	flattered.Test, flattered.ValShared, flattered.TestShared = e, 3, 2
	flattered.ValBefore, flattered.TestBefore, flattered.ValTaught, flattered.TestTaught = 1, 2, 3, 4
	flattered.UnreadableTest = 1
	flattered.Contradictions, flattered.Balanced = 7, true
	for want, in := range map[string]bool{
		"3 of the 5 photos to validate with are trained with, too":                                 true,
		"2 of the 5 test photos are trained or validated with, too":                                true,
		"which nothing was chosen by":                                                              false,
		"1 of the 5 photos to validate with is known to the weights that this training began with": true,
		"2 of the 5 test photos are known to the weights that this training began with":            true,
		"3 of the 5 photos to validate with are known to the teacher":                              true,
		"Of the test images, 1 of 6 could not be read, and was left out (`unreadable.csv`).":       true,
		"4 of the 5 test photos are known to the teacher":                                          true,
		"in more than one class, so that a label is wrong: 7.":                                     true,
		"uneven, from 3 to 200 images, and were balanced":                                          true,
		"named too seldom": false,
	} {
		if text := string(flattered.markdown()); strings.Contains(text, want) != in {
			t.Errorf("%q is in the card: %v:\n%s", want, !in, text)
		}
	}
	if strings.Contains(text, "top-5") {
		t.Error("top-5 of 3 classes")
	}
	for want, best := range map[string]int{"The classifier alone was trained: no epoch with all layers, of 2, was better": 0, "The weights are those of epoch 1 of 2.": 1} {
		alone := c
		alone.Epochs, alone.Best = []Epoch{{Epoch: 0}, {Epoch: 1}, {Epoch: 2}}, best
		if text := string(alone.markdown()); !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	eight := c
	eight.Calibration = 7
	for want, calibrated := range map[string]bool{
		"8-bit integers, calibrated with 7 images and not trained further: no epoch in 8 bits, of 2, was better in validation.\n": true,
		"| validation, which it was chosen by | 5 |":                                                    true,
		"8-bit integers, calibrated with 7 images and then trained in 8 bits: those of epoch 2 of 2.\n": false,
		"| validation, which the epoch was chosen by | 5 |":                                             false,
	} {
		if eight.Calibrated = calibrated; !strings.Contains(string(eight.markdown()), want) {
			t.Errorf("the card lacks %q:\n%s", want, eight.markdown())
		}
	}
	frozen := c
	frozen.Frozen = true
	for _, want := range []string{"Only the classifier was trained", "(#1 in the pictures)"} {
		if text := string(frozen.markdown()); !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("a control character of a label is in the card")
	}

	// Without anything measured, and with many classes.
	c.Evaluation, c.Val = nil, nil
	if text := string(c.markdown()); !strings.Contains(text, "Nobody knows") || !strings.Contains(text, "| cat | 200 | - | - | - |") {
		t.Errorf("a card without validation:\n%s", text)
	}
	many := evaluated(t, 120)
	c = Card{Classes: make([]string, 120), Train: make([]int, 120), Val: make([]int, 120), Evaluation: many}
	c.Val[0] = 50
	if text := string(c.markdown()); strings.Count(text, "\n") > 120 || !strings.Contains(text, "| top-5 |") || !strings.Contains(text, "Of the 120 classes these 50") || !strings.Contains(text, ", 109 more (fewer than 10 to validate with)") {
		t.Errorf("a card of 120 classes:\n%s", text)
	}

	// Somebody's own README stays.
	own := filepath.Join(t.TempDir(), CardFile)
	if err := os.WriteFile(own, []byte("# Pets\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteCard(filepath.Dir(own), c); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(own); string(data) != "# Pets\n" {
		t.Errorf("overwritten: %q", data)
	}
}

// TestInterval checks the definition of Wilson's interval: its ends are the accuracies
// p that the measured one is 1.96 standard deviations sqrt(p(1-p)/n) away from.
func TestInterval(t *testing.T) {
	for _, test := range [][2]int{{10, 10}, {0, 10}, {9, 14}, {50, 100}, {1, 1}} {
		n, measured := float64(test[1]), float64(test[0])/float64(test[1])
		low, high := interval(measured, test[1])
		if low > measured || high < measured {
			t.Errorf("%v: %v to %v", test, low, high)
		}
		for _, p := range []float64{low, high} {
			if p == measured { // cut off at 0 or 1
				continue
			}
			if z := math.Abs(p-measured) / math.Sqrt(p*(1-p)/n); math.Abs(z-1.96) > 1e-9 {
				t.Errorf("%v: %v is %v standard deviations away", test, p, z)
			}
		}
	}
}
