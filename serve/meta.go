package serve

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// extensions are those of the Open Inference Protocol that are spoken here.
var extensions = []string{"binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"}

func (s *Server) metadata(q *request) error {
	return replyJSON(q, map[string]any{"name": "mobilenet", "version": s.o.Version, "extensions": extensions})
}

// ready is whether traffic is welcome: not while the server goes down, though it
// answers what comes all the same.
func (s *Server) ready(q *request) error {
	if s.draining.Load() {
		return &failure{http.StatusServiceUnavailable, "the server is going down"}
	}
	return s.models.ready()
}

// sayReady has a body, as KServe's servers do, which KServe's client reads.
func (s *Server) sayReady(q *request) error {
	if err := s.ready(q); err != nil {
		return err
	}
	return replyJSON(q, map[string]bool{"ready": true})
}

// A port is an input or an output of a model.
type port struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// ports returns the inputs and outputs of a model. It takes one of the inputs.
func (m *loaded) ports(tensor bool) (in, out []port) {
	c := m.one.Config()
	h, w := c.InputSize()
	in = []port{{"image", "BYTES", []int64{-1, 1}}, {"pixels", "UINT8", []int64{-1, -1, -1, 3}}}
	if tensor {
		in = []port{{"input", "FP32", []int64{-1, 3, int64(h), int64(w)}}}
	}
	for _, name := range outputNames {
		n := c.Outcomes()
		if name == "embedding" {
			n = c.Network().Features()
		}
		out = append(out, port{name, "FP32", []int64{-1, int64(n)}})
	}
	if !tensor && m.hasCAM() {
		out = append(out, port{camOutput, "FP32", []int64{-1, -1, -1, -1}}) // [n,classes,height,width]
	}
	return in, out
}

const platform = "mobilenet"

func (s *Server) modelMetadata(q *request) error {
	m, tensor, err := s.models.find(q.PathValue("model"), q.PathValue("version"))
	if err != nil {
		return err
	}
	in, out := m.ports(tensor)
	return replyJSON(q, map[string]any{
		"name": q.PathValue("model"), "versions": []string{version}, "platform": platform, "inputs": in, "outputs": out,
	})
}

func (s *Server) modelReady(q *request) error {
	if _, _, err := s.models.find(q.PathValue("model"), q.PathValue("version")); err != nil {
		return err
	}
	return replyJSON(q, map[string]any{"name": q.PathValue("model"), "ready": true})
}

// modelConfig is the model configuration extension: what Triton's clients look for in
// it. A batch has its size in the shape, so that max_batch_size is 0.
func (s *Server) modelConfig(q *request) error {
	m, tensor, err := s.models.find(q.PathValue("model"), q.PathValue("version"))
	if err != nil {
		return err
	}
	type entry struct {
		Name string  `json:"name"`
		Type string  `json:"data_type"`
		Dims []int64 `json:"dims"`
	}
	list := func(ports []port) (out []entry) {
		for _, p := range ports {
			kind := map[string]string{"BYTES": "TYPE_STRING"}[p.Datatype]
			if kind == "" {
				kind = "TYPE_" + p.Datatype
			}
			out = append(out, entry{p.Name, kind, p.Shape})
		}
		return out
	}
	in, out := m.ports(tensor)
	return replyJSON(q, map[string]any{
		"name": q.PathValue("model"), "platform": platform, "backend": platform, "max_batch_size": 0, "input": list(in), "output": list(out),
	})
}

// index is the model repository extension: every model and whether it is there.
func (s *Server) index(q *request) error {
	var ready bool
	if err := s.readSmall(q, "ready", &ready); err != nil {
		return err
	}
	return replyJSON(q, s.models.index(ready))
}

// A modelState is a line of the index.
type modelState struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// index lists the models and their twins, or those alone that are ready.
func (m *models) index(ready bool) []modelState {
	list := []modelState{}
	for _, slot := range m.slots {
		for _, name := range []string{slot.Name, slot.Name + tensorSuffix} {
			if slot.now.Load() != nil {
				list = append(list, modelState{Name: name, Version: version, State: "READY"})
			} else if !ready {
				list = append(list, modelState{Name: name, State: "UNAVAILABLE", Reason: *slot.reason.Load()})
			}
		}
	}
	return list
}

// readSmall reads a member of a JSON object, both of which may be left out.
func (s *Server) readSmall(q *request, name string, v any) error {
	slow, err := s.slow(q)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(q.w, io.NopCloser(slow), 64<<10))
	if err != nil {
		return err
	}
	if err := slow.settle(); err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	r := &jsonReader{data: body}
	r.members(map[string]func(){name: func() { r.small(v) }}, func(string) { r.skip() })
	r.end()
	return jsonError(r.err, "")
}

// repositorySlot is the slot that a load or unload means, of one who may do it.
func (s *Server) repositorySlot(q *request) (*slot, error) {
	if err := s.mayChange(q.Request); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(q.PathValue("model"), tensorSuffix)
	if slot := s.models.slot(name); slot != nil {
		q.model = name
		return slot, nil
	}
	return nil, &failure{http.StatusNotFound, "there is no model \"" + name + "\": models are given when the server starts"}
}

// load reads a model's file again. Where it can't be, the old one stays.
func (s *Server) load(q *request) error {
	var parameters map[string]any
	if err := s.readSmall(q, "parameters", &parameters); err != nil {
		return err
	}
	return s.loadModel(q, len(parameters) > 0)
}

// loadModel takes the time that it needs: a file may have to be downloaded first.
func (s *Server) loadModel(q *request, parameters bool) error {
	slot, err := s.repositorySlot(q)
	if err != nil {
		return err
	}
	if parameters { // of Triton: another configuration, or the model's file itself
		return badRequest("parameters: a model is loaded from the file that the server was started with")
	}
	c := http.NewResponseController(q.w)
	_, _ = c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})
	before := slot.now.Load()
	if err := slot.load(q.Context(), s.o.Workers); err != nil {
		text := "model " + slot.Name + ": " + err.Error()
		if slot.now.Load() != nil {
			text += " (the one before stays)"
		}
		return badRequest(text)
	}
	slot.warn(s.o.Log, s.o.Deadline)
	slot.changed(s.o.Log, before)
	return nil
}

func (s *Server) unload(q *request) error {
	slot, err := s.repositorySlot(q)
	if err == nil {
		slot.unload()
	}
	return err
}
