package onnx

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// hostile are files that ask for much more than they are, each made here. They are the
// kinds; whatever is done with one must end soon, in bounded memory, without a panic.
var hostile = map[string]func() []byte{
	"reshape divides by zero": func() []byte {
		return wired([]*ir.Node{nodeFor("Reshape", "x s", "y")}, ir.IntTensor("s", []int64{1 << 32, 1 << 32, -1}, 3))
	},
	"pads of constants": func() []byte {
		var nodes []*ir.Node
		for i := range 300 {
			nodes = append(nodes, nodeFor("Pad", "c p", fmt.Sprint("o", i)))
		}
		return wired(append(nodes, nodeFor("Relu", "x", "y")), ir.IntTensor("c", []int64{5}, 1), ir.IntTensor("p", []int64{0, 1<<26 - 1}, 2))
	},
	"a large constant read by many": func() []byte {
		var nodes []*ir.Node
		for i := range 5000 {
			nodes = append(nodes, nodeFor("ReduceMean", "w", fmt.Sprint("o", i)))
		}
		return wired(append(nodes, nodeFor("Relu", "x", "y")), ir.FloatTensor("w", make([]float32, 1<<20), 1<<20))
	},
	"weights that many take": func() []byte {
		var nodes []*ir.Node
		for i := range 2000 {
			nodes = append(nodes, nodeFor("ConvInteger", fmt.Sprintf("%s w", previous(i)), fmt.Sprint("v", i)))
		}
		w := &ir.Tensor{Name: "w", DataType: int32(pb.TensorProto_UINT8), Dims: []int64{1024, 1024, 1, 1}, RawData: make([]byte, 1<<20)}
		return wired(append(nodes, nodeFor("Identity", "v1999", "y")), w)
	},
	"bytes that many make numbers of": func() []byte {
		var nodes []*ir.Node
		for i := range 2000 {
			nodes = append(nodes, nodeFor("DequantizeLinear", "w s", fmt.Sprint("w", i)), nodeFor("Conv", fmt.Sprintf("%s w%d", previous(i), i), fmt.Sprint("v", i)))
		}
		w := &ir.Tensor{Name: "w", DataType: int32(pb.TensorProto_INT8), Dims: []int64{1024, 1024, 1, 1}, RawData: make([]byte, 1<<20)}
		return wired(append(nodes, nodeFor("Identity", "v1999", "y")), w, ir.FloatTensor("s", []float32{1}))
	},
	"bytes that many take": func() []byte {
		var nodes []*ir.Node
		for i := range 2000 {
			nodes = append(nodes, nodeFor("QLinearConv", fmt.Sprintf("%s s z w s i s z", previous(i)), fmt.Sprint("v", i)))
		}
		w := &ir.Tensor{Name: "w", DataType: int32(pb.TensorProto_INT8), Dims: []int64{1024, 1024, 1, 1}, RawData: make([]byte, 1<<20)}
		zero := func(name string, of pb.TensorProto_DataType) *ir.Tensor {
			return &ir.Tensor{Name: name, DataType: int32(of), RawData: make([]byte, 1)}
		}
		return wired(append(nodes, nodeFor("Identity", "v1999", "y")), w, ir.FloatTensor("s", []float32{1}), zero("z", pb.TensorProto_UINT8), zero("i", pb.TensorProto_INT8))
	},
	"many norms of one convolution": func() []byte {
		nodes := []*ir.Node{nodeFor("Conv", "x w", "v0")}
		for i := range 5000 {
			nodes = append(nodes, nodeFor("BatchNormalization", fmt.Sprintf("v%d c c c c", i), fmt.Sprint("v", i+1)))
		}
		return wired(append(nodes, nodeFor("Identity", "v5000", "y")), ir.FloatTensor("w", make([]float32, 512*3*25), 512, 3, 5, 5), ir.FloatTensor("c", make([]float32, 512), 512))
	},
	"many factors of one convolution": func() []byte {
		nodes := []*ir.Node{nodeFor("Conv", "x w", "v0")}
		for i := range 20000 {
			nodes = append(nodes, nodeFor("Mul", fmt.Sprintf("v%d c", i), fmt.Sprint("v", i+1)))
		}
		return wired(append(nodes, nodeFor("Identity", "v20000", "y")), ir.FloatTensor("w", make([]float32, 512*3*25), 512, 3, 5, 5), ir.FloatTensor("c", make([]float32, 512), 1, 512, 1, 1))
	},
	"pads of pads": func() []byte {
		var nodes []*ir.Node
		for i := range 20000 {
			nodes = append(nodes, nodeFor("Pad", previous(i)+" p", fmt.Sprint("v", i)))
		}
		return wired(append(nodes, nodeFor("Conv", "v19999 w", "y")), ir.IntTensor("p", make([]int64, 8), 8), ir.FloatTensor("w", make([]float32, 8*3), 8, 3, 1, 1))
	},
	"dimensions that grow": func() []byte {
		var nodes []*ir.Node
		for i := range 20000 {
			nodes = append(nodes, nodeFor("Unsqueeze", previous(i)+" a", fmt.Sprint("v", i)))
		}
		return wired(append(nodes, nodeFor("Identity", "v19999", "y")), ir.IntTensor("a", []int64{0, 1, 2, 3, 4, 5, 6, 7}, 8))
	},
	"a run of many products": func() []byte {
		return wired([]*ir.Node{
			nodeFor("Conv", "x w", "v", ir.IntsOf("pads", 2000, 2000, 2000, 2000)), nodeFor("Conv", "v u", "y", ir.IntsOf("pads", 30, 30, 30, 30)),
		}, ir.FloatTensor("w", make([]float32, 64*3), 64, 3, 1, 1), ir.FloatTensor("u", make([]float32, 8*64*61*61), 8, 64, 61, 61))
	},
	"a run of a large tensor": func() []byte {
		return wired([]*ir.Node{nodeFor("Pad", "x p", "v"), nodeFor("Relu", "v", "y")}, ir.IntTensor("p", []int64{0, 0, 1 << 30, 1 << 30, 0, 0, 1 << 30, 1 << 30}, 8))
	},
	"an average over everything": func() []byte {
		return wired([]*ir.Node{nodeFor("AveragePool", "x", "y", ir.IntsOf("kernel_shape", 2000, 2000), ir.IntsOf("pads", 1999, 1999, 1999, 1999))})
	},
	"a slice to the end of numbers": func() []byte {
		return wired([]*ir.Node{nodeFor("Slice", "x a b c d", "y")}, ir.IntTensor("a", []int64{math.MaxInt64}, 1), ir.IntTensor("b", []int64{math.MinInt64}, 1), ir.IntTensor("c", []int64{2}, 1), ir.IntTensor("d", []int64{math.MinInt64}, 1))
	},
	"a chain of nothing": func() []byte {
		var nodes []*ir.Node
		for i := range 50000 {
			nodes = append(nodes, nodeFor("Identity", previous(i), fmt.Sprint("v", i)))
		}
		return wired(append(nodes, nodeFor("Relu", "v49999", "y")))
	},
	"a million nodes of nothing": func() []byte { return graphBytes(bytes.Repeat([]byte{1<<3 | 2, 0}, 1<<20)) },
	"ten million inputs": func() []byte {
		return graphBytes(field(1, append(bytes.Repeat([]byte{1<<3 | 2, 0}, 10_000_000), field(4, []byte("Concat"))...)))
	},
	"two hundred thousand inputs": func() []byte {
		var names []string
		for i := range 200_000 {
			names = append(names, fmt.Sprint("v", i))
		}
		return wired([]*ir.Node{{OpType: "Concat", Input: names, Output: []string{"y"}, Attribute: []*ir.Attribute{ir.IntOf("axis", 0)}}})
	},
	"two hundred thousand outputs": func() []byte {
		return wired([]*ir.Node{{OpType: "Relu", Input: []string{"x"}, Output: strings.Fields(strings.Repeat("y ", 200_000))}})
	},
	"two hundred thousand attributes": func() []byte {
		n := nodeFor("Relu", "x", "y")
		for i := range 200_000 {
			n.Attribute = append(n.Attribute, ir.IntOf(fmt.Sprint("a", i), 1))
		}
		return wired([]*ir.Node{n})
	},
	"forty million integers of a byte": func() []byte {
		tensor := append([]byte{1 << 3, 0x80, 0xb4, 0x89, 0x13, 2 << 3, 7}, field(7, make([]byte, 40_000_000))...)
		return graphBytes(field(5, tensor))
	},
	"a million dimensions": func() []byte {
		return wired([]*ir.Node{nodeFor("Relu", "w", "y")}, &ir.Tensor{Name: "w", DataType: 1, Dims: make([]int64, 1<<20)})
	},
	"names of a megabyte": func() []byte {
		long := strings.Repeat("\x1b[31m", 1<<18)
		return wired([]*ir.Node{{OpType: long, Name: long, Input: []string{long}, Output: []string{long}, Domain: long}})
	},
}

