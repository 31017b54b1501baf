package worker

import (
	"context"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// An Explanation is where in a photo the network sees some classes: what
// [mobilenet.Classifier.Explain] says, as a column.
type Explanation struct {
	Width     int32      `json:"width" parquet:"width"` // of the photo, in pixels
	Height    int32      `json:"height" parquet:"height"`
	Seen      []float64  `json:"seen" parquet:"seen,list"`   // the part under the maps: left, top, right, bottom, in the photo's pixels
	Input     []int32    `json:"input" parquet:"input,list"` // height and width of what the network saw
	Method    string     `json:"method" parquet:"method"`
	Layer     string     `json:"layer" parquet:"layer"` // empty for occlusion
	MapHeight int32      `json:"map_height" parquet:"map_height"`
	MapWidth  int32      `json:"map_width" parquet:"map_width"`
	Classes   []ClassMap `json:"classes" parquet:"classes,list"`
}

// A ClassMap is where a class is seen: Map is [MapHeight][MapWidth], in one slice.
type ClassMap struct {
	Index       int32     `json:"index" parquet:"index"`
	Label       string    `json:"label" parquet:"label"`
	Probability float32   `json:"probability" parquet:"probability"`
	Logit       float32   `json:"logit" parquet:"logit"`
	Bias        float32   `json:"bias" parquet:"bias"`
	Map         []float32 `json:"map" parquet:"map,list"`
}

// explained explains a photo. A panic is the photo's error.
func (w *Worker) explained(ctx context.Context, data []byte) (e *Explanation, err error) {
	defer catch(&err)
	photo, err := vision.Decode(ctx, data, w.decoding)
	if err != nil {
		return nil, err
	}
	x, err := w.c.Explain(ctx, photo, *w.o.Explain)
	if err != nil {
		return nil, err
	}
	seen := w.c.Seen(photo.W, photo.H)
	height, width := w.c.Config().InputSize()
	e = &Explanation{
		Width: int32(photo.W), Height: int32(photo.H), Seen: []float64{seen.Left, seen.Top, seen.Right, seen.Bottom}, Input: []int32{int32(height), int32(width)},
		Method: string(x.Method), Layer: x.Layer, MapHeight: int32(x.Height), MapWidth: int32(x.Width),
	}
	for _, m := range x.Maps {
		e.Classes = append(e.Classes, ClassMap{int32(m.Index), m.Label, m.Probability, m.Logit, m.Bias, m.Values})
	}
	return e, nil
}

// explainable is an error where no photo can be explained as the options say.
func (w *Worker) explainable(ctx context.Context) error {
	if w.o.Explain.Method == mobilenet.Occlusion { // which is for every network, and takes seconds
		return nil
	}
	_, err := w.c.Explain(ctx, &vision.Image{W: 1, H: 1, Pix: make([]byte, 3)}, *w.o.Explain)
	return err
}
