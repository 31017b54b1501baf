package main

import (
	"context"
	"image"
	"io"

	"github.com/mobilenet-go/mobilenet"
)

// A photo is one of the inputs on its way.
type photo struct {
	name  string
	image image.Image // prepared for the network; nil if err is not
	err   error
}

// decodeAll decodes n photos on so many goroutines. It returns a channel per
// photo, in order. At most ahead photos are decoded before the reader asks for them,
// however many there are.
func decodeAll(ctx context.Context, n, goroutines, ahead int, decode func(i int) photo) <-chan (<-chan photo) {
	slots := make(chan (<-chan photo), ahead)
	busy := make(chan struct{}, goroutines)
	go func() {
		defer close(slots)
		for i := range n {
			slot := make(chan photo, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			busy <- struct{}{}
			go func() {
				slot <- decode(i)
				<-busy
			}()
		}
	}()
	return slots
}

// A predictor classifies decoded photos and writes the results in their order.
type predictor struct {
	c      *mobilenet.Classifier
	top    int
	out    results
	bar    photoBar
	stderr io.Writer
	failed bool // some photo did
}

// run works through the photos in batches. It stops where ctx is canceled, even
// while a photo is still to come from standard input.
func (p *predictor) run(ctx context.Context, photos <-chan (<-chan photo), batch int) error {
	var pending []photo
	for slot := range photos {
		select {
		case v := <-slot:
			pending = append(pending, v)
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(pending) == batch {
			if err := p.classify(ctx, pending); err != nil {
				return err
			}
			pending = pending[:0]
		}
	}
	if err := p.classify(ctx, pending); err != nil {
		return err
	}
	return p.out.close()
}

// classify runs a batch and writes a result, or why there is none, for each.
func (p *predictor) classify(ctx context.Context, photos []photo) error {
	if err := ctx.Err(); err != nil {
		return err // and not a report per photo
	}
	var images []image.Image
	for _, v := range photos {
		if v.err == nil {
			images = append(images, v.image)
		}
	}
	var predictions [][]mobilenet.Prediction
	if len(images) > 0 {
		var err error
		if predictions, err = p.c.ClassifyBatch(ctx, images, p.top); err != nil {
			return err
		}
	}
	for _, v := range photos {
		p.bar.add()
		if v.err != nil {
			p.bar.clear()
			photoError{v.name, v.err}.report(p.stderr)
			p.failed = true
			continue
		}
		if err := p.out.add(v.name, predictions[0]); err != nil {
			return err
		}
		predictions = predictions[1:]
	}
	return nil
}
