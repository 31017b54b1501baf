package oip

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Description tells clients of a service: it is a FileDescriptorProto in which the package
// has its public name. The bytes are rewritten, as a library that builds descriptors would
// be large.
type Description struct {
	Service string // with its package's public name
	Path    string // of the file, as it names itself
	Bytes   []byte

	file        protoreflect.FileDescriptor
	own, public string
}

// Descriptions are those of the services that clients may call. Two of them are of one file,
// whose messages are the same for both.
var Descriptions = sync.OnceValue(func() []*Description {
	return []*Description{
		describe(File_oip_proto, file_oip_proto_rawDesc, "oip.proto", "inference"),
		describe(File_oip_health_proto, file_oip_health_proto_rawDesc, "oip_health.proto", "grpc.health.v1"),
		describe(File_oip_reflection_proto, file_oip_reflection_proto_rawDesc, "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"),
		describe(File_oip_reflection_proto, file_oip_reflection_proto_rawDesc, "grpc/reflection/v1alpha/reflection.proto", "grpc.reflection.v1alpha"),
	}
})

func describe(f protoreflect.FileDescriptor, raw, path, public string) *Description {
	own := string(f.Package())
	rename := func(name string) string {
		switch rest, isType := strings.CutPrefix(name, "."+own+"."); {
		case isType:
			return "." + public + "." + rest
		case name == own:
			return public
		case name == f.Path():
			return path
		}
		return name
	}
	return &Description{public + "." + string(f.Services().Get(0).Name()), path, renamed([]byte(raw), names["file"], rename), f, own, public}
}

// names are the fields of descriptor.proto's messages that have the names of a package, a
// file or types, or messages with such fields.
var names = map[string]map[protowire.Number]string{
	"file":    {1: "", 2: "", 4: "message", 6: "service"}, // name, package
	"message": {2: "field", 3: "message"},
	"field":   {6: ""}, // type_name
	"service": {2: "method"},
	"method":  {2: "", 3: ""}, // input_type, output_type
}

// renamed returns a message with other names in the fields that have such.
func renamed(raw []byte, fields map[protowire.Number]string, rename func(string) string) (out []byte) {
	for len(raw) > 0 {
		number, kind, head := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(number, kind, raw[head:])
		if head < 0 || size < 0 {
			panic("oip: a descriptor of protoc's that can't be read")
		}
		if message, ok := fields[number]; !ok {
			out = append(out, raw[:head+size]...)
		} else {
			value, _ := protowire.ConsumeBytes(raw[head:])
			out = append(out, raw[:head]...)
			if message == "" {
				out = protowire.AppendString(out, rename(string(value)))
			} else {
				out = protowire.AppendBytes(out, renamed(value, names[message], rename))
			}
		}
		raw = raw[head+size:]
	}
	return out
}

// Has reports whether a symbol, under the public name, is in the file: a service, a method,
// a message or a field.
func (d *Description) Has(symbol string) bool {
	rest, ok := strings.CutPrefix(symbol, d.public+".")
	if !ok {
		return false
	}
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(d.own + "." + rest))
	return err == nil && found.ParentFile() == d.file
}
