package serve

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// service is the protocol's service over gRPC, with the methods of Triton's
// extensions. It shares the port with everything else.
const service = "/inference.GRPCInferenceService/"

// A message is a pointer to a struct of protoc's.
type message[T any] interface {
	*T
	proto.Message
}

// A requestKey finds the request in the context of a method.
type requestKey struct{}

// grpcRoutes adds the methods.
func (s *Server) grpcRoutes() {
	unary(s, service+"ServerLive", func(*request, *oip.Empty) (*oip.ServerLiveResponse, error) {
		return &oip.ServerLiveResponse{Live: true}, nil
	})
	unary(s, service+"ServerReady", func(q *request, _ *oip.Empty) (*oip.ServerReadyResponse, error) {
		return &oip.ServerReadyResponse{Ready: s.ready(q) == nil}, nil
	})
	unary(s, service+"ModelReady", func(q *request, in *oip.ModelRequest) (*oip.ModelReadyResponse, error) {
		_, _, err := s.models.find(in.Name, in.Version)
		return &oip.ModelReadyResponse{Ready: err == nil}, nil
	})
	unary(s, service+"ServerMetadata", func(*request, *oip.Empty) (*oip.ServerMetadataResponse, error) {
		return &oip.ServerMetadataResponse{Name: "mobilenet", Version: s.o.Version, Extensions: extensions}, nil
	})
	unary(s, service+"ModelMetadata", s.grpcMetadata)
	unary(s, service+"ModelConfig", s.grpcConfig)
	unary(s, service+"ModelStatistics", s.grpcStatistics)
	unary(s, service+"RepositoryIndex", s.grpcIndex)
	unary(s, service+"RepositoryModelLoad", func(q *request, in *oip.RepositoryModelRequest) (*oip.Empty, error) {
		q.SetPathValue("model", in.ModelName)
		return &oip.Empty{}, s.loadModel(q, len(in.ProtoReflect().GetUnknown()) > 0)
	})
	unary(s, service+"RepositoryModelUnload", func(q *request, in *oip.RepositoryModelRequest) (*oip.Empty, error) {
		q.SetPathValue("model", in.ModelName)
		return &oip.Empty{}, s.unload(q)
	})
	unary(s, service+"ModelInfer", s.grpcInfer)
	s.mount(service+"ModelStreamInfer", connect.NewBidiStreamHandler(service+"ModelStreamInfer", s.grpcStream, s.grpcOptions()...))
	unary(s, "/grpc.health.v1.Health/Check", s.grpcHealth)
	s.reflectionRoutes()
}

func (s *Server) grpcOptions() []connect.HandlerOption {
	return append(s.grpcPackings(), connect.WithCodec(codec{}), connect.WithReadMaxBytes(int(min(s.o.MaxBody, math.MaxInt32))))
}

// mount puts a method's handler behind the log and the metrics. What can't be done in
// time is refused before its message is read.
func (s *Server) mount(route string, h http.Handler) {
	refused := connect.NewErrorWriter(s.grpcOptions()...)
	s.mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		q := &request{w: w, began: start, deadline: start.Add(s.o.Deadline), status: http.StatusOK}
		q.Request = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		s.metrics.inFlight.Add(1)
		defer s.metrics.inFlight.Add(-1)
		defer q.free()
		if !isGRPC(r) {
			q.err = &failure{http.StatusUnsupportedMediaType, "want Content-Type: application/grpc; /v2 has the same over REST"}
			s.fail(q, q.err)
		} else if q.err = s.admit(q, route == service+"ModelInfer"); q.err != nil {
			_ = refused.Write(w, r, grpcError(q.err))
		}
		// Clients name all packings that they know; only those that pack want packed
		// answers, as numbers hardly become smaller and packing takes half a millisecond.
		if r.Header.Get("Grpc-Encoding") == "" {
			r.Header.Del("Grpc-Accept-Encoding")
		}
		if q.err == nil {
			h.ServeHTTP(w, q.Request)
			if q.err == nil {
				q.err = q.unheard()
			}
		}
		if q.err != nil {
			q.status, _ = status(q.err)
		}
		s.metrics.observe(route, q, time.Since(start), q.err)
		s.log(route, q, time.Since(start), q.err)
	})
}

