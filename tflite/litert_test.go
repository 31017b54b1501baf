package tflite

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestLiteRT writes networks of all kinds and sizes, in float32, float16 and int8, and
// has LiteRT run them.
func TestLiteRT(t *testing.T) {
	python := testenv.Python(t, "ai_edge_litert", "numpy")
	dir := t.TempDir()
	image := func(c model.Config) engine.Input {
		h, w := c.InputSize()
		in := engine.Input{Pixels: make([]uint8, h*w*3), N: 1, H: h, W: w}
		for i := range in.Pixels {
			in.Pixels[i] = uint8(uint64(i) * 2654435761 >> 13)
		}
		return in
	}
	written := map[string]func(t *testing.T, got litert){}
	write := func(name string, data []byte, c model.Config, compare func(t *testing.T, got litert)) {
		in := image(c)
		input := make([]float32, len(in.Pixels))
		c.Preprocess.Levels().Apply(input, in.Pixels)
		for ending, data := range map[string][]byte{".tflite": data, ".bin": floatBytes(input)} {
			if err := os.WriteFile(filepath.Join(dir, name+ending), data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		written[name] = compare
	}
	for name, change := range networks {
		c := narrow()
		change(&c)
		name := strings.ReplaceAll(name, " ", "_")
		for _, half := range []bool{false, true} {
			data, err := Export(trained(t, c), Options{Half: half})
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			kind := map[bool]string{false: "_float", true: "_half"}[half]
			write(name+kind, data, c, func(t *testing.T, got litert) {
				for i, v := range logits(t, m, image(c)) {
					if !(math.Abs(float64(v)-got.Logits[i]) < 1e-4) {
						t.Errorf("logit %d is %v, LiteRT has %v", i, v, got.Logits[i])
					}
				}
			})
		}
		if !c.Head.Plain() {
			continue
		}
		data, err := ExportQuantized(quantised(t, c))
		if err != nil {
			t.Fatal(err)
		}
		_, q, err := Network(data)
		if err != nil || q == nil {
			t.Fatal(err)
		}
		write(name+"_int8", data, c, func(t *testing.T, got litert) {
			compareHashes(t, hashes(t, q, []engine.Input{image(c)}), got.Bytes)
		})
	}
	if out, err := exec.Command(python, "testdata/litert.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, compare := range written {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var got litert
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			compare(t, got)
		})
	}
}

// litert is what testdata/litert.py says of a file.
type litert struct {
	Logits []float64
	Bytes  []string
}
