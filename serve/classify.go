package serve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
)

// maxPhotos is how many photos a request may bring.
const maxPhotos = 64

// A photo is one of a request to classify.
type photo struct {
	name string
	data []byte
	err  error // why there are no bytes
}

// A verdict is what the plain route says of a photo.
type verdict struct {
	Name        string       `json:"name,omitempty"`
	Predictions []prediction `json:"predictions,omitempty"`
	Explained   *seen        `json:"explained,omitempty"`
	Neighbours  *[]neighbour `json:"neighbours,omitempty"`
	Error       string       `json:"error,omitempty"`
	Timing      *timing      `json:"timing_ms,omitempty"`
}

// classify is the plain route: a photo's bytes as they are, a form of files, or JSON,
// and the best classes of each.
func (s *Server) classify(q *request) error {
	query, err := url.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return badRequest("query: " + err.Error())
	}
	kind, params, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	isForm := kind == "multipart/form-data" // whose fields may say more
	var want *classifying
	if isForm {
		s.infersOn(q, query.Get("model"))
	} else {
		if want, err = s.classifying(q, query); err != nil {
			return err // before the body is read
		}
	}
	b, err := s.body(q)
	if err != nil {
		return err
	}
	var photos []photo
	var several bool
	switch {
	case isForm:
		photos, err = formPhotos(b.data, params["boundary"], query, q.deadline)
		several = len(photos) > 1
	case kind == "application/json":
		photos, several, err = s.jsonPhotos(q, b)
		q.reading = time.Since(q.began)
	case bytes.HasPrefix(b.data, []byte("{")): // as no photo does
		err = badRequest("JSON: send it with Content-Type: application/json")
	default: // the bytes say themselves what they are
		photos = []photo{{data: b.data}}
	}
	if err != nil {
		return err
	}
	if isForm {
		if want, err = s.classifying(q, query); err != nil {
			return err
		}
	}
	if err := check(photos); err != nil {
		return err
	}
	m, top, maps := want.m, want.top, want.maps
	if n := len(photos) * want.neighbours.Top; n > maxNeighbours {
		return badRequest(fmt.Sprintf("%d neighbours in an answer: at most %d", n, maxNeighbours))
	}
	if maps != nil {
		if err := fewMaps(len(photos) * maps.Top); err != nil {
			return err
		}
	}
	items := make([]*item, len(photos))
	for i, p := range photos {
		items[i] = &item{file: p.data, err: p.err}
	}
	outputs := mobilenet.Wanted{Logits: true, Features: want.neighbours.Top > 0}
	if err := s.answer(q, m, items, wanted{outputs, maps, want.neighbours}); err != nil {
		return withHint(err, kind, b.data)
	}
	verdicts := make([]verdict, len(items))
	for i, it := range items {
		v := verdict{Name: photos[i].name, Timing: &it.timing}
		err := it.err
		if err == nil {
			v.Predictions, v.Explained, err = it.predictions(m.one, top)
			if want.neighbours.Top > 0 {
				list := s.neighbours(m, it.alike)
				v.Neighbours = &list
			}
		}
		if err != nil {
			if !several {
				return err
			}
			_, v.Error = status(err)
		}
		verdicts[i] = v
	}
	if several {
		return replyJSON(q, struct {
			Model  string    `json:"model"`
			Photos []verdict `json:"photos"`
		}{m.name, verdicts})
	}
	return replyJSON(q, struct {
		Model string `json:"model"`
		verdict
	}{m.name, verdicts[0]})
}

// withHint tells who sent a photo by curl -d, which leaves out all line breaks and bytes of 0, as
// hardly a photo is without any.
func withHint(err error, kind string, data []byte) error {
	code, text := status(err)
	if kind != "application/x-www-form-urlencoded" || code != http.StatusBadRequest && code != http.StatusUnsupportedMediaType || len(data) < 100 || bytes.ContainsAny(data, "\x00\r\n") {
		return err
	}
	return &failure{code, text + " (curl -d changes bytes: --data-binary sends a file as it is)"}
}

// A classifying is what a request wants of its photos.
type classifying struct {
	m          *loaded
	top        int
	maps       *mobilenet.ExplainOptions
	neighbours search.Options
}

