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
			got, err := (&tensor{Shape: []int64{1, 1, int64(len(want))}, Data: json.RawMessage(data)}).floats()
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
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), "nested otherwise"},
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

// TestNesting: data lie in one list, or in lists in lists as their shape says, and every
// other nesting is refused, with strings and numbers alike.
func TestNesting(t *testing.T) {
	nested := func(shape []int64, n *int) any {
		var list func(shape []int64) any
		list = func(shape []int64) any {
			if len(shape) == 0 {
				*n++
				return *n
			}
			all := []any{}
			for range shape[0] {
				all = append(all, list(shape[1:]))
			}
			return all
		}
		return list(shape)
	}
	read := func(shape []int64, data string) error {
		_, err := (&tensor{Shape: shape, Data: json.RawMessage(data)}).octets()
		text := strings.NewReplacer("0", `""`, "1", `"AAAA"`, "2", `"AAAA"`, "3", `"AAAA"`, "4", `"AAAA"`, "5", `"AAAA"`, "6", `"AAAA"`).Replace(data)
		if _, texts := (&tensor{Shape: shape, Data: json.RawMessage(text)}).texts(); (err == nil) != (texts == nil) {
			t.Errorf("%v %s: numbers %v, strings %v", shape, data, err, texts)
		}
		return err
	}
	shapes := [][]int64{{6}, {1, 6}, {6, 1}, {2, 3}, {3, 2}, {1, 2, 3}, {1, 2, 1, 3}, {2, 1, 3, 1}, {1, 1, 6}}
	for _, shape := range shapes {
		if err := read(shape, "[1,2,3,4,5,6]"); err != nil {
			t.Errorf("%v, flat: %v", shape, err)
		}
		for _, other := range shapes {
			n := 0
			data, err := json.Marshal(nested(other, &n))
			if err != nil {
				t.Fatal(err)
			}
			good := len(other) == 1 || fmt.Sprint(other) == fmt.Sprint(shape)
			if err := read(shape, string(data)); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "nested otherwise") {
				t.Errorf("%v, %s: %v", shape, data, err)
			}
		}
	}
	for _, data := range []string{"[1,[2]]", "[[1],2]", "[[1,2]]", "[[1],[2],[]]", "[[1],[]]", "[[],[]]", "[[1,2],[]]", "[[[1]],[[2]]]", "[[[1,2]]]", "[[1],[2]", "[]", "[[]]"} {
		if err := read([]int64{2, 1}, data); err == nil {
			t.Errorf("%s is taken for 2 lists of 1", data)
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
