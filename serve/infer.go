package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet/vision"
)

// lengthHeader says how many bytes of a body are JSON: the binary tensor data
// extension of the protocol. 0 means that there is none and the body is one input.
const lengthHeader = "Inference-Header-Content-Length"

// An inferRequest is the JSON of a request.
type inferRequest struct {
	ID         string          `json:"id"`
	Parameters map[string]any  `json:"parameters"`
	Inputs     []*tensor       `json:"inputs"`
	Outputs    []*wantedOutput `json:"outputs"`
}

// A wantedOutput is an output that a request asks for.
type wantedOutput struct {
	Name       string         `json:"name"`
	Parameters map[string]any `json:"parameters"`
}

// An inferAnswer is the JSON of the answer.
type inferAnswer struct {
	Model   string    `json:"model_name"`
	Version string    `json:"model_version"`
	ID      string    `json:"id,omitempty"`
	Outputs []*tensor `json:"outputs"`
}

// outputNames are the outputs of every model, in the order of an answer that nobody
// asked anything special of.
var outputNames = []string{"probabilities", "logits", "embedding"}

// infer is the Open Inference Protocol's route.
func (s *Server) infer(q *request) error {
	name := q.PathValue("model")
	s.infersOn(q, name)
	m, takesTensors, err := s.models.find(name, q.PathValue("version"))
	if err != nil {
		return err
	}
	b, err := s.body(q)
	if err != nil {
		return err
	}
	in, err := parseInfer(q, b.data, takesTensors, m)
	if err != nil {
		return err
	}
	out, err := s.inferOn(q, in, m, takesTensors)
	if err != nil {
		return err
	}
	out.Model = name
	in.Inputs = nil // which lie in the body
	return writeInfer(q, out, in)
}

// inferOn answers a request that has been read, its tensors in binary.
func (s *Server) inferOn(q *request, in *inferRequest, m *loaded, takesTensors bool) (*inferAnswer, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, t := range in.Inputs {
		t.until, t.room = q.deadline, q.slow.take
	}
	items, err := itemsOf(in, takesTensors, m, s.o.MaxPixels)
	q.reading = time.Since(q.began)
	if err != nil {
		return nil, err
	}
	want, err := in.settle(takesTensors, m, len(items))
	if err != nil {
		return nil, err
	}
	if err := s.answer(q, m, items, want); err != nil {
		return nil, err
	}
	for i, it := range items {
		if it.err != nil {
			code, text := status(it.err)
			return nil, &failure{code, fmt.Sprintf("element %d: %s", i, text)}
		}
	}
	out := &inferAnswer{Version: version, ID: in.ID}
	for _, w := range in.Outputs {
		t, err := outputOf(w, m, items)
		if err != nil {
			return nil, err
		}
		out.Outputs = append(out.Outputs, t)
	}
	return out, nil
}

// parseInfer reads a request's body, with or without binary data.
func parseInfer(q *request, data []byte, takesTensors bool, m *loaded) (*inferRequest, error) {
	head, tail := data, []byte(nil)
	if v := q.Header.Get(lengthHeader); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > len(data) {
			return nil, badRequest(fmt.Sprintf("%s: %s, of a body of %d bytes", lengthHeader, v, len(data)))
		}
		if n == 0 {
			return rawRequest(data, takesTensors, m)
		}
		head, tail = data[:n], data[n:]
	}
	in, err := readInfer(&jsonReader{data: head, until: q.deadline})
	if err != nil {
		return nil, err
	}
	for _, t := range in.Inputs {
		size, ok := t.Parameters["binary_data_size"]
		if !ok {
			continue
		}
		n, ok := size.(float64)
		if !ok || n < 0 || n != math.Trunc(n) || n > float64(len(tail)) {
			return nil, t.fail("binary_data_size %s, of %d bytes that are left", jsonText(size), len(tail))
		}
		if len(t.Data) > 0 && string(t.Data) != "null" {
			return nil, t.fail("data besides binary_data_size")
		}
		t.raw, t.bin = tail[:int(n)], true
		tail = tail[int(n):]
	}
	if len(tail) > 0 {
		return nil, badRequest(fmt.Sprintf("%d bytes behind the last input's data", len(tail)))
	}
	return in, nil
}

// maxListed is how many inputs and outputs a request may list: more than there are.
const maxListed = 16