// classifying reads the parameters. What isn't one is refused: who misspells a model's
// name would get another's answer.
func (s *Server) classifying(q *request, query url.Values) (*classifying, error) {
	name := cmp.Or(query.Get("model"), s.models.slots[0].Name)
	s.infersOn(q, name)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch values := query[name]; {
		case !slices.Contains(parameters, name):
			return nil, badRequest(fmt.Sprintf("no parameter %q: want %s", name, strings.Join(parameters, ", ")))
		case len(values) > 1:
			return nil, badRequest(fmt.Sprintf("%s: given %d times", name, len(values)))
		case values[0] == "":
			return nil, badRequest(name + ": empty")
		}
	}
	top, err := topOf(query)
	if err != nil {
		return nil, err
	}
	m, tensor, err := s.models.find(name, "")
	if f := (*failure)(nil); errors.As(err, &f) && !query.Has("model") && len(s.models.slots) > 1 {
		return nil, &failure{f.status, f.text + "; it is the first, which a request means that names none: name another by ?model="}
	}
	if err != nil {
		return nil, err
	}
	if tensor {
		return nil, badRequest("model " + name + " takes tensors: see /v2/models/" + name)
	}
	o, err := mapsOf(query, m, top)
	if err != nil {
		return nil, err
	}
	n, err := neighboursOf(query, m)
	if err == nil && n.Top > 0 {
		err = s.maySeeNames(q.Request)
	}
	return &classifying{m, top, o, n}, err
}

// parameters are those of the plain route, of the query or fields of a form.
var parameters = []string{"model", "top", "maps", "neighbours", "min_score"}

func topOf(query url.Values) (int, error) {
	v := query.Get("top")
	if v == "" {
		return 5, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, badRequest(fmt.Sprintf("top=%s: want a number of classes", v))
	}
	return n, nil
}

// check refuses too few photos and too many. One that can't be read is an error only
// if it is alone: else it has its own in the answer.
func check(list []photo) error {
	switch {
	case len(list) == 0:
		return badRequest("no photo in the request")
	case len(list) > maxPhotos:
		return badRequest(fmt.Sprintf("%d photos in a request: at most %d", len(list), maxPhotos))
	}
	for i, p := range list {
		if p.err == nil && len(p.data) == 0 {
			list[i].err = badRequest("a photo without a byte")
		}
	}
	if len(list) == 1 {
		return list[0].err
	}
	return nil
}

// formPhotos reads the files of a form, in the form's memory, and adds its fields to the
// query.
func formPhotos(data []byte, boundary string, query url.Values, until time.Time) ([]photo, error) {
	from := bytes.NewReader(data)
	r := multipart.NewReader(timed{from, until}, boundary)
	var list []photo
	for kept := data[:0]; ; {
		part, err := r.NextPart()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, formError(err)
		}
		begin := len(kept)
		if kept, err = compact(kept, from, part); err != nil {
			return nil, formError(err)
		}
		data := kept[begin:]
		if part.FileName() == "" {
			if err := addField(query, part.FormName(), data); err != nil {
				return nil, err
			}
			continue
		}
		if list = append(list, photo{name: part.FileName(), data: data}); len(list) > maxPhotos {
			return list, nil
		}
	}
}

func formError(err error) error {
	if errors.Is(err, errSlowlyRead) {
		return errSlowlyRead
	}
	switch text := strings.TrimPrefix(err.Error(), "multipart: "); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("multipart/form-data: no boundary ends it")
	default:
		return badRequest("multipart/form-data: " + text)
	}
}

// A timed reader is read until a time.
type timed struct {
	r     io.Reader
	until time.Time
}

func (t timed) Read(p []byte) (int, error) {
	if time.Now().After(t.until) {
		return 0, errSlowlyRead
	}
	return t.r.Read(p)
}

// addField takes a form's field for a parameter of the query.
func addField(query url.Values, name string, value []byte) error {
	const longest = 1024
	switch {
	case !slices.Contains(parameters, name):
		return badRequest(fmt.Sprintf("form field %.40q: want a photo with a file name, or %s", name, strings.Join(parameters, ", ")))
	case query.Has(name):
		return badRequest(fmt.Sprintf("form field %s: given before, in the form or the query", name))
	case len(value) > longest:
		return badRequest(fmt.Sprintf("form field %s: of %d bytes", name, len(value)))
	}
	query.Set(name, string(value))
	return nil
}

// jsonPhotos reads {"photo": base64}, {"photos": [base64, ...]}, or URLs in their
// place: {"url": ...}, {"urls": [...]}.
func (s *Server) jsonPhotos(q *request, b *body) (list []photo, several bool, err error) {
	in := jsonRequest{r: jsonReader{data: b.data, until: q.deadline}}
	if err := in.read(); err != nil {
		return nil, false, err
	}
	for _, text := range in.photos {
		data, err := decodeText(text)
		list = append(list, photo{data: data, err: err})
	}
	// All of them in the time of the request, also where each is slow to fail.
	ctx, cancel := context.WithDeadline(q.Context(), q.deadline)
	defer cancel()
	left := s.o.MaxBody // for all of them, as if they had come with the request
	for _, address := range in.urls {
		data, err := s.fetch(ctx, address, b.share, left)
		list, left = append(list, photo{address, data, err}), left-int64(len(data))
	}
	return list, in.several || len(list) != 1, nil
}

