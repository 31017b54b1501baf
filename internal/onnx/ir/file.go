package ir

import (
	"bytes"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// The messages of the format.
type (
	Proto     = pb.ModelProto // a whole .onnx file
	Node      = pb.NodeProto
	Attribute = pb.AttributeProto
	Tensor    = pb.TensorProto
	ValueInfo = pb.ValueInfoProto
)

// Parse reads an .onnx file from memory. Raw data of tensors are slices of data;
// tensors keep their references to other files: see [LoadExternal].
func Parse(data []byte) (*Proto, error) {
	if err := scan(data); err != nil {
		return nil, err
	}
	rest, raw := strip(data)
	p := new(Proto)
	if err := proto.Unmarshal(rest, p); err != nil {
		return nil, fault.Brokenf("not an ONNX model: %v", err)
	}
	if p.Graph == nil {
		return nil, fault.At(int64(len(data)), "not an ONNX model: it has no graph")
	}
	restore(p, raw)
	return p, nil
}

// Marshal returns p as the bytes of an .onnx file. Equal models give equal bytes.
func Marshal(p *Proto) ([]byte, error) {
	var b bytes.Buffer
	err := Write(&b, p)
	return b.Bytes(), err
}

// Write serialises p tensor by tensor, so that the file is never in memory as a
// whole. The fields of a message may come in any order: the graph is the model's
// last, the initialisers are the graph's.
func Write(w io.Writer, p *Proto) error {
	marshal := proto.MarshalOptions{Deterministic: true}
	model, err := marshal.Marshal(without(p, "graph"))
	if err != nil {
		return err
	}
	graph, err := marshal.Marshal(without(p.Graph, "initializer"))
	if err != nil {
		return err
	}
	size := len(graph)
	for _, t := range p.Graph.GetInitializer() {
		size += protowire.SizeTag(5) + protowire.SizeBytes(marshal.Size(t))
	}
	buf := protowire.AppendTag(model, 7, protowire.BytesType) // ModelProto.graph
	buf = protowire.AppendVarint(buf, uint64(size))
	if _, err := w.Write(append(buf, graph...)); err != nil {
		return err
	}
	for _, t := range p.Graph.GetInitializer() {
		buf = protowire.AppendTag(buf[:0], 5, protowire.BytesType) // GraphProto.initializer
		buf = protowire.AppendVarint(buf, uint64(marshal.Size(t)))
		if buf, err = marshal.MarshalAppend(buf, t); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// without returns a copy of m that lacks a field and shares the others.
func without[M proto.Message](m M, field protoreflect.Name) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Name() != field {
			to.Set(f, v)
		}
		return true
	})
	to.SetUnknown(from.GetUnknown())
	return to.Interface().(M)
}
