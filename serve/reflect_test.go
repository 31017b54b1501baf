package serve_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcreflection "google.golang.org/grpc/reflection"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/mobilenet-go/mobilenet/serve"
)

// TestReflection finds out by grpc-go's client of server reflection which services there
// are, as grpcurl does, and calls each of their methods by what it was told alone.
func TestReflection(t *testing.T) {
	addr := listen(t, serve.Options{}, serve.Listen{})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), never)
	defer cancel()
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflection.ServerReflectionRequest) *reflection.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var names []string
	for _, s := range ask(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "grpc.health.v1.Health grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection inference.GRPCInferenceService" {
		t.Fatal(got)
	}
	methods := 0
	for _, name := range names {
		set := &descriptorpb.FileDescriptorSet{}
		for _, data := range ask(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}}).GetFileDescriptorResponse().GetFileDescriptorProto() {
			f := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(data, f); err != nil {
				t.Fatal(err)
			}
			set.File = append(set.File, f)
		}
		files, err := protodesc.NewFiles(set)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		list := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range list.Len() {
			callByDescription(t, ctx, conn, list.Get(i))
		}
		methods += list.Len()
	}
	if methods != 15 {
		t.Errorf("%d methods", methods)
	}
	for _, r := range []*reflection.ServerReflectionRequest{
		{MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "mobilenet.Empty"}},
		{MessageRequest: &reflection.ServerReflectionRequest_FileByFilename{FileByFilename: "google/protobuf/descriptor.proto"}},
		{MessageRequest: &reflection.ServerReflectionRequest_FileContainingExtension{FileContainingExtension: &reflection.ExtensionRequest{ContainingType: "inference.Empty", ExtensionNumber: 1}}},
	} {
		if e := ask(r).GetErrorResponse(); e.GetErrorCode() != int32(codes.NotFound) {
			t.Errorf("%v: %v", r, e)
		}
	}
	if err := stream.Send(&reflection.ServerReflectionRequest{Host: strings.Repeat("x", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}

	old, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	if err := old.SendMsg(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer := &reflection.ServerReflectionResponse{} // v1alpha's differ by name only
	if err := old.RecvMsg(answer); err != nil || len(answer.GetListServicesResponse().GetService()) != len(names) {
		t.Errorf("v1alpha: %v, %v", answer, err)
	}
	if _, err := protoregistry.GlobalFiles.FindDescriptorByName("inference.ModelInferRequest"); err == nil {
		t.Error("the public name is taken from other libraries in the program")
	}
}

// callByDescription calls a method with messages made of its description.
func callByDescription(t *testing.T, ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) {
	t.Helper()
	path := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	text := map[protoreflect.Name]string{
		"ModelReady": `{"name": "fashion"}`, "ModelMetadata": `{"name": "fashion"}`, "ModelConfig": `{"name": "fashion"}`,
		"ModelInfer": `{"modelName": "fashion"}`, "ModelStreamInfer": `{"modelName": "fashion"}`,
		"RepositoryModelLoad": `{"modelName": "fashion"}`, "RepositoryModelUnload": `{"modelName": "none"}`,
	}[m.Name()]
	if text != "" {
		if err := protojson.Unmarshal([]byte(text), in); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	want := map[protoreflect.Name]codes.Code{"ModelInfer": codes.InvalidArgument, "ServerReflectionInfo": codes.InvalidArgument, "RepositoryModelUnload": codes.NotFound}[m.Name()]
	var err error
	if m.IsStreamingClient() {
		var stream grpc.ClientStream
		if stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path); err == nil {
			if err = stream.SendMsg(in); err == nil {
				err = stream.RecvMsg(out)
			}
		}
	} else {
		err = conn.Invoke(ctx, path, in, out)
	}
	if status.Code(err) != want {
		t.Errorf("%s: %v", path, err)
	}
	if len(out.GetUnknown()) > 0 {
		t.Errorf("%s: fields that aren't described: %x", path, out.GetUnknown())
	}
}

// TestReflectionItself: reflection describes itself as grpc-go's own server does, and takes
// a request that asks nothing as that does.
func TestReflectionItself(t *testing.T) {
	theirs := grpc.NewServer()
	grpcreflection.Register(theirs)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go theirs.Serve(l)
	defer theirs.Stop()
	ask := func(addr string, r *reflection.ServerReflectionRequest) (*reflection.ServerReflectionResponse, error) {
		t.Helper()
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), never)
		defer cancel()
		stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		return stream.Recv()
	}
	ours := listen(t, serve.Options{}, serve.Listen{})
	described := func(addr, symbol string) *descriptorpb.FileDescriptorProto {
		t.Helper()
		answer, err := ask(addr, &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
		if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) != 1 {
			t.Fatalf("%s: %v, %v", symbol, answer, err)
		}
		f := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(answer.GetFileDescriptorResponse().FileDescriptorProto[0], f); err != nil {
			t.Fatal(err)
		}
		f.Options = nil // packages of Go and Java
		return f
	}
	for _, version := range []string{"v1", "v1alpha"} {
		for _, symbol := range []string{".ServerReflection", ".ServerReflection.ServerReflectionInfo", ".ServerReflectionRequest"} {
			symbol = "grpc.reflection." + version + symbol
			if got, want := described(ours, symbol), described(l.Addr().String(), symbol); !proto.Equal(got, want) {
				t.Errorf("%s:\n%v\nwant\n%v", symbol, got, want)
			}
		}
	}
	nothing := &reflection.ServerReflectionRequest{}
	_, want := ask(l.Addr().String(), nothing)
	if _, err := ask(ours, nothing); status.Code(err) != codes.InvalidArgument || status.Code(want) != status.Code(err) {
		t.Errorf("asked nothing: %v, and grpc-go says %v", err, want)
	}
}
