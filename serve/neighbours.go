package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/search"
)

// maxNeighbours is how many an answer may have: some 100 KB of JSON.
const maxNeighbours = 1000

// A neighbour is a photo of an index, as `mobilenet search --format json` has it.
type neighbour struct {
	File      string  `json:"file"`
	FileBytes []byte  `json:"file_bytes,omitempty"` // of a name that is not UTF-8, which JSON can't have
	Score     float64 `json:"score"`
	Row       int     `json:"row"`
	Thumbnail string  `json:"thumbnail,omitempty"` // its address, relative to this route's
}

// index opens the index of the model that is about to be loaded, and looks into all of
// it once: the first request finds it in memory, and not on a disk.
func (s *slot) index(ctx context.Context, m *loaded) error {
	if s.Index == nil {
		return nil
	}
	x, err := s.Index(ctx, m.all)
	if err != nil {
		return err
	}
	if x == nil {
		return errors.New("its Index returned no index")
	}
	if err := fits(x, m.all); err != nil {
		x.Close()
		return err
	}
	m.index = x
	// Requests that have begun with this model may still look into it when another has
	// taken its place, so it is closed when nobody has it any more.
	runtime.AddCleanup(m, func(x *search.Index) { x.Close() }, x)
	_, err = m.nearest(ctx, make([]float32, m.all.Config().Network().Features()), search.Options{Top: 1})
	return err
}

// fits reports whether rows of an index are features of the model, as far as the
// classifier can tell: it doesn't know its file's digest.
func fits(x *search.Index, c *mobilenet.Classifier) error {
	m := x.Meta()
	h, w := c.Config().InputSize()
	own := search.Meta{Digest: m.Digest, Precision: string(c.Precision()), Height: h, Width: w, Preprocess: c.Config().Preprocess}
	if err := m.Same(&own); err != nil {
		return err
	}
	if m.AsStored {
		return fault.Unsupportedf("an index of photos as they are stored (--no-exif-orientation), and the server turns them as their EXIF orientation says: make it anew without the flag")
	}
	want := m.Dim
	if m.Features > 0 {
		want = m.Features
	}
	if n := c.Config().Network().Features(); n != want {
		return fault.Unsupportedf("an index of %d features a photo; the model has %d", want, n)
	}
	return nil
}

// nearest finds the photos whose features are most like those given.
func (m *loaded) nearest(ctx context.Context, features []float32, o search.Options) ([]search.Hit, error) {
	defer runtime.KeepAlive(m) // and its index open
	v, err := m.index.Project(features)
	if err != nil {
		return nil, err
	}
	hits, err := m.index.Search(ctx, [][]float32{v}, o)
	if err != nil {
		return nil, indexFailure(err)
	}
	return hits[0], nil
}

// indexFailure tells the client of an index that can't be read any more that this is
// not its doing.
func indexFailure(err error) error {
	if errors.As(err, new(*fault.Error)) {
		return &failure{http.StatusServiceUnavailable, "the index: " + err.Error() + "; it has to be loaded anew"}
	}
	return err
}

// lookUp is the part of an item's work behind the network's.
func (it *item) lookUp(ctx context.Context, m *loaded, o search.Options) (err error) {
	start := time.Now()
	it.alike, err = m.nearest(ctx, it.out.Features, o)
	it.timing.Search = time.Since(start)
	return err
}

// neighbours are those of an item, in an answer.
func (s *Server) neighbours(m *loaded, hits []search.Hit) []neighbour {
	list := make([]neighbour, len(hits))
	for i, h := range hits {
		list[i] = neighbour{File: h.Path, Score: h.Score, Row: h.Row}
		if !utf8.ValidString(h.Path) {
			list[i].FileBytes = []byte(h.Path)
		}
		if f, _, err := s.photos.open(h.Path); err == nil {
			f.Close()
			list[i].Thumbnail = "thumbnail?" + url.Values{"model": {m.name}, "file": {h.Path}}.Encode()
		}
	}
	return list
}

// neighboursOf reads how many neighbours a request to classify wants, and how like the
// photo they have to be.
func neighboursOf(query url.Values, m *loaded) (o search.Options, err error) {
	v, least := query.Get("neighbours"), query.Get("min_score")
	switch {
	case v == "" && least != "":
		return o, badRequest("min_score: of neighbours, and neighbours=N says of how many")
	case v == "":
		return o, nil
	}
	o.Top, err = strconv.Atoi(v)
	switch {
	case err != nil || o.Top < 1 || o.Top > maxNeighbours:
		return o, badRequest(fmt.Sprintf("neighbours=%s: want 1 to %d", v, maxNeighbours))
	case m.index == nil:
		return o, badRequest("neighbours: model " + m.name + " is served without an index (--index)")
	case least == "":
		return o, nil
	}
	o.MinScore, err = strconv.ParseFloat(least, 64)
	if err != nil || !(o.MinScore >= -1 && o.MinScore <= 1) { // NaN neither
		return o, badRequest(fmt.Sprintf("min_score=%s: want -1 to 1", least))
	}
	if o.MinScore == 0 { // which means any score to the library
		o.MinScore = math.SmallestNonzeroFloat64
	}
	return o, nil
}
