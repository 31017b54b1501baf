package serve

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A timing is what became of a photo's time.
type timing struct {
	Queue, Decode, Infer time.Duration
	Search               time.Duration // 0 where no neighbours were wanted
}

// worse keeps the longest of each stage.
func (t *timing) worse(o timing) {
	t.Queue, t.Decode, t.Infer, t.Search = max(t.Queue, o.Queue), max(t.Decode, o.Decode), max(t.Infer, o.Infer), max(t.Search, o.Search)
}

// MarshalJSON has milliseconds.
func (t timing) MarshalJSON() ([]byte, error) {
	text := fmt.Appendf(nil, `{"queue":%g,"decode":%g,"infer":%g`, ms(t.Queue), ms(t.Decode), ms(t.Infer))
	if t.Search > 0 {
		text = fmt.Appendf(text, `,"search":%g`, ms(t.Search))
	}
	return append(text, '}'), nil
}

// An item is what a request asks about once: a photo's file, pixels, or a tensor.
type item struct {
	file   []byte
	pixels *vision.Image
	tensor []float32 // [3][H][W]

	out    mobilenet.Outputs
	cam    *mobilenet.Explanation // where maps are wanted
	width  int                    // of the photo then, upright
	height int
	alike  []search.Hit // where neighbours are wanted
	err    error        // of this item alone; set before, there is no work
	timing timing
}

// answer works on the items, each a job of its own, and waits for them. The error is
// one of the request; that of an item is left there.
func (s *Server) answer(q *request, m *loaded, items []*item, want wanted) error {
	if time.Now().After(q.deadline) {
		return errSlowlyRead
	}
	ctx, cancel := context.WithDeadline(q.Context(), q.deadline)
	defer cancel()
	jobs := make([]*job, len(items))
	for i, it := range items {
		jobs[i] = &job{ctx: q.Context(), deadline: q.deadline, work: func(alone bool) error {
			if err := it.run(ctx, m.on(alone), s.decoding, want); err != nil || want.neighbours.Top == 0 {
				return err
			}
			o := want.neighbours
			if o.Threads = 1; alone {
				o.Threads = s.o.Workers
			}
			return it.lookUp(ctx, m, o)
		}}
	}
	q.photos = len(items)
	err := s.scheduler.do(jobs)
	for i, it := range items {
		it.err = jobs[i].err
		it.timing.Queue = jobs[i].waited
		q.timing.worse(it.timing)
	}
	if err != nil && (shed(err) != "" || len(items) == 1) {
		return err
	}
	return nil
}

// run is an item's work.
func (it *item) run(ctx context.Context, c *mobilenet.Classifier, o vision.DecodeOptions, want wanted) (err error) {
	if it.err != nil {
		return it.err
	}
	start := time.Now()
	defer func() { it.timing.Infer = time.Since(start) }()
	if it.tensor != nil {
		it.out, err = c.InferTensor(ctx, it.tensor, 1, want.Wanted)
		return err
	}
	var p *mobilenet.Prepared
	if it.pixels != nil {
		p = c.Prepare(it.pixels)
	} else if p, err = c.PrepareData(ctx, it.file, o); err != nil {
		return err
	}
	if want.cam != nil && it.file != nil {
		if it.width, it.height, err = vision.Size(it.file, o); err != nil {
			return err
		}
	}
	it.timing.Decode = time.Since(start)
	start = time.Now()
	if want.cam == nil {
		it.out, err = c.Infer(ctx, []*mobilenet.Prepared{p}, want.Wanted)
		return err
	}
	if it.cam, err = c.Explain(ctx, p, *want.cam); err == nil { // which has all else, too, of one run
		it.out = mobilenet.Outputs{Logits: it.cam.Logits, Features: it.cam.Features}
	}
	return err
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error":"the answer is no JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // a client that has gone is noticed by its context
}

// reply answers with bytes, packed if the client wants that and it is worth it.
func reply(q *request, contentType string, body []byte) error {
	if err := q.answering(len(body)); err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	var z io.WriteCloser
	switch accepted := q.Header.Get("Accept-Encoding"); {
	case len(body) < 1024, strings.HasPrefix(contentType, "image/"):
	case strings.Contains(accepted, "gzip"):
		h.Set("Content-Encoding", "gzip")
		z, _ = gzip.NewWriterLevel(q.w, gzip.BestSpeed)
	case strings.Contains(accepted, "deflate"):
		h.Set("Content-Encoding", "deflate")
		z, _ = zlib.NewWriterLevel(q.w, zlib.BestSpeed)
	}
	h.Add("Vary", "Accept-Encoding")
	if z == nil {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		q.w.Write(body)
		return nil
	}
	z.Write(body)
	z.Close()
	return nil
}

// replyJSON answers with v.
func replyJSON(q *request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return reply(q, "application/json", append(body, '\n'))
}
