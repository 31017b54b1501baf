package serve

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// reflectionRoutes add gRPC's server reflection, by which tools like grpcurl find out what
// may be called, and with which messages.
func (s *Server) reflectionRoutes() {
	options := append(s.grpcOptions(), connect.WithReadMaxBytes(16<<10)) // a name, which is sent back
	for _, version := range []string{"v1", "v1alpha"} {                  // the same messages
		route := "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo"
		s.mount(route, connect.NewBidiStreamHandler(route, s.reflect, options...))
	}
}

// reflect answers the questions of a stream one after the other.
func (s *Server) reflect(ctx context.Context, stream *connect.BidiStream[oip.ReflectionRequest, oip.ReflectionResponse]) error {
	q := ctx.Value(requestKey{}).(*request)
	q.read = true
	for {
		q.awaitMessage()
		in, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := reflection(in)
		if err := q.answering(proto.Size(out)); err != nil {
			return grpcError(err)
		}
		if err := stream.Send(out); err != nil {
			return err
		}
		q.answered()
	}
}

// reflection is the answer to a question.
func reflection(in *oip.ReflectionRequest) *oip.ReflectionResponse {
	out := &oip.ReflectionResponse{ValidHost: in.Host, OriginalRequest: in}
	find := func(is func(*oip.Description) bool) {
		for _, d := range oip.Descriptions() {
			if is(d) {
				out.MessageResponse = &oip.ReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: &oip.ReflectionResponse_Files{FileDescriptorProto: [][]byte{d.Bytes}}}
			}
		}
	}
	switch ask := in.MessageRequest.(type) {
	case *oip.ReflectionRequest_ListServices:
		all := &oip.ReflectionResponse_Services{}
		for _, d := range oip.Descriptions() {
			all.Service = append(all.Service, &oip.ReflectionResponse_Service{Name: d.Service})
		}
		out.MessageResponse = &oip.ReflectionResponse_ListServicesResponse{ListServicesResponse: all}
	case *oip.ReflectionRequest_FileByFilename:
		find(func(d *oip.Description) bool { return d.Path() == ask.FileByFilename })
	case *oip.ReflectionRequest_FileContainingSymbol:
		find(func(d *oip.Description) bool { return d.Has(ask.FileContainingSymbol) })
	case *oip.ReflectionRequest_AllExtensionNumbersOfType: // there are no extensions
		find(func(d *oip.Description) bool { return d.Has(ask.AllExtensionNumbersOfType) })
		if out.MessageResponse != nil {
			out.MessageResponse = &oip.ReflectionResponse_AllExtensionNumbersResponse{AllExtensionNumbersResponse: &oip.ReflectionResponse_ExtensionNumbers{BaseTypeName: ask.AllExtensionNumbersOfType}}
		}
	}
	if out.MessageResponse == nil {
		out.MessageResponse = &oip.ReflectionResponse_ErrorResponse{ErrorResponse: &oip.ReflectionResponse_Error{ErrorCode: int32(connect.CodeNotFound), ErrorMessage: "there is no such file, symbol or extension"}}
	}
	return out
}