// unheard is what connect has answered in the handler's place, for the log and the metrics: of
// a message that is none, is too large or finds no room.
func (q *request) unheard() error {
	said := func(name string) string {
		h := q.w.Header()
		return cmp.Or(h.Get(name), h.Get(http.TrailerPrefix+name))
	}
	text, _ := url.PathUnescape(said("Grpc-Message"))
	switch code := said("Grpc-Status"); {
	case code == "8" && said("Retry-After") != "": // RESOURCE_EXHAUSTED
		return &refusal{"bodies", text, time.Second}
	case code == "8":
		return &failure{http.StatusRequestEntityTooLarge, text}
	case code == "4" && q.slow != nil && q.slow.settle() != nil: // it lost its room
		return q.slow.settle()
	case code == "4": // DEADLINE_EXCEEDED, of a client's time
		return &failure{http.StatusRequestTimeout, text}
	case code == "1": // CANCELLED, which nobody hears
		return context.Canceled
	case code != "" && code != "0" && text != "":
		return badRequest(text)
	case !q.read:
		return badRequest("no message of the method's")
	}
	return nil
}

// isGRPC reports whether a request is one over gRPC, or gRPC-Web. connect would take JSON, too,
// for which there is REST.
func isGRPC(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && slices.Contains([]string{"application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc-web+proto"}, kind)
}

// admit refuses what can't be done in time, and otherwise has the room for messages
// taken as they come.
func (s *Server) admit(q *request, work bool) error {
	if work {
		if err := s.scheduler.refuse(1, q.deadline); err != nil {
			return err
		}
	}
	slow, err := s.slow(q)
	if err != nil {
		return err
	}
	slow.counts = true
	q.Request.Body = io.NopCloser(slow)
	return nil
}

// came ends the wait for a message, of which its bytes are no longer needed.
func (q *request) came(m proto.Message) error {
	q.read = true
	q.reading = time.Since(q.began)
	if err := q.slow.settle(); err != nil {
		return err
	}
	if err := q.slow.keep(int64(proto.Size(m))); err != nil {
		return err
	}
	if q.deadline.After(q.slow.deadline) {
		q.slow.allow(time.Time{})
	}
	return nil
}

// unary mounts a method that has one message and one answer.
func unary[In, Out any, M message[In], A message[Out]](s *Server, route string, f func(*request, *In) (*Out, error)) {
	s.mount(route, connect.NewUnaryHandler(route, func(ctx context.Context, in *connect.Request[In]) (*connect.Response[Out], error) {
		q := ctx.Value(requestKey{}).(*request)
		q.deadline = time.Now().Add(s.o.Deadline)
		var out *Out
		q.err = guarded(func() (err error) {
			if err = q.came(M(in.Msg)); err != nil {
				return err
			}
			if out, err = f(q, in.Msg); err != nil {
				return err
			}
			return q.answering(proto.Size(A(out)))
		})
		if q.err != nil {
			return nil, grpcError(q.err)
		}
		return connect.NewResponse(out), nil
	}, s.grpcOptions()...))
}

// grpcError gives an error the code that its status stands for.
func grpcError(err error) error {
	code, text := status(err)
	kind := map[int]connect.Code{
		http.StatusForbidden: connect.CodePermissionDenied, http.StatusNotFound: connect.CodeNotFound, http.StatusRequestEntityTooLarge: connect.CodeResourceExhausted,
		http.StatusTooManyRequests: connect.CodeResourceExhausted, http.StatusServiceUnavailable: connect.CodeUnavailable,
		http.StatusGatewayTimeout: connect.CodeDeadlineExceeded, http.StatusRequestTimeout: connect.CodeDeadlineExceeded,
		http.StatusNotImplemented: connect.CodeUnimplemented, http.StatusInternalServerError: connect.CodeInternal, statusClientGone: connect.CodeCanceled,
	}[code]
	if kind == 0 {
		kind = connect.CodeInvalidArgument
	}
	e := connect.NewError(kind, errors.New(text))
	if after := retryAfter(err); after != "" {
		e.Meta().Set("Retry-After", after)
	}
	return e
}

