package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet"
)

// maxPhotos is how many photos a request may bring.
const maxPhotos = 64

// A photo is one of a request to classify.
type photo struct {
	name string
	data []byte
}

// A verdict is what the plain route says of a photo.
type verdict struct {
	Name        string       `json:"name,omitempty"`
	Predictions []prediction `json:"predictions,omitempty"`
	Explained   *seen        `json:"explained,omitempty"`
	Error       string       `json:"error,omitempty"`
	Timing      *timing      `json:"timing_ms,omitempty"`
}

// classify is the plain route: a photo's bytes as they are, a form of files, or JSON,
// and the best classes of each.
func (s *Server) classify(q *request) error {
	query := q.URL.Query()
	top, err := topOf(query)
	if err != nil {
		return err
	}
	name := query.Get("model")
	if name == "" {
		name = s.models.slots[0].Name
	}
	m, tensor, err := s.models.find(name, "")
	if err != nil {
		return err
	}
	if tensor {
		return badRequest("model " + name + " takes tensors: see /v2/models/" + name)
	}
	q.model = m.name
	maps, err := mapsOf(q, m, top)
	if err != nil {
		return err
	}
	b, err := s.body(q)
	if err != nil {
		return err
	}
	defer b.release()
	photos, several, err := s.photos(q, b.data)
	if err != nil {
		return err
	}
	if maps != nil {
		if err := fewMaps(len(photos) * maps.Top); err != nil {
			return err
		}
	}
	items := make([]*item, len(photos))
	for i, p := range photos {
		items[i] = &item{file: p.data}
	}
	if err := s.answer(q, m, items, wanted{mobilenet.Wanted{Logits: true}, maps}); err != nil {
		return err
	}
	verdicts := make([]verdict, len(items))
	for i, it := range items {
		v := verdict{Name: photos[i].name, Timing: &it.timing}
		err := it.err
		if err == nil {
			v.Predictions, v.Explained, err = it.predictions(m.one, top)
		}
		if err != nil {
			if !several {
				return err
			}
			v.Error = err.Error()
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

// photos finds the photos in a body. several is whether there might have been more
// than one, which the answer has to leave room for.
func (s *Server) photos(q *request, data []byte) (list []photo, several bool, err error) {
	kind, params, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	switch kind {
	case "multipart/form-data":
		list, err = formPhotos(data, params["boundary"])
		several = len(list) > 1
	case "application/json":
		list, several, err = s.jsonPhotos(q, data)
	default: // the bytes say themselves what they are
		list = []photo{{data: data}}
	}
	switch {
	case err != nil:
		return nil, false, err
	case len(list) == 0:
		return nil, false, badRequest("no photo in the request")
	case len(list) > maxPhotos:
		return nil, false, badRequest(fmt.Sprintf("%d photos in a request: at most %d", len(list), maxPhotos))
	}
	for _, p := range list {
		if len(p.data) == 0 {
			return nil, false, badRequest("a photo without a byte")
		}
	}
	return list, several, nil
}

// formPhotos reads the files of a form.
func formPhotos(data []byte, boundary string) ([]photo, error) {
	r := multipart.NewReader(bytes.NewReader(data), boundary)
	var list []photo
	for {
		part, err := r.NextPart()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, badRequest("multipart/form-data: " + err.Error())
		}
		if part.FileName() == "" {
			continue // a field
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, badRequest("multipart/form-data: " + err.Error())
		}
		if list = append(list, photo{part.FileName(), data}); len(list) > maxPhotos {
			return list, nil
		}
	}
}

// jsonPhotos reads {"photo": base64}, {"photos": [base64, ...]}, or URLs in their
// place: {"url": ...}, {"urls": [...]}.
func (s *Server) jsonPhotos(q *request, data []byte) (list []photo, several bool, err error) {
	var in struct {
		Photo  *string  `json:"photo"`
		Photos []string `json:"photos"`
		URL    *string  `json:"url"`
		URLs   []string `json:"urls"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, false, badRequest(`JSON: ` + err.Error() + ` (want {"photo": "base64"}, {"photos": [...]}, {"url": ...} or {"urls": [...]})`)
	}
	if in.Photo != nil {
		in.Photos = append(in.Photos, *in.Photo)
	}
	if in.URL != nil {
		in.URLs = append(in.URLs, *in.URL)
	}
	several = (in.Photo == nil) == (in.URL == nil) || len(in.Photos)+len(in.URLs) > 1
	if n := len(in.Photos) + len(in.URLs); n > maxPhotos {
		return nil, false, badRequest(fmt.Sprintf("%d photos in a request: at most %d", n, maxPhotos))
	}
	for i, text := range in.Photos {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, false, badRequest(fmt.Sprintf("photo %d: %v", i, err))
		}
		list = append(list, photo{data: data})
	}
	for _, address := range in.URLs {
		data, err := s.fetch(q, address)
		if err != nil {
			return nil, false, err
		}
		list = append(list, photo{address, data})
	}
	return list, several, nil
}

// fetch gets a photo from a host that is allowed.
func (s *Server) fetch(q *request, address string) ([]byte, error) {
	allowed := func(u *url.URL) error {
		if u.Scheme != "https" && u.Scheme != "http" || !slices.Contains(s.o.AllowURLs, u.Host) {
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
	client := http.Client{Timeout: s.o.Deadline, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirects")
		}
		return allowed(r.URL)
	}}
	r, err := http.NewRequestWithContext(q.Context(), http.MethodGet, address, nil)
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
	data, err := io.ReadAll(io.LimitReader(resp.Body, s.o.MaxBody+1))
	switch {
	case err != nil:
		return nil, &failure{http.StatusBadGateway, fmt.Sprintf("%s can't be fetched", u.Redacted())}
	case int64(len(data)) > s.o.MaxBody:
		return nil, &http.MaxBytesError{Limit: s.o.MaxBody}
	}
	return data, nil
}

// listModels is for the page, and for who looks for a name.
func (s *Server) listModels(q *request) error {
	type about struct {
		Name    string `json:"name"`
		Ready   bool   `json:"ready"`
		Reason  string `json:"reason,omitempty"`
		Classes int    `json:"classes,omitempty"`
		Maps    bool   `json:"maps,omitempty"` // whether it says where it sees a class
	}
	list := []about{}
	for _, slot := range s.models.slots {
		a := about{Name: slot.Name, Reason: *slot.reason.Load()}
		if m := slot.now.Load(); m != nil {
			a.Ready, a.Classes, a.Maps, a.Reason = true, m.one.Config().Outcomes(), m.hasCAM(), ""
		}
		list = append(list, a)
	}
	return replyJSON(q, map[string]any{"models": list})
}
