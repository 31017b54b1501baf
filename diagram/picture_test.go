package diagram

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/model"
)

// configs are networks that stretch the pictures.
func configs() map[string]model.Config {
	all := map[string]model.Config{}
	for _, width := range []float64{0.1, 0.35, 1, 1.4, 8} {
		for _, resolution := range []int{32, 224, 4096} {
			c := model.Default()
			c.Width, c.Resolution = width, resolution
			all[fmt.Sprintf("%v_%d", width, resolution)] = c
		}
	}
	short := model.Default()
	short.Table = []model.Stage{{T: 6, C: 24, N: 1, S: 2}}
	short.Classes = 1 << 20
	all["short"] = short
	long := model.Default()
	long.Table = nil
	for i := range 40 {
		long.Table = append(long.Table, model.Stage{T: 2.5, C: 8 + 8*i, N: 6, S: 1})
	}
	all["long"] = long
	return all
}

func TestArchitecture(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			checkCanvas(t, layOut(t, Architecture(cfg)))
		})
	}
}

func TestArchitectureIsTable2(t *testing.T) {
	d := Architecture(model.Default())
	// The input column of the paper's Table 2, and its output.
	tensors := []string{"224×224×3", "112×112×32", "112×112×16", "56×56×24", "28×28×32", "14×14×64",
		"14×14×96", "7×7×160", "7×7×320", "7×7×1280", "1×1×1280", "1×1×1000"}
	svg := written(t, d.SVG)
	var shapes []string
	for _, s := range svgTexts(t, svg) {
		if strings.Count(s, "×") == 2 && !strings.Contains(s, " ") {
			shapes = append(shapes, s)
		}
	}
	if !slices.Equal(shapes, tensors) {
		t.Errorf("tensors %v, want %v", shapes, tensors)
	}
	for _, want := range []string{"width 1.0, 3.50 million parameters, 301 million multiply-adds", "1801.04381"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in the SVG", want)
		}
	}
	dot, mermaid := written(t, d.DOT), written(t, d.Mermaid)
	for _, want := range append(tensors, "bottleneck", "t 6, c 160, n 3, s 2", "avgpool", "classifier") {
		if !strings.Contains(dot, want) || !strings.Contains(mermaid, want) {
			t.Errorf("%q is missing in DOT or Mermaid", want)
		}
	}
	checkPNG(t, written(t, func(w io.Writer) error { return d.PNG(w, 0.5) }), layOut(t, d), 0.5)
}

func TestBlock(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			d, err := Block(cfg)
			if err != nil {
				t.Fatal(err)
			}
			checkCanvas(t, layOut(t, d))
		})
	}
}

func TestBlockOfTheDefaultNetwork(t *testing.T) {
	d, err := Block(model.Default())
	if err != nil {
		t.Fatal(err)
	}
	texts := svgTexts(t, written(t, d.SVG))
	for _, want := range []string{
		"56×56×256", "56×56×64", "1×1 conv, ReLU", "69,632 weights, 218 million multiply-adds",
		"56×56×24", "56×56×144", "3×3 depthwise, ReLU6", "1×1 conv, linear", "8,208 weights, 25.7 million multiply-adds",
		"28×28×144", "28×28×32", "3×3 depthwise, stride 2, ReLU6",
	} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q in the SVG", want)
		}
	}
	mermaid := written(t, d.Mermaid)
	if got := strings.Count(mermaid, `|"shortcut"|`); got != 2 {
		t.Errorf("%d shortcuts in Mermaid, want 2", got)
	}
	checkPNG(t, written(t, func(w io.Writer) error { return d.PNG(w, 0.5) }), layOut(t, d), 0.5)
}

// The slabs' widths must be to scale.
func TestBlockWidths(t *testing.T) {
	d, err := Block(model.Default())
	if err != nil {
		t.Fatal(err)
	}
	var widths []float64
	for _, s := range layOut(t, d).shapes {
		if r, ok := s.(rect); ok && r.radius == 0 {
			widths = append(widths, r.w*256/widest)
		}
	}
	want := []float64{256, 64, 64, 256, 24, 144, 144, 24, 24, 144, 144, 32}
	if len(widths) < len(want) {
		t.Fatalf("widths %v", widths)
	}
	for i := range want {
		if math.Abs(widths[i]-want[i]) > 1e-9 {
			t.Errorf("widths %v, want %v", widths[:len(want)], want)
			break
		}
	}
}

func TestAmount(t *testing.T) {
	for n, want := range map[int]string{
		0: "0", 999_999: "999,999", 3_504_872: "3.50 million", 25_740_288: "25.7 million",
		300_774_272: "301 million", 73_014_444_032: "73.0 billion", 5_818_198_000_000: "5.82 trillion",
	} {
		if got := amount(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// The pictures in docs must be what is drawn today.
func TestDocs(t *testing.T) {
	block, err := Block(model.Default())
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*Drawing{"architecture.svg": Architecture(model.Default()), "block.svg": block} {
		have, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(have), written(t, d.SVG)); diff != "" {
			t.Errorf("docs/%s is not current (mobilenet graph makes it):\n%s", name, diff)
		}
	}
}

func TestBlockWithoutExamples(t *testing.T) {
	cfg := model.Default()
	cfg.Table = []model.Stage{{T: 1, C: 16, N: 3, S: 2}}
	if _, err := Block(cfg); err == nil {
		t.Error("no error for a network without expansions")
	}
}
