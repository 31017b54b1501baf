package serve

import (
	"context"

	"connectrpc.com/connect"

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
func (s *Server) reflect(ctx context.Context, stream *connect.BidiStream[oip.ServerReflectionRequest, oip.ServerReflectionResponse]) error {
	q := ctx.Value(requestKey{}).(*request)
	return converse(q, stream, func(in *oip.ServerReflectionRequest) (*oip.ServerReflectionResponse, error) {
		if in.MessageRequest == nil {
			q.err = badRequest("a question about nothing: want a service, a file, a symbol or an extension")
			return nil, q.err
		}
		return reflection(in), nil
	})
}

// reflection is the answer to a question.
func reflection(in *oip.ServerReflectionRequest) *oip.ServerReflectionResponse {
	out := &oip.ServerReflectionResponse{ValidHost: in.Host, OriginalRequest: in}
	find := func(is func(*oip.Description) bool) {
		for _, d := range oip.Descriptions() {
			if is(d) {
				out.MessageResponse = &oip.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: &oip.FileDescriptorResponse{FileDescriptorProto: [][]byte{d.Bytes}}}
			}
		}
	}
	switch ask := in.MessageRequest.(type) {
	case *oip.ServerReflectionRequest_ListServices:
		all := &oip.ListServiceResponse{}
		for _, d := range oip.Descriptions() {
			all.Service = append(all.Service, &oip.ServiceResponse{Name: d.Service})
		}
		out.MessageResponse = &oip.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: all}
	case *oip.ServerReflectionRequest_FileByFilename:
		find(func(d *oip.Description) bool { return d.Path == ask.FileByFilename })
	case *oip.ServerReflectionRequest_FileContainingSymbol:
		find(func(d *oip.Description) bool { return d.Has(ask.FileContainingSymbol) })
	case *oip.ServerReflectionRequest_AllExtensionNumbersOfType: // there are no extensions
		find(func(d *oip.Description) bool { return d.Has(ask.AllExtensionNumbersOfType) })
		if out.MessageResponse != nil {
			out.MessageResponse = &oip.ServerReflectionResponse_AllExtensionNumbersResponse{AllExtensionNumbersResponse: &oip.ExtensionNumberResponse{BaseTypeName: ask.AllExtensionNumbersOfType}}
		}
	}
	if out.MessageResponse == nil {
		out.MessageResponse = &oip.ServerReflectionResponse_ErrorResponse{ErrorResponse: &oip.ErrorResponse{ErrorCode: int32(connect.CodeNotFound), ErrorMessage: "there is no such file, symbol or extension"}}
	}
	return out
}
