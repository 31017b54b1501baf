package serve

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
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
		{``, `"clasification": 1`, "logits", `output "logits": no parameter "clasification": ` + output},
		{``, `"cam_class": 1`, "cam", `output "cam": no parameter "cam_class": ` + output},
		{`"cam_class": 1`, ``, "logits", `parameter "cam_class" is of the output "cam"`},
		{`"cam_top": 1`, ``, "logits", `parameter "cam_top" is of the output "cam"`},
		{`"binary_data_output": "true"`, ``, "logits", `parameter "binary_data_output": want true or false`},
		{``, `"binary_data": 1`, "logits", `parameter "binary_data": want true or false`},
		{``, `"shared_memory_region": "a"`, "logits", `output "logits": parameter "shared_memory_region": shared memory is not supported: send`},
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

// TestKnownOfInputs: an input has its size, if its bytes lie behind the JSON or in raw_input_contents,
// and nothing else that means nothing here; nor has it data besides, of which some would be dropped.
func TestKnownOfInputs(t *testing.T) {
	const raw = "\x02\x00\x00\x00ab"
	for _, test := range []struct {
		parameters string // JSON
		raw, data  string // of the input
		status     int    // 0 for none
		want       string
	}{
		{`"binary_data_size": 6`, raw, ``, 0, ""},
		{`"binary_data_size": 6, "content_type": "np", "triton_x": 1`, raw, ``, 0, ""},
		{``, ``, `["AAAA"]`, 0, ""},
		{`"binary_data_size": 6`, raw, `["AAAA"]`, 400, "besides"},
		{`"binary_data_size": 6`, raw, `[]`, 400, "data besides"},
		{`"binary_data_size": 6`, raw, `null`, 0, ""},
		{`"binary_data_size": 7`, raw, ``, 400, "binary_data_size 7"},
		{`"binary_data_size": null`, raw, ``, 400, "binary_data_size null"},
		{`"binary_data_size": 3`, ``, `["AAAA"]`, 400, "binary_data_size 3"},
		{`"foo": 1`, ``, `["AAAA"]`, 400, `input "image": no parameter "foo": want binary_data_size`},
		{`"classification": 3`, ``, `["AAAA"]`, 400, `input "image": no parameter "classification"`},
		{`"binary_data_sise": 6`, ``, `["AAAA"]`, 400, `input "image": no parameter "binary_data_sise"`},
		{`"shared_memory_region": "a", "shared_memory_byte_size": 6`, ``, ``, 501, "shared memory is not supported"},
	} {
		data := test.data
		if data != "" {
			data = `, "data": ` + data
		}
		text := `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {` + test.parameters + `}` + data + `}]}`
		q := &request{Request: httptest.NewRequest("POST", "/", nil)}
		q.Header.Set(lengthHeader, strconv.Itoa(len(text)))
		in, err := parseInfer(q, []byte(text+test.raw), false, nil)
		if err == nil {
			err = in.check()
		}
		in, err2 := readInfer(&jsonReader{data: []byte(text)})
		if err2 != nil {
			t.Fatal(text, err2)
		}
		one := &oip.ModelInferRequest_InferInputTensor{Name: "image", Datatype: "BYTES", Shape: []int64{1}, Parameters: choices(in.Inputs[0].Parameters)}
		message := &oip.ModelInferRequest{Inputs: []*oip.ModelInferRequest_InferInputTensor{one}}
		if test.raw != "" {
			message.RawInputContents = [][]byte{[]byte(test.raw)}
		}
		if test.data != "" && test.data != "null" {
			one.Contents = &oip.InferTensorContents{BytesContents: [][]byte{{1}}}
		}
		over, err2 := fromMessage(message)
		if err2 == nil {
			err2 = over.check()
		}
		for where, err := range map[string]error{"REST": err, "gRPC": err2} {
			code := 0
			if err != nil {
				code, _ = status(err)
			}
			if code != test.status || err != nil && where == "REST" && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s: %v, want %d %s", where, text, err, test.status, test.want)
			}
		}
		if test.status == 0 && test.raw != "" && (string(over.Inputs[0].raw) != raw) {
			t.Errorf("%s: %q", text, over.Inputs[0].raw)
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
