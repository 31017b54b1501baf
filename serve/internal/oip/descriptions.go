package oip

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Description tells clients of a service: it is a FileDescriptorProto in which the package
// has its public name. That is as long as our own name, so that the bytes can be replaced
// where they are, and no library that builds descriptors is in the program.
type Description struct {
	Service string // with its package's public name
	Bytes   []byte

	file        protoreflect.FileDescriptor
	own, public string
}

// Descriptions are those of the services that clients may call.
var Descriptions = sync.OnceValue(func() []*Description {
	return []*Description{
		describe(File_oip_proto, file_oip_proto_rawDesc, "mobilenet", "inference"),
		describe(File_oip_health_proto, file_oip_health_proto_rawDesc, "mobilenet.live", "grpc.health.v1"),
	}
})

func describe(f protoreflect.FileDescriptor, raw, own, public string) *Description {
	length := string([]byte{2<<3 | 2, byte(len(own))}) // of field 2, package
	raw = strings.Replace(raw, length+own, length+public, 1)
	raw = strings.ReplaceAll(raw, "."+own+".", "."+public+".") // of types
	return &Description{public + "." + string(f.Services().Get(0).Name()), []byte(raw), f, own, public}
}

// Path is the file's, as it names itself.
func (d *Description) Path() string { return d.file.Path() }

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
