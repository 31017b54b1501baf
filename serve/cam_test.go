package serve_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/serve"
)

// TestMaps: maps of where classes are seen are the library's, to the bit, over the plain
// route and the protocol's.
func TestMaps(t *testing.T) {
	_, url := start(t, serve.Options{})
	c, err := openBuiltin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mobilenet.DecodeFile(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	explain := func(o mobilenet.ExplainOptions) *mobilenet.Explanation {
		t.Helper()
		e, err := c.Explain(t.Context(), img, o)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	want := explain(mobilenet.ExplainOptions{Top: 3})

	_, _, body := ask(t, "POST", url+"/v1/classify?top=5&maps=3", photo(t))
	got := decode[struct {
		Predictions []struct {
			Index       int
			Logit, Bias *float32
			Map         [][]float32
		}
		Explained struct {
			Width, Height int
			Seen          [4]float64
			Method, Layer string
		}
	}](t, body)
	seen := c.Seen(img.W, img.H)
	if e := got.Explained; e.Width != img.W || e.Height != img.H || e.Seen != [4]float64{seen.Left, seen.Top, seen.Right, seen.Bottom} || e.Method != "cam" || e.Layer != want.Layer {
		t.Errorf("%+v", e)
	}
	if len(got.Predictions) != 5 || got.Predictions[3].Map != nil {
		t.Fatalf("%s", body)
	}
	for i, m := range want.Maps {
		p := got.Predictions[i]
		if p.Index != m.Index || *p.Logit != m.Logit || *p.Bias != m.Bias || len(p.Map) != want.Height || !slices.Equal(slices.Concat(p.Map...), m.Values) {
			t.Errorf("map %d: %+v, want %+v", i, p, m)
		}
	}

	text := base64.StdEncoding.EncodeToString(photo(t))
	infer := func(parameters, outputs string, n int) (int, inferAnswer) {
		t.Helper()
		data := fmt.Sprintf("%q", text)
		for range n - 1 {
			data += fmt.Sprintf(", %q", text)
		}
		code, _, body := ask(t, "POST", url+"/v2/models/fashion/infer", fmt.Appendf(nil, `{"parameters": {%s}, "inputs": [{"name": "image", "datatype": "BYTES", "shape": [%d], "data": [%s]}], "outputs": [%s]}`, parameters, n, data, outputs))
		return code, decode[inferAnswer](t, body)
	}
	_, logits, features := direct(t)
	for parameters, o := range map[string]mobilenet.ExplainOptions{
		``:                            {Top: 1},
		`"cam_top": 3`:                {Top: 3},
		`"cam_class": 7`:              {Classes: []int{7}},
		`"cam_class": "7"`:            {Classes: []int{7}},
		`"cam_class": "Sneaker"`:      {Classes: []int{7}},
		`"cam_top": 10, "timeout": 9`: {Top: 10},
		`"cam_top": 1e300`:            {Top: 10}, // all, as top
	} {
		want := explain(o)
		var values []float32
		for _, m := range want.Maps {
			values = append(values, m.Values...)
		}
		code, a := infer(parameters, `{"name": "cam"}, {"name": "embedding"}, {"name": "logits"}`, 2)
		if code != 200 || !slices.Equal(a.Outputs[0].Shape, []int{2, len(want.Maps), want.Height, want.Width}) {
			t.Fatalf("%s: %d %v", parameters, code, a)
		}
		if got := decode[[]float32](t, a.Outputs[0].Data); !slices.Equal(got, slices.Concat(values, values)) {
			t.Errorf("%s: other maps", parameters)
		}
		for i, v := range [][]float32{features, logits} {
			if got := decode[[]float32](t, a.Outputs[i+1].Data); !slices.Equal(got, slices.Concat(v, v)) {
				t.Errorf("%s: output %d differs beside the maps", parameters, i+1)
			}
		}
	}
	if code, a := infer(``, `{"name": "cam"}`, 1); code != 200 || len(a.Outputs) != 1 {
		t.Errorf("maps alone: %d %v", code, a)
	}
	for _, parameters := range []string{`"cam_class": 10`, `"cam_class": -1`, `"cam_class": "x"`, `"cam_class": 0.5`, `"cam_class": true`, `"cam_top": 0`, `"cam_top": 1.5`, `"cam_top": "2"`, `"cam_top": 2, "cam_class": 1`} {
		if code, _ := infer(parameters, `{"name": "cam"}`, 1); code != 400 {
			t.Errorf("%s: %d", parameters, code)
		}
	}
	if code, _ := infer(``, `{"name": "cam", "parameters": {"classification": 2}}`, 1); code != 400 {
		t.Errorf("classification of maps: %d", code)
	}
	for _, query := range []string{"maps=0", "maps=6", "maps=x", "top=1&maps=2"} {
		if code, _, body := ask(t, "POST", url+"/v1/classify?"+query, photo(t)); code != 400 {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	if code, _, body := ask(t, "POST", url+"/v2/models/fashion-tensor/infer", []byte(`{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1], "data": [1]}], "outputs": [{"name": "cam"}]}`)); code != 400 {
		t.Errorf("maps of a tensor: %d %s", code, body)
	}
}
