package tflite_test

import (
	"fmt"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/tflite"
)

// A model becomes a file's bytes, and these a model.
func ExampleExport() {
	c := model.Default()
	c.Width, c.Classes = 0.1, 2
	m, err := model.New(c, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Labels = []string{"no", "yes"}
	data, err := tflite.Export(m, tflite.Options{Half: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	about, err := tflite.Check(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.Split(about, "\n")[0], "\n")
	back, err := tflite.Parse(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Config.Width, back.Labels)
	// Output:
	// operators    53 DEQUANTIZE, 5 PAD, 35 CONV_2D, 17 DEPTHWISE_CONV_2D, 11 ADD, 1 MEAN, 1 FULLY_CONNECTED, 1 SOFTMAX
	// 0.1 [no yes]
}
