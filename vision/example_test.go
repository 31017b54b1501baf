package vision_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A file becomes the input of a network that wants 224x224 pixels.
func Example() {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 500, 375))); err != nil {
		panic(err)
	}
	img, err := vision.Decode(context.Background(), file.Bytes(), vision.DecodeOptions{})
	if err != nil {
		panic(err)
	}
	input := make([]float32, 224*224*3)
	vision.Preprocess(input, img, model.ImageNetPreprocess(256), 224)
	fmt.Printf("%dx%d, black is %.3f\n", img.W, img.H, input[:3])
	// Output: 500x375, black is [-2.118 -2.036 -1.804]
}