// grpcHealth is gRPC's health checking protocol: load balancers and Kubernetes' probes
// ask for the server (""), the service or a model by its name.
func (s *Server) grpcHealth(q *request, in *oip.HealthCheckRequest) (*oip.HealthCheckResponse, error) {
	err := s.ready(q)
	if in.Service != "" && in.Service != strings.Trim(service, "/") {
		if _, _, err = s.models.find(in.Service, ""); err != nil && s.models.slot(in.Service) == nil {
			return nil, err
		}
	}
	if err != nil {
		return &oip.HealthCheckResponse{Status: oip.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &oip.HealthCheckResponse{Status: oip.HealthCheckResponse_SERVING}, nil
}

func (s *Server) grpcMetadata(q *request, in *oip.ModelRequest) (*oip.ModelMetadataResponse, error) {
	m, tensor, err := s.models.find(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	list := func(ports []port) (out []*oip.ModelMetadataResponse_TensorMetadata) {
		for _, p := range ports {
			out = append(out, &oip.ModelMetadataResponse_TensorMetadata{Name: p.Name, Datatype: p.Datatype, Shape: p.Shape})
		}
		return out
	}
	ins, outs := m.ports(tensor)
	return &oip.ModelMetadataResponse{Name: in.Name, Versions: []string{version}, Platform: platform, Inputs: list(ins), Outputs: list(outs)}, nil
}

func (s *Server) grpcConfig(q *request, in *oip.ModelRequest) (*oip.ModelConfigResponse, error) {
	m, tensor, err := s.models.find(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	kinds := map[string]oip.DataType{"BYTES": oip.DataType_TYPE_STRING, "UINT8": oip.DataType_TYPE_UINT8, "FP32": oip.DataType_TYPE_FP32}
	c := &oip.ModelConfig{Name: in.Name, Platform: platform, Backend: platform}
	ins, outs := m.ports(tensor)
	for _, p := range ins {
		c.Input = append(c.Input, &oip.ModelInput{Name: p.Name, DataType: kinds[p.Datatype], Dims: p.Shape})
	}
	for _, p := range outs {
		c.Output = append(c.Output, &oip.ModelOutput{Name: p.Name, DataType: kinds[p.Datatype], Dims: p.Shape})
	}
	return &oip.ModelConfigResponse{Config: c}, nil
}

// grpcStatistics has one model's, or without a name those of all.
func (s *Server) grpcStatistics(q *request, in *oip.ModelRequest) (*oip.ModelStatisticsResponse, error) {
	var names []string
	if in.Name != "" {
		m, _, err := s.models.find(in.Name, in.Version)
		if err != nil {
			return nil, err
		}
		names = []string{m.name}
	} else {
		for _, slot := range s.models.slots {
			names = append(names, slot.Name)
		}
	}
	out := &oip.ModelStatisticsResponse{}
	for _, name := range names {
		st := s.metrics.of(name)
		d := func(s span) *oip.StatisticDuration { return &oip.StatisticDuration{Count: s.Count, Ns: s.Ns} }
		out.ModelStats = append(out.ModelStats, &oip.ModelStatistics{
			Name: name, Version: version, LastInference: uint64(st.lastMilli()), InferenceCount: st.photos, ExecutionCount: st.requests,
			InferenceStats: &oip.InferStatistics{
				Success: d(st.success), Fail: d(st.fail), Queue: d(st.queue),
				ComputeInput: d(st.input), ComputeInfer: d(st.infer), ComputeOutput: d(st.output),
			},
		})
	}
	return out, nil
}

func (s *Server) grpcIndex(q *request, in *oip.RepositoryIndexRequest) (*oip.RepositoryIndexResponse, error) {
	out := &oip.RepositoryIndexResponse{}
	for _, e := range s.models.index(in.Ready) {
		out.Models = append(out.Models, &oip.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return out, nil
}

// grpcInfer runs a model. Outputs are raw, as Triton's are.
func (s *Server) grpcInfer(q *request, in *oip.ModelInferRequest) (*oip.ModelInferResponse, error) {
	s.infersOn(q, in.ModelName)
	m, takesTensors, err := s.models.find(in.ModelName, in.ModelVersion)
	if err != nil {
		return nil, err
	}
	plain, err := fromMessage(in)
	if err != nil {
		return nil, err
	}
	answer, err := s.inferOn(q, plain, m, takesTensors)
	if err != nil {
		return nil, err
	}
	out := &oip.ModelInferResponse{ModelName: in.ModelName, ModelVersion: answer.Version, Id: answer.ID}
	for _, t := range answer.Outputs {
		out.Outputs = append(out.Outputs, &oip.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape})
		out.RawOutputContents = append(out.RawOutputContents, t.raw)
	}
	return out, nil
}

// grpcStream answers requests of a stream one after the other. An error of one is its
// answer, which has a line in the log, and the next follows.
func (s *Server) grpcStream(ctx context.Context, stream *connect.BidiStream[oip.ModelInferRequest, oip.ModelStreamInferResponse]) error {
	q := ctx.Value(requestKey{}).(*request)
	return converse(q, stream, func(in *oip.ModelInferRequest) (*oip.ModelStreamInferResponse, error) {
		start := time.Now()
		one := &request{Request: q.Request, w: q.w, slow: q.slow, began: start, deadline: start.Add(s.o.Deadline), status: http.StatusOK}
		out := &oip.ModelStreamInferResponse{}
		one.err = guarded(func() (err error) {
			if err = one.came(in); err == nil {
				out.InferResponse, err = s.grpcInfer(one, in)
			}
			return err
		})
		if one.err != nil {
			one.status, out.ErrorMessage = status(one.err)
			out.InferResponse = &oip.ModelInferResponse{Id: in.Id, ModelName: in.ModelName}
		}
		took := time.Since(start)
		s.metrics.observe(service+"ModelStreamInfer", one, took, one.err)
		if one.err != nil { // the stream's own line has the status of the stream
			s.log(service+"ModelStreamInfer", one, took, one.err)
		}
		return out, nil
	})
}

// converse answers the messages of a stream by f, one after the other, until the client has
// no more or f an error.
func converse[In, Out any, A message[Out]](q *request, stream *connect.BidiStream[In, Out], f func(*In) (*Out, error)) error {
	q.read = true
	for {
		q.slow.begin()
		q.slow.allow(time.Now().Add(streamIdle))
		in, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out, err := f(in)
		if err == nil {
			err = q.answering(proto.Size(A(out)))
		}
		if err != nil {
			return grpcError(err)
		}
		if err := stream.Send(out); err != nil {
			return err
		}
		_ = http.NewResponseController(q.w).SetWriteDeadline(time.Time{}) // which answering set
		q.slow.give()
	}
}

// streamIdle is how long the next request of a stream may take.
const streamIdle = 10 * time.Minute

// fromMessage turns a request into that of the REST route, with binary tensors.
func fromMessage(in *oip.ModelInferRequest) (*inferRequest, error) {
	out := &inferRequest{ID: in.Id, Parameters: parametersOf(in.Parameters)}
	raw := in.RawInputContents
	if len(raw) > 0 && len(raw) != len(in.Inputs) {
		return nil, badRequest("raw_input_contents: as many as inputs, or none")
	}
	for i, t := range in.Inputs {
		one := &tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Parameters: parametersOf(t.Parameters), bin: true}
		switch size, given := one.Parameters["binary_data_size"]; {
		case given && (len(raw) == 0 || size != float64(len(raw[i]))): // as KServe's client has it, it may be there
			return nil, one.fail("binary_data_size %s: want none, or the length of its raw_input_contents", jsonText(size))
		case len(raw) > 0 && t.Contents != nil:
			return nil, one.fail("contents besides raw_input_contents")
		case len(raw) > 0:
			one.raw = raw[i]
		default:
			var err error
			if one.raw, err = contentBytes(one, t.Contents); err != nil {
				return nil, err
			}
		}
		out.Inputs = append(out.Inputs, one)
	}
	for _, o := range in.Outputs {
		out.Outputs = append(out.Outputs, &wantedOutput{Name: o.Name, Parameters: parametersOf(o.Parameters)})
	}
	return out, nil
}

// parametersOf returns parameters as JSON has them.
func parametersOf(all map[string]*oip.InferParameter) map[string]any {
	out := make(map[string]any, len(all))
	for name, p := range all {
		out[name] = parameter(p)
	}
	return out
}

// parameter returns a value as JSON has it.
func parameter(p *oip.InferParameter) any {
	switch v := p.GetParameterChoice().(type) {
	case *oip.InferParameter_BoolParam:
		return v.BoolParam
	case *oip.InferParameter_Int64Param:
		return float64(v.Int64Param)
	case *oip.InferParameter_Uint64Param:
		return float64(v.Uint64Param)
	case *oip.InferParameter_DoubleParam:
		return v.DoubleParam
	case *oip.InferParameter_StringParam:
		return v.StringParam
	}
	return nil
}

// contentBytes returns typed contents as the binary extension has them.
func contentBytes(t *tensor, c *oip.InferTensorContents) ([]byte, error) {
	raw := make([]byte, 0, 4*len(c.GetFp32Contents())+len(c.GetUintContents()))
	for _, v := range c.GetFp32Contents() {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	for _, v := range c.GetUintContents() {
		if v > 255 {
			return nil, t.fail("%d in place of a number from 0 to 255", v)
		}
		raw = append(raw, byte(v))
	}
	for _, v := range c.GetBytesContents() {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(v)))
		raw = append(raw, v...)
	}
	return raw, nil
}