// A jsonRequest is the JSON of the plain route.
type jsonRequest struct {
	r       jsonReader
	photos  [][]byte // in base64, as they stand between quotes
	urls    []string
	several bool // there is a list
}

// read reads it, of millions of photos no more than may be in a request.
func (in *jsonRequest) read() error {
	r := &in.r
	list := func(one func()) func() { return func() { in.several = true; r.array(one) } }
	single := func(one func()) func() {
		return func() {
			if !r.null() {
				one()
			}
		}
	}
	r.members(map[string]func(){
		"photo": single(in.photo), "photos": list(in.photo), "url": single(in.url), "urls": list(in.url),
	}, in.other)
	r.end()
	return jsonError(r.err, ` (want {"photo": "base64"}, {"photos": [...]}, {"url": ...} or {"urls": [...]})`)
}

// other refuses any other member. Parameters would have to be read before the photos.
func (in *jsonRequest) other(name string) {
	r := &in.r
	if !slices.Contains(parameters, name) {
		r.stop(fmt.Errorf("unknown field %.40q", name))
		return
	}
	value := strings.Trim(string(r.raw()), `"`)
	if len(value) > 40 || value == "" || strings.ContainsAny(value, "{[\\") {
		value = "..."
	}
	r.stop(badRequest(fmt.Sprintf("JSON: %q is a parameter, which goes in the query: ?%[1]s=%s", name, url.QueryEscape(value))))
}

func (in *jsonRequest) photo() { in.few(); in.photos = append(in.photos, in.r.text()) }
func (in *jsonRequest) url()   { in.few(); in.urls = append(in.urls, in.r.string(maxSmall)) }

// few refuses a photo too many.
func (in *jsonRequest) few() {
	if len(in.photos)+len(in.urls) == maxPhotos {
		in.r.stop(badRequest(fmt.Sprintf("more than %d photos in a request: at most %[1]d", maxPhotos)))
	}
}

// fetch gets a photo of at most limit bytes from a host that is allowed, with room taken as
// they come.
func (s *Server) fetch(ctx context.Context, address string, room *share, limit int64) ([]byte, error) {
	allowed := func(u *url.URL) error {
		if !slices.ContainsFunc(s.o.AllowURLs, naming(u)) {
			return &failure{http.StatusForbidden, fmt.Sprintf("%s: photos are not fetched from there (--allow-urls)", u.Redacted())}
		}
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, badRequest("a URL that is none")
	}
	if err := allowed(u); err != nil {
		return nil, err
	}
	client := http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirects")
		}
		return allowed(r.URL)
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, badRequest("a URL that is none")
	}
	resp, err := client.Do(r)
	if err != nil {
		var f *failure
		if errors.As(err, &f) {
			return nil, f
		}
		return nil, &failure{http.StatusBadGateway, fmt.Sprintf("%s can't be fetched", u.Redacted())}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &failure{http.StatusBadGateway, fmt.Sprintf("%s: %s", u.Redacted(), resp.Status)}
	}
	data, err := readUpTo(resp.Body, limit, resp.ContentLength, room)
	var full *refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &http.MaxBytesError{Limit: s.o.MaxBody} // of all together
	case err != nil && !errors.As(err, &full):
		return nil, &failure{http.StatusBadGateway, fmt.Sprintf("%s can't be fetched", u.Redacted())}
	}
	return data, err
}

// listModels is for the page, and for who looks for a name.
func (s *Server) listModels(q *request) error {
	type photos struct {
		Photos     int  `json:"photos"`
		Thumbnails bool `json:"thumbnails"` // whether they may be shown
	}
	type about struct {
		Name    string  `json:"name"`
		Ready   bool    `json:"ready"`
		Reason  string  `json:"reason,omitempty"`
		Classes int     `json:"classes,omitempty"`
		Maps    bool    `json:"maps,omitempty"`  // whether it says where it sees a class
		Index   *photos `json:"index,omitempty"` // of photos, of which it finds those alike
	}
	list := []about{}
	for _, slot := range s.models.slots {
		a := about{Name: slot.Name, Reason: *slot.reason.Load()}
		if m := slot.now.Load(); m != nil {
			a.Ready, a.Classes, a.Maps, a.Reason = true, m.one.Config().Outcomes(), m.hasCAM(), ""
			if m.index != nil {
				a.Index = &photos{m.index.Len(), len(s.photos) > 0}
			}
		}
		list = append(list, a)
	}
	return replyJSON(q, map[string]any{"models": list})
}
