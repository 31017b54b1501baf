package onnx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// A file that is no MobileNetV2 is refused with the place that does not fit.
func ExampleModel() {
	g, err := onnx.Read("testdata/kinds/wrap_part.onnx")
	if err != nil {
		log.Fatal(err)
	}
	_, err = onnx.Model(g)
	f, _ := errors.AsType[*fault.Error](err)
	fmt.Println(f.Kind, "at", f.Place)
	fmt.Println(f.Reason)
	// Output:
	// unsupported at node "/Slice" (Slice)
	// not a MobileNetV2: it takes a part of its input: only red and blue may change places, or the whole may be turned
}

// Networks that differ in their heads are read, too.
func ExampleImport() {
	for _, name := range []string{"plain", "head_two", "head_sigmoid", "head_identity", "dynamic"} {
		m, err := onnx.Import("testdata/kinds/" + name + ".onnx")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, m.Config.Classes, "classes, hidden layers", m.Config.Head.Hidden, "sigmoid", m.Config.Head.Sigmoid, "from 8 bits", m.Dequantized)
	}
	// Output:
	// plain 5 classes, hidden layers [] sigmoid false from 8 bits false
	// head_two 5 classes, hidden layers [16] sigmoid false from 8 bits false
	// head_sigmoid 5 classes, hidden layers [] sigmoid true from 8 bits false
	// head_identity 0 classes, hidden layers [] sigmoid false from 8 bits false
	// dynamic 5 classes, hidden layers [] sigmoid false from 8 bits true
}

// What others quantised runs in 8 bits, where it computes in these from end to end.
func ExampleNetwork() {
	for _, name := range []string{"zoo", "qdq_s8s8", "float_first"} {
		g, err := onnx.Read("testdata/foreign/" + name + ".onnx")
		if err != nil {
			log.Fatal(err)
		}
		m, q, err := onnx.Network(g)
		if err != nil {
			log.Fatal(err)
		}
		if q == nil {
			fmt.Printf("%s: float32, for %s\n", name, m.Unfit)
			continue
		}
		fmt.Printf("%s: %d convolutions, signed bytes %v\n", name, len(q.Convs), q.Signed)
	}
	// Output:
	// zoo: 10 convolutions, signed bytes false
	// qdq_s8s8: 10 convolutions, signed bytes true
	// float_first: float32, for node "/features/features.0/features.0.0/Conv" (Conv): it takes numbers, not 8-bit integers
}

// A file and the other files that it refers to may come from anywhere.
func ExampleParse() {
	folder := os.DirFS("testdata/import") // or an embed.FS
	data, err := fs.ReadFile(folder, "external13.onnx")
	if err != nil {
		log.Fatal(err)
	}
	others, err := onnx.ExternalFiles(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		log.Fatal(err)
	}
	g, err := onnx.Parse(data, folder)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(onnx.Match(data), others)
	fmt.Print(onnx.Summary(g))
	// Output:
	// true [external13.bin]
	// operators    ai.onnx 13 (ir_version 8)
	// input        in FLOAT[n,3,64,64]
	// output       out FLOAT[n,5]
	// nodes        38: 3 Add, 13 Clip, 19 Conv, 1 Flatten, 1 Gemm, 1 GlobalAveragePool
	// initialisers 66 with 8943 values
}

func Example() {
	c := model.Default()
	c.Width, c.Classes = 0.35, 10
	m, err := model.New(c, 1)
	if err != nil {
		log.Fatal(err)
	}
	p, err := onnx.Export(m, onnx.ExportOptions{Dynamic: onnx.DynamicBatch})
	if err != nil {
		log.Fatal(err)
	}
	s, err := onnx.Simplify(p)
	if err != nil {
		log.Fatal(err)
	}
	if err := onnx.Check(s); err != nil {
		log.Fatal(err)
	}
	fmt.Println(onnx.Nodes(p), "nodes became", onnx.Nodes(s))
	// Output: 210 nodes became 100
}
