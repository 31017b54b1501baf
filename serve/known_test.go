package serve

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// TestKnown: a parameter that is misspelt or out of its place is refused with those that there
// are, over REST and gRPC, and what other servers' clients send is taken.
func TestKnown(t *testing.T) {
	const request, output = "want binary_data_output, cam_class, cam_top", "want binary_data, classification"
	for _, test := range []struct {
		request, output, wants string // JSON of the parameters, and the output's name
		want                   string
	}{
		{`"cam_class": "cat"`, ``, "cam", ""},
		{`"cam_top": 2, "binary_data_output": true`, `"binary_data": false`, "cam", ""},
		{`"sequence_id": 1, "sequence_start": true, "sequence_end": false, "priority": 2, "timeout": 1000`, `"classification": 3`, "logits", ""},
		{`"sequence_id": "a", "triton_enable_empty_final_response": true, "content_type": "np", "headers": "x"`, `"content_type": "np"`, "logits", ""},
		{`"cam_clas": 1`, ``, "cam", `no parameter "cam_clas": ` + request},
		{`"CAM_class": 1`, ``, "cam", `no parameter "CAM_class": ` + request},
		{`"classification": 1`, ``, "logits", `no parameter "classification": ` + request},
		{``, `"clasification": 1`, "logits", `no output "logits": parameter "clasification": ` + output},
		{``, `"cam_class": 1`, "cam", `no output "cam": parameter "cam_class": ` + output},
		{`"cam_class": 1`, ``, "logits", `parameter "cam_class" is of the output "cam"`},
		{`"cam_top": 1`, ``, "logits", `parameter "cam_top" is of the output "cam"`},
		{`"binary_data_output": "true"`, ``, "logits", `parameter "binary_data_output": want true or false`},
		{``, `"binary_data": 1`, "logits", `parameter "binary_data": want true or false`},
		{``, `"shared_memory_region": "a"`, "logits", "shared memory is not supported"},
	} {
		text := `{"inputs": [], "parameters": {` + test.request + `}, "outputs": [{"name": "` + test.wants + `", "parameters": {` + test.output + `}}]}`
		in, err := readInfer(&jsonReader{data: []byte(text)})
		if err != nil {
			t.Fatal(text, err)
		}
		message := &oip.ModelInferRequest{Parameters: choices(in.Parameters), Outputs: []*oip.ModelInferRequest_InferRequestedOutputTensor{
			{Name: test.wants, Parameters: choices(in.Outputs[0].Parameters)},
		}}
		over, err := fromMessage(message)
		if err != nil {
			t.Fatal(text, err)
		}
		for _, in := range []*inferRequest{in, over} {
			err := in.check()
			var f *failure
			switch {
			case test.want == "" && err == nil:
			case test.want == "" || err == nil || !strings.Contains(err.Error(), test.want):
				t.Errorf("%s: %v, want %s", text, err, test.want)
			case !errors.As(err, &f) || f.status != http.StatusBadRequest && !strings.Contains(test.want, "memory"):
				t.Errorf("%s: %v", text, f)
			}
		}
	}
}

// choices has values of JSON as a message over gRPC has them.
func choices(values map[string]any) map[string]*oip.InferParameter {
	all := map[string]*oip.InferParameter{}
	for name, v := range values {
		p := &oip.InferParameter{}
		switch v := v.(type) {
		case bool:
			p.ParameterChoice = &oip.InferParameter_BoolParam{BoolParam: v}
		case float64:
			p.ParameterChoice = &oip.InferParameter_Int64Param{Int64Param: int64(v)}
		case string:
			p.ParameterChoice = &oip.InferParameter_StringParam{StringParam: v}
		}
		all[name] = p
	}
	return all
}
