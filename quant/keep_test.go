package quant

import (
	"strings"
	"testing"
)

// TestKeepFloat keeps a convolution, the layers of a block, and the classifier.
func TestKeepFloat(t *testing.T) {
	m := small(t, nil)
	names := []string{"features.0.0", "features.3", "classifier.1"}
	c, err := Observe(t.Context(), m, noise(6), Options{KeepFloat: names})
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, p := range c.Network.Parts() {
		if p.Layer.Float != nil {
			kept = append(kept, p.Name)
		}
	}
	const want = "features.0.0 features.3.conv.0.0 features.3.conv.1.0 features.3.conv.2 classifier.1"
	if got := strings.Join(kept, " "); got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	layers, err := c.Sensitivity(t.Context(), noise(2), CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		for _, name := range kept {
			if l.Name == name && l.Weights != nil {
				t.Errorf("%s: its weights cost %v", name, *l.Weights)
			}
		}
	}

	// All weights: what is left is the noise of the bytes.
	all, err := Calibrate(t.Context(), m, noise(6), Options{KeepFloat: []string{"features", "classifier"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []*Network{c.Network, all} {
		c, err := Compare(t.Context(), m, q, noise(8), CompareOptions{})
		if err != nil || !(c.SQNR > 15 && c.SQNR < 60) {
			t.Errorf("%v, %v", c.SQNR, err)
		}
	}
}

func TestKeepFloatUnknown(t *testing.T) {
	m := small(t, nil)
	for name, want := range map[string]string{
		"features.3.conv.0":  "",
		"features.3.conv.9":  `no layer is called "features.3.conv.9": near are features.3.conv.0.0, features.3.conv.1.0, features.3.conv.2`,
		"features.3.conv.0.": `near are features.3.conv.0.0`,
		"clasifier.1":        `near are classifier.1`,
		"":                   `no layer is called ""`,
		"Features.0.0":       `near are features.0.0`,
	} {
		_, err := Calibrate(t.Context(), m, noise(1), Options{KeepFloat: []string{name}})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
}