// readInfer reads a request's JSON.
func readInfer(r *jsonReader) (*inferRequest, error) {
	in := &inferRequest{}
	few := func(n int) {
		if n == maxListed {
			r.stop(badRequest(fmt.Sprintf("more than %d inputs or outputs", n)))
		}
	}
	r.only(map[string]func(){
		"id":         func() { r.small(&in.ID) },
		"model_name": r.skip, "model_version": r.skip, // KServe's client says again what the path does
		"parameters": func() { in.Parameters = r.parameters() },
		"inputs":     func() { r.array(func() { few(len(in.Inputs)); in.Inputs = append(in.Inputs, readTensor(r)) }) },
		"outputs":    func() { r.array(func() { few(len(in.Outputs)); in.Outputs = append(in.Outputs, readOutput(r)) }) },
	})
	r.end()
	return in, jsonError(r.err, "")
}

// readOutput reads an output that is wanted, nil for null.
func readOutput(r *jsonReader) *wantedOutput {
	if r.null() {
		return nil
	}
	o := &wantedOutput{}
	r.only(map[string]func(){
		"name":       func() { r.small(&o.Name) },
		"parameters": func() { o.Parameters = r.parameters() },
	})
	return o
}

// jsonError is a client's for JSON that can't be read.
func jsonError(err error, want string) error {
	if err == nil || errors.As(err, new(*failure)) || errors.As(err, new(*refusal)) {
		return err
	}
	return badRequest("JSON: " + err.Error() + want)
}

// rawRequest takes the body for the model's only input: a photo, or values.
func rawRequest(data []byte, takesTensors bool, m *loaded) (*inferRequest, error) {
	t := &tensor{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}, bin: true, photo: data}
	if takesTensors {
		h, w := m.one.Config().InputSize()
		t = &tensor{Name: "input", Datatype: "FP32", bin: true, raw: data}
		t.Shape = []int64{int64(len(data) / (4 * 3 * h * w)), 3, int64(h), int64(w)}
	}
	return &inferRequest{Inputs: []*tensor{t}}, nil
}

// settle fills in the outputs of a request that names none, and returns what has to
// be computed.
func (in *inferRequest) settle(takesTensors bool, m *loaded, items int) (want wanted, err error) {
	if len(in.Outputs) == 0 {
		for _, name := range outputNames {
			in.Outputs = append(in.Outputs, &wantedOutput{Name: name})
		}
	}
	for i, o := range in.Outputs {
		switch {
		case slices.ContainsFunc(in.Outputs[:i], func(other *wantedOutput) bool { return other.Name == o.Name }):
			return want, badRequest(fmt.Sprintf("output %q: wanted twice", o.Name)) // an answer of any size
		case o.Name == "probabilities" || o.Name == "logits":
			want.Logits = true
		case o.Name == "embedding":
			want.Features = true
		case o.Name == camOutput && takesTensors:
			return want, badRequest("output " + camOutput + ": maps are of photos, not of tensors")
		case o.Name == camOutput:
			if want.cam, err = camOf(in.Parameters, m, items); err != nil {
				return want, err
			}
		default:
			return want, badRequest(fmt.Sprintf("no output %.40q: want %s or %s", o.Name, strings.Join(outputNames, ", "), camOutput))
		}
	}
	return want, nil
}

// itemsOf makes an item of each photo or image of the inputs.
func itemsOf(in *inferRequest, takesTensors bool, m *loaded, maxPixels int) ([]*item, error) {
	if len(in.Inputs) != 1 {
		return nil, badRequest(fmt.Sprintf("%d inputs: want one", len(in.Inputs)))
	}
	t := in.Inputs[0]
	var items []*item
	var err error
	switch kind := t.Name + " " + t.Datatype; {
	case takesTensors && kind == "input FP32":
		items, err = tensorItems(t, m)
	case !takesTensors && kind == "image BYTES":
		items, err = fileItems(t)
	case !takesTensors && kind == "pixels UINT8":
		items, err = pixelItems(t, maxPixels)
	case takesTensors:
		return nil, t.fail("datatype %s: want input, FP32", t.Datatype)
	default:
		return nil, t.fail("datatype %s: want image, BYTES, or pixels, UINT8", t.Datatype)
	}
	switch {
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, t.fail("nothing in it")
	case len(items) > maxPhotos:
		return nil, t.fail("%d in a request: at most %d", len(items), maxPhotos)
	}
	return items, nil
}

// few refuses a tensor of too many photos or images, before millions of values are read. The
// shape has as many dimensions as it should, or else the first says nothing.
func (t *tensor) few() error {
	if n, err := t.elements(); err == nil && n > maxPhotos && t.Shape[0] > maxPhotos {
		return t.fail("%d in a request: at most %d", t.Shape[0], maxPhotos)
	}
	return nil
}

// fileItems takes a BYTES tensor [n][1] or [n] for files of photos.
func fileItems(t *tensor) ([]*item, error) {
	if len(t.Shape) > 2 {
		return nil, t.fail("shape %v: want [n,1] or [n]", t.Shape)
	}
	if err := t.few(); err != nil {
		return nil, err
	}
	files, err := t.texts()
	var items []*item
	for _, f := range files {
		items = append(items, &item{file: f})
	}
	return items, err
}

