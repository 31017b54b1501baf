package explain_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/explain"
)

func ExamplePicture() {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, "fashion-mnist") // in the program
	if err != nil {
		log.Fatal(err)
	}
	photo, err := mobilenet.DecodeFile(ctx, "../testdata/ankle-boot.png")
	if err != nil {
		log.Fatal(err)
	}
	e, err := c.Explain(ctx, photo, mobilenet.ExplainOptions{Top: 2})
	if err != nil {
		log.Fatal(err)
	}
	picture, err := explain.Picture(photo, c.Seen(photo.W, photo.H), e, explain.Options{Name: "ankle-boot.png"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Maps[0].Label, "and", e.Maps[1].Label, picture.Bounds())
	// Output: Ankle boot and Sneaker (0,0)-(988,442)
}
