package diagram_test

import (
	"os"

	"github.com/mobilenet-go/mobilenet/diagram"
	"github.com/mobilenet-go/mobilenet/model"
)

func ExampleArchitecture() {
	cfg := model.Default()
	cfg.Width, cfg.Resolution = 0.35, 96
	cfg.Table = cfg.Table[:2]
	diagram.Architecture(cfg).DOT(os.Stdout)
	// Output:
	// digraph {
	//   graph [labelloc=t label="MobileNetV2, width 0.35, 96×96×3 input" fontname="Helvetica"]
	//   node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=11]
	//   edge [fontname="Helvetica" fontsize=10]
	//   n0 [label="input" color="#5f6b76" fillcolor="#ffffff"]
	//   n1 [label="conv 3×3\nc 16, s 2" color="#0072b2" fillcolor="#dcebf5"]
	//   n2 [label="bottleneck\nt 1, c 8, n 1, s 1" color="#b35900" fillcolor="#fdebd3"]
	//   n3 [label="bottleneck\nt 6, c 8, n 2, s 2" color="#b35900" fillcolor="#fdebd3"]
	//   n4 [label="conv 1×1\nc 1280, s 1" color="#0072b2" fillcolor="#dcebf5"]
	//   n5 [label="avgpool\n24×24" color="#00734f" fillcolor="#d7efe5"]
	//   n6 [label="classifier\nlinear, c 1000" color="#8f3f71" fillcolor="#f3e0ec"]
	//   n7 [label="output" color="#5f6b76" fillcolor="#ffffff"]
	//   n0 -> n1 [label="96×96×3"]
	//   n1 -> n2 [label="48×48×16"]
	//   n2 -> n3 [label="48×48×8"]
	//   n3 -> n4 [label="24×24×8"]
	//   n4 -> n5 [label="24×24×1280"]
	//   n5 -> n6 [label="1×1×1280"]
	//   n6 -> n7 [label="1×1×1000"]
	// }
}