// tensorItems cuts an FP32 tensor [n][3][H][W] into images.
func tensorItems(t *tensor, m *loaded) ([]*item, error) {
	h, w := m.one.Config().InputSize()
	if len(t.Shape) != 4 || t.Shape[1] != 3 || t.Shape[2] != int64(h) || t.Shape[3] != int64(w) {
		return nil, t.fail("shape %v: want [n,3,%d,%d]", t.Shape, h, w)
	}
	if err := t.few(); err != nil {
		return nil, err
	}
	v, err := t.floats()
	if err != nil {
		return nil, err
	}
	var items []*item
	for n := 3 * h * w; len(v) > 0; v = v[n:] {
		items = append(items, &item{tensor: v[:n]})
	}
	return items, nil
}

// pixelItems cuts a UINT8 tensor [n][H][W][3] into photos of at most maxPixels each.
func pixelItems(t *tensor, maxPixels int) ([]*item, error) {
	if len(t.Shape) != 4 || t.Shape[3] != 3 || t.Shape[1] < 1 || t.Shape[2] < 1 {
		return nil, t.fail("shape %v: want [n,height,width,3]", t.Shape)
	}
	if err := t.few(); err != nil {
		return nil, err
	}
	v, err := t.octets()
	if err != nil {
		return nil, err
	}
	if t.Shape[1] > int64(maxPixels)/t.Shape[2] {
		return nil, &failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("tensor %q: %dx%d pixels, more than the limit of %d (--max-pixels)", t.Name, t.Shape[2], t.Shape[1], maxPixels)}
	}
	h, w := int(t.Shape[1]), int(t.Shape[2])
	var items []*item
	for n := 3 * h * w; len(v) > 0; v = v[n:] {
		items = append(items, &item{pixels: &vision.Image{W: w, H: h, Pix: v[:n]}})
	}
	return items, nil
}

// outputOf collects an output of all items.
func outputOf(o *wantedOutput, m *loaded, items []*item) (*tensor, error) {
	n := int64(len(items))
	if o.Name == camOutput && o.Parameters["classification"] == nil {
		return camTensor(items), nil
	}
	if k, ok := o.Parameters["classification"]; ok {
		return classification(o, k, m, items)
	}
	var all []float32
	for _, it := range items {
		switch o.Name {
		case "embedding":
			all = append(all, it.out.Features...)
		case "logits":
			all = append(all, it.out.Logits...)
		default:
			p, err := m.one.Probabilities(it.out.Logits)
			if err != nil {
				return nil, err
			}
			for _, v := range p {
				all = append(all, float32(v))
			}
		}
	}
	return floatTensor(o.Name, []int64{n, int64(len(all)) / n}, all), nil
}

// classification is the extension of that name: the best k as "value:index:label".
func classification(o *wantedOutput, k any, m *loaded, items []*item) (*tensor, error) {
	x, ok := k.(float64)
	if !ok || x < 1 || x != math.Trunc(x) || x > 1e6 || o.Name == "embedding" || o.Name == camOutput {
		return nil, badRequest(fmt.Sprintf("output %s: classification %s: want a number of classes, of logits or probabilities", o.Name, jsonText(k)))
	}
	top := min(int(x), m.one.Config().Outcomes())
	var all []string
	for _, it := range items {
		best, err := m.one.Best(it.out.Logits, top)
		if err != nil {
			return nil, err
		}
		for _, p := range best {
			value := p.Probability
			if o.Name == "logits" {
				value = it.out.Logits[p.Index]
			}
			text := fmt.Sprintf("%f:%d", value, p.Index)
			if m.one.Named() {
				text += ":" + p.Label
			}
			all = append(all, text)
		}
	}
	return textTensor(o.Name, []int64{int64(len(items)), int64(top)}, all), nil
}

// writeInfer answers, with the outputs in binary that are wanted so.
func writeInfer(q *request, out *inferAnswer, in *inferRequest) error {
	var tail bytes.Buffer
	for i, t := range out.Outputs {
		binary, told := in.Outputs[i].Parameters["binary_data"].(bool)
		if !told {
			binary, _ = in.Parameters["binary_data_output"].(bool)
		}
		if binary {
			t.Parameters = map[string]any{"binary_data_size": len(t.raw)}
			tail.Write(t.raw)
		} else if err := t.plain(); err != nil {
			return err
		}
	}
	head, err := json.Marshal(out)
	if err != nil {
		return err
	}
	if tail.Len() == 0 {
		return reply(q, "application/json", head)
	}
	q.w.Header().Set(lengthHeader, strconv.Itoa(len(head)))
	return reply(q, "application/octet-stream", append(head, tail.Bytes()...))
}
