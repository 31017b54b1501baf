package vision_test

import (
	"bytes"
	"context"
	"errors"
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

// A folder's files are told by their content. What is not read is named.
func ExampleRecognise() {
	for _, head := range []string{"\xff\xd8\xff\xe1", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "a shopping list"} {
		format, read := vision.Recognise([]byte(head))
		fmt.Printf("%q %v\n", format, read)
	}
	// Output:
	// "JPEG" true
	// "HEIC" false
	// "" false
}

// Errors say whether a photo is broken, or only of a kind that is not read.
func ExampleDecode_unsupported() {
	_, err := vision.Decode(context.Background(), []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), vision.DecodeOptions{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, errors.ErrUnsupported))
	// Output:
	// HEIC is not read here; it can be converted: heif-convert photo.heic photo.jpg
	// true
}

// Two services in one program, each with half a gigabyte for the photos that it
// decodes at the same time.
func ExampleNewBudget() {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 640, 480))); err != nil {
		panic(err)
	}
	o := vision.DecodeOptions{Budget: vision.NewBudget(500_000_000)}
	img, err := vision.Decode(context.Background(), file.Bytes(), o)
	if err != nil {
		panic(err)
	}
	fmt.Println(img.Bounds())
	// Output: (0,0)-(640,480)
}

// What other packages drew is used as Pillow would see it.
func ExampleFromImage() {
	img, err := vision.FromImage(image.NewYCbCr(image.Rect(-8, -6, 8, 6), image.YCbCrSubsampleRatio420))
	fmt.Println(img.Bounds(), err)
	_, err = vision.FromImage(&image.RGBA{Rect: image.Rect(0, 0, 9, 9), Stride: 36, Pix: make([]byte, 10)})
	fmt.Println(err)
	// Output:
	// (0,0)-(16,12) <nil>
	// an image of (0,0)-(9,9) whose 10 bytes of pixels are too few
}
