package serve

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestNumbers: numbers in JSON are those that encoding/json reads, in whatever form, and
// what is none is an error.
func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := make([]float32, 1+rng.IntN(6))
		for i := range want {
			want[i] = math.Float32frombits(rng.Uint32())
			if x := float64(want[i]); x-x != 0 {
				want[i] = 0
			}
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		spread := strings.ReplaceAll(string(text), ",", " ,\n\t")
		for _, data := range []string{string(text), "[[" + spread + "]]"} {
			got, err := (&tensor{Shape: []int64{int64(len(want))}, Data: json.RawMessage(data)}).floats()
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s: %v, %v", data, got, err)
			}
		}
	}
	for _, test := range []struct {
		data  string
		fails string // "" for not
	}{
		{`[1.5, -0, 1e3, 2.5E-3]`, ""},
		{`[0.1000000000000000055511151231257827, 340282346638528859811704183484516925440, 1e-400, 3]`, ""},
		{`[1, 2, 3]`, "3 values"},
		{`[1, 2, 3, 4, 5]`, "other than 4"},
		{`[1, 2, 3, 1e39]`, "no FP32"},
		{`[1, 2, 3, 1e400]`, "out of range"},
		{`[1, 2, 3, null]`, "in place of numbers"},
		{`[1, 2, 3, "4"]`, "in place of numbers"},
		{`[1, 2, 3, true]`, "in place of numbers"},
		{`[1, 2, {"3": 4}]`, "in place of numbers"},
		{`1`, "other than 4"},
		{`null`, "in place of numbers"},
		{``, "0 values"},
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), "arrays in arrays"},
	} {
		if test.data != "" && !json.Valid([]byte(test.data)) {
			t.Fatal(test.data)
		}
		v, err := (&tensor{Shape: []int64{4}, Data: json.RawMessage(test.data)}).floats()
		switch {
		case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
			t.Errorf("%s: %v, %v, want an error with %q", test.data, v, err, test.fails)
		case test.fails == "" && err != nil:
			t.Errorf("%s: %v", test.data, err)
		case test.fails == "":
			var want []float32
			if err := json.Unmarshal([]byte(test.data), &want); err != nil || fmt.Sprint(v) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v (%v)", test.data, v, want, err)
			}
		}
	}
}

// BenchmarkNumbers reads an image in JSON.
func BenchmarkNumbers(b *testing.B) {
	v := make([]float32, 3*224*224)
	for i := range v {
		v[i] = float32(i%255)/127 - 1
	}
	data, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": %s}]}`, data)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		in, err := readInfer(&jsonReader{data: body})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.Inputs[0].floats(); err != nil {
			b.Fatal(err)
		}
	}
}