func nodeFor(op, inputs, outputs string, attrs ...*ir.Attribute) *ir.Node {
	return &ir.Node{OpType: op, Name: outputs, Input: strings.Fields(inputs), Output: strings.Fields(outputs), Attribute: attrs}
}

// previous is what the i-th node of a chain takes.
func previous(i int) string {
	if i == 0 {
		return "x"
	}
	return fmt.Sprint("v", i-1)
}

// wired is a file of these nodes, from x [1,3,32,32] to y.
func wired(nodes []*ir.Node, tensors ...*ir.Tensor) []byte {
	data, err := ir.Marshal(&ir.Proto{IrVersion: 8, OpsetImport: []*pb.OperatorSetIdProto{{Version: 13}}, Graph: &pb.GraphProto{
		Name: "g", Node: nodes, Initializer: tensors,
		Input:  []*ir.ValueInfo{ir.NewValueInfo("x", pb.TensorProto_FLOAT, ir.Fixed(1), ir.Fixed(3), ir.Fixed(32), ir.Fixed(32))},
		Output: []*ir.ValueInfo{{Name: "y", Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: &pb.TypeProto_Tensor{ElemType: 1}}}}},
	}})
	if err != nil {
		panic(err)
	}
	return data
}

// graphBytes is a file whose graph has these fields.
func graphBytes(graph []byte) []byte { return append([]byte{1 << 3, 8}, field(7, graph)...) }

