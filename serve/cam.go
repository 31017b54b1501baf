package serve

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
)

// camOutput is the output with class activation maps. It is computed where a request
// names it, as it takes longer than the others.
const camOutput = "cam"

// maxMaps is how many maps an answer may have: of 7 by 7 values, 3 MB of JSON.
const maxMaps = 4096

// hasCAM reports whether the model's head is one linear layer, which maps are exact of.
func (m *loaded) hasCAM() bool { return len(m.one.Config().Head.Hidden) == 0 }

// A wanted is what is to be computed of each item.
type wanted struct {
	mobilenet.Wanted
	cam        *mobilenet.ExplainOptions
	neighbours search.Options // Top is 0 for none
}

// camOf reads which classes' maps a request to infer wants: those of cam_class, an
// index or a name, or the best cam_top, or the best one.
func camOf(parameters map[string]any, m *loaded, items int) (*mobilenet.ExplainOptions, error) {
	if !m.hasCAM() {
		return nil, badRequest("output " + camOutput + ": the model has more than one linear layer behind its pool")
	}
	o := &mobilenet.ExplainOptions{Method: mobilenet.CAM, Top: 1}
	class, byClass := parameters["cam_class"]
	top, byTop := parameters["cam_top"]
	switch {
	case byClass && byTop:
		return nil, badRequest("both cam_class and cam_top")
	case byClass:
		i, err := m.classOf(class)
		if err != nil {
			return nil, err
		}
		o.Top, o.Classes = 0, []int{i}
	case byTop:
		k, ok := top.(float64)
		if !ok || k < 1 || k != math.Trunc(k) {
			return nil, badRequest(fmt.Sprintf("cam_top %s: want a number of classes", jsonText(top)))
		}
		o.Top = int(min(k, float64(m.one.Config().Outcomes())))
	}
	return o, fewMaps(items * max(1, o.Top))
}

func fewMaps(n int) error {
	if n > maxMaps {
		return badRequest(fmt.Sprintf("%d maps in an answer: at most %d", n, maxMaps))
	}
	return nil
}

// classOf finds a class by its index or its name.
func (m *loaded) classOf(v any) (int, error) {
	n := m.one.Config().Outcomes()
	labels := m.one.Labels()
	switch v := v.(type) {
	case float64:
		if v >= 0 && v < float64(n) && v == math.Trunc(v) {
			return int(v), nil
		}
	case string:
		i := slices.Index(labels, v)
		if i >= 0 && slices.Contains(labels[i+1:], v) {
			return 0, badRequest(fmt.Sprintf("cam_class %q: several classes have that name; give an index", v))
		}
		if i >= 0 {
			return i, nil
		}
		if i, err := strconv.Atoi(v); err == nil && i >= 0 && i < n {
			return i, nil
		}
	}
	return 0, badRequest(fmt.Sprintf("cam_class %v: want a class's index, 0 to %d, or its name", v, n-1))
}

// camTensor is the output: [n][classes][height][width].
func camTensor(items []*item) *tensor {
	var all []float32
	first := items[0].cam
	for _, it := range items {
		for _, class := range it.cam.Maps {
			all = append(all, class.Values...)
		}
	}
	return floatTensor(camOutput, []int64{int64(len(items)), int64(len(first.Maps)), int64(first.Height), int64(first.Width)}, all)
}

// A seen is where a photo's classes are seen, as `mobilenet explain --format json` has it.
type seen struct {
	Width  int        `json:"width"` // of the photo, upright
	Height int        `json:"height"`
	Seen   [4]float64 `json:"seen"` // left, top, right, bottom of what the network sees, in the photo's pixels
	Method string     `json:"method"`
	Layer  string     `json:"layer"`
}

// A prediction is a class, with its map where that is wanted: [height][width].
type prediction struct {
	mobilenet.Prediction
	Logit *float32    `json:"logit,omitempty"`
	Bias  *float32    `json:"bias,omitempty"`
	Map   [][]float32 `json:"map,omitempty"`
}

// predictions returns the best classes, those first that have maps, and where the maps lie.
func (it *item) predictions(c *mobilenet.Classifier, top int) (list []prediction, where *seen, err error) {
	best, err := c.Best(it.out.Logits, top)
	for _, p := range best {
		list = append(list, prediction{Prediction: p})
	}
	if it.cam == nil || err != nil {
		return list, nil, err
	}
	for i, m := range it.cam.Maps { // the best classes in the same order
		if i < len(list) {
			list[i].Logit, list[i].Bias = &m.Logit, &m.Bias
			list[i].Map = slices.Collect(slices.Chunk(m.Values, it.cam.Width))
		}
	}
	r := c.Seen(it.width, it.height)
	return list, &seen{it.width, it.height, [4]float64{r.Left, r.Top, r.Right, r.Bottom}, string(it.cam.Method), it.cam.Layer}, nil
}

// mapsOf reads how many classes' maps a request to classify wants.
func mapsOf(query url.Values, m *loaded, top int) (*mobilenet.ExplainOptions, error) {
	v := query.Get("maps")
	if v == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil || n < 1 || n > top:
		return nil, badRequest(fmt.Sprintf("maps=%s: want 1 to top, %d", v, top))
	case !m.hasCAM():
		return nil, &failure{http.StatusBadRequest, "maps: the model has more than one linear layer behind its pool"}
	}
	return &mobilenet.ExplainOptions{Method: mobilenet.CAM, Top: min(n, m.one.Config().Outcomes())}, nil
}