func field(number protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), data)
}

// TestHostile does all that can be done with each file in a process of its own, as the
// command does: in some seconds of a fast processor for all of it, most of which is for
// running graphs to compare them, and 300 MB over the file's size.
func TestHostile(t *testing.T) {
	if name := os.Getenv("MOBILENET_HOSTILE"); name != "" {
		useAll(hostile[name]())
		status, _ := os.ReadFile("/proc/self/status")
		_, line, _ := strings.Cut(string(status), "VmHWM:")
		line, _, _ = strings.Cut(line, "\n")
		fmt.Println("VmHWM:", line)
		return
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for name, make := range hostile {
		t.Run(name, func(t *testing.T) {
			size := len(make())
			cmd := exec.Command(os.Args[0], "-test.run=^TestHostile$", "-test.v")
			cmd.Env = append(os.Environ(), "MOBILENET_HOSTILE="+name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %.2000s", err, out)
			}
			if bytes.ContainsAny(out, "\x1b") || len(out) > 20_000 {
				t.Errorf("%d bytes of messages, or ones that a terminal does not want: %.300q", len(out), out)
			}
			used := cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime()
			megabytes := peak(out) - size>>20
			t.Logf("%.1f s, %d MB over %d bytes", used.Seconds(), megabytes, size)
			if testenv.TooLong(used, 200) || megabytes > 300 {
				t.Errorf("%v of CPU, %d MB over the file's size", used, megabytes)
			}
		})
	}
}

// peak is the memory that a process says it took, in megabytes, 0 where the system does
// not tell: getrusage counts what its parent had when it was started.
func peak(out []byte) (megabytes int) {
	_, line, _ := bytes.Cut(out, []byte("VmHWM:"))
	fmt.Sscan(string(line), &megabytes)
	return megabytes >> 10
}

func useAll(data []byte) {
	say := func(what string, err error) {
		if err != nil {
			fmt.Println(what, err)
		}
	}
	_, err := ExternalFiles(bytes.NewReader(data), int64(len(data)))
	say("files:", err)
	g, err := Parse(data, nil)
	say("parse:", err)
	if err != nil {
		return
	}
	fmt.Println(Summary(g))
	fmt.Println(len(Unchecked(g)), "unchecked")
	say("check:", Check(g))
	_, err = Model(g)
	say("model:", err)
	s, err := Simplify(g)
	say("simplify:", err)
	if err == nil {
		_, _, err = Difference(g, s, 1)
		say("difference:", err)
		_, err = Marshal(s)
		say("marshal:", err)
	}
}
