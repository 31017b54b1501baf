package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/serve"
)

// shapes is a photo unlike boot.
const shapes = "../testdata/shapes.png"

// metaOf opens a model and says what features it has.
func metaOf(t testing.TB, open opener) (*mobilenet.Classifier, search.Meta) {
	t.Helper()
	c, err := open(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	h, w := c.Config().InputSize()
	return c, search.Meta{
		Model: "fashion-mnist", Digest: "00", Precision: string(c.Precision()), Height: h, Width: w,
		Preprocess: c.Config().Preprocess, Dim: c.Config().Network().Features(),
	}
}

type opener = func(ctx context.Context, threads int) (*mobilenet.Classifier, error)

// writeIndex writes an index of photos by the built-in model.
func writeIndex(t testing.TB, path string, photos ...string) {
	t.Helper()
	writeIndexOf(t, openBuiltin, path, photos...)
}

func writeIndexOf(t testing.TB, open opener, path string, photos ...string) {
	t.Helper()
	c, m := metaOf(t, open)
	w, err := search.Create(path, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range photos {
		img, err := mobilenet.DecodeFile(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Embed(t.Context(), img)
		if err == nil {
			err = w.Add(name, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t testing.TB, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withIndex is the built-in model with an index.
func withIndex(file string) []serve.Model {
	return []serve.Model{{Name: "fashion", Open: openBuiltin, Index: openIndex(file)}}
}

func openIndex(file string) func(context.Context, *mobilenet.Classifier) (*search.Index, error) {
	return func(context.Context, *mobilenet.Classifier) (*search.Index, error) { return search.Open(file) }
}

type neighbours struct {
	Neighbours []struct {
		File      string
		FileBytes []byte `json:"file_bytes"`
		Score     float64
		Row       int
		Thumbnail string
	}
	Timing map[string]float64 `json:"timing_ms"`
	Error  string
}

// TestNeighbours: neighbours are those of a search by the library, to the bit.
func TestNeighbours(t *testing.T) {
	dir := t.TempDir()
	var photos []string
	for i, name := range []string{"a boot.png", "<b>&\n'quoted\" ü.png", "not utf-8 \xff.png", "shapes.png"} {
		to := filepath.Join(dir, name)
		copyFile(t, to, []string{boot, shapes}[i/3])
		photos = append(photos, to)
	}
	file := filepath.Join(dir, "a.mnidx")
	writeIndex(t, file, photos...)
	_, address := start(t, serve.Options{Models: withIndex(file), Thumbnails: []string{dir}})

	x, err := search.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	c, _ := metaOf(t, openBuiltin)
	img, err := mobilenet.DecodeFile(t.Context(), shapes)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Embed(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := x.Search(t.Context(), [][]float32{v}, search.Options{Top: 10})
	if err != nil {
		t.Fatal(err)
	}
	near := len(slices.DeleteFunc(slices.Clone(hits[0]), func(h search.Hit) bool { return h.Score < 0.9 }))
	if near == 0 || near == len(hits[0]) {
		t.Fatalf("scores on one side: %v", hits[0])
	}
	data, err := os.ReadFile(shapes)
	if err != nil {
		t.Fatal(err)
	}
	for query, n := range map[string]int{"neighbours=10": 4, "neighbours=2": 2, "neighbours=10&maps=3": 4, "neighbours=1&top=1": 1,
		"neighbours=10&min_score=0.9": near, "neighbours=10&min_score=-1": 4, "neighbours=10&min_score=0": 4, "neighbours=3&min_score=0": 3, "neighbours=10&maps=1&min_score=1": 1} {
		_, _, body := ask(t, "POST", address+"/v1/classify?"+query, data)
		got, want := decode[neighbours](t, body), hits[0][:n]
		if len(got.Neighbours) != len(want) || got.Timing["search"] <= 0 {
			t.Fatalf("%s: %s", query, body)
		}
		for i, n := range got.Neighbours {
			name := n.File
			if n.FileBytes != nil {
				name = string(n.FileBytes)
			}
			if name != want[i].Path || n.Score != want[i].Score || n.Row != want[i].Row {
				t.Errorf("%s: %+v, want %+v", query, n, want[i])
			}
			code, header, picture := ask(t, "GET", address+"/v1/"+n.Thumbnail, nil)
			if code != 200 || header.Get("Content-Type") != "image/jpeg" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Encoding") != "" {
				t.Errorf("%q: %d %v %.200s", n.File, code, header, picture)
			}
			if img, err := jpeg.Decode(bytes.NewReader(picture)); err != nil || img.Bounds().Dx() != 224 || img.Bounds().Dy() != 224 {
				t.Errorf("%q: %v", n.File, err)
			}
		}
	}
	if _, _, body := ask(t, "POST", address+"/v1/classify", data); bytes.Contains(body, []byte("neighbours")) || bytes.Contains(body, []byte("search")) {
		t.Errorf("neighbours that nobody wanted: %s", body)
	}
	_, _, body := ask(t, "GET", address+"/v1/models", nil)
	if !bytes.Contains(body, []byte(`"index":{"photos":4,"thumbnails":true}`)) {
		t.Errorf("%s", body)
	}
	_, _, body = ask(t, "GET", address+"/metrics", nil)
	if !bytes.Contains(body, []byte(`mobilenet_index_photos{model="fashion"} 4`)) || !bytes.Contains(body, []byte(`stage="search"`)) {
		t.Error("no metrics of the index")
	}
}

// TestNeighboursOfSeveral: each photo has its own, and there is a limit for all.
func TestNeighboursOfSeveral(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, file, boot, shapes)
	_, address := start(t, serve.Options{Models: append(withIndex(file), serve.Model{Name: "plain", Open: openBuiltin})})
	request, err := json.Marshal(map[string]any{"photos": [][]byte{photo(t), []byte("broken"), photo(t)}})
	if err != nil {
		t.Fatal(err)
	}
	post := func(query string) (int, []byte) {
		code, _, body := ask(t, "POST", address+"/v1/classify?"+query, request, "Content-Type", "application/json")
		return code, body
	}
	_, body := post("neighbours=1")
	got := decode[struct{ Photos []neighbours }](t, body).Photos
	if len(got) != 3 || got[1].Error == "" || got[1].Neighbours != nil || got[0].Neighbours[0].File != boot || got[2].Neighbours[0].Score != 1 || got[0].Neighbours[0].Thumbnail != "" {
		t.Errorf("%s", body)
	}
	for query, want := range map[string]string{
		"neighbours=0": "want 1 to", "neighbours=-1": "want 1 to", "neighbours=x": "want 1 to", "neighbours=100000": "want 1 to", "neighbours=": "empty",
		"neighbours=1&neighbours=2": "2 times", "neighbours=334": "1002 neighbours in an answer", "neighbours=1&model=plain": "without an index",
		"min_score=0.5": "neighbours=N", "neighbours=1&min_score=1.5": "want -1 to 1", "neighbours=1&min_score=NaN": "want -1 to 1", "neighbours=1&min_score=x": "want -1 to 1",
		"neighbors=1": "no parameter",
	} {
		if code, body := post(query); code != 400 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, want %s", query, code, body, want)
		}
	}
}

// TestEmptyIndex: of no photos none is alike.
func TestEmptyIndex(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, file)
	_, address := start(t, serve.Options{Models: withIndex(file)})
	if _, _, body := ask(t, "POST", address+"/v1/classify?neighbours=3", photo(t)); !bytes.Contains(body, []byte(`"neighbours":[]`)) {
		t.Errorf("%s", body)
	}
}

// TestIndexOfAnother: an index of another network, precision or preprocessing is not
// served, and neither is a file that is none.
func TestIndexOfAnother(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.mnidx")
	_, right := metaOf(t, openBuiltin)
	for want, change := range map[string]func(m *search.Meta){
		"ran in int8":        func(m *search.Meta) { m.Precision = "int8" },
		"prepared otherwise": func(m *search.Meta) { m.Height++ },
		"EXIF orientation":   func(m *search.Meta) { m.AsStored = true },
		"otherwise":          func(m *search.Meta) { m.Preprocess.Mean[0] += 0.1 },
		"features":           func(m *search.Meta) { m.Dim++ },
	} {
		m := right
		change(&m)
		os.Remove(file)
		w, err := search.Create(file, m, nil)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := serve.New(t.Context(), serve.Options{Models: withIndex(file)}); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, file := range []string{boot, dir, filepath.Join(dir, "none")} {
		if _, err := serve.New(t.Context(), serve.Options{Models: withIndex(file)}); err == nil {
			t.Errorf("%s is an index", file)
		}
	}
	if _, err := serve.New(t.Context(), serve.Options{Models: withIndex(file), Thumbnails: []string{boot}}); err == nil {
		t.Error("a photo is a folder of thumbnails")
	}
}

// TestIndexUnderneath: whatever is done to the file of an index in use, the server lives
// and says nothing wrong; a load that fails leaves the old one, and one that doesn't brings
// the new.
func TestIndexUnderneath(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "a.mnidx"), filepath.Join(dir, "b.mnidx")
	writeIndex(t, file, boot, shapes)
	writeIndex(t, other, shapes, boot)
	s, address := start(t, serve.Options{Models: withIndex(file), Thumbnails: []string{"../testdata"}})
	finds := func(want string) {
		t.Helper()
		code, _, body := ask(t, "POST", address+"/v1/classify?neighbours=1", photo(t))
		if got := fmt.Sprint(code, " ", string(body)); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	first := `"neighbours":[{"file":"` + boot + `","score":1,"row":0`
	finds(first)
	if err := os.Rename(other, file); err != nil { // as embed and most programs replace a file
		t.Fatal(err)
	}
	finds(first)
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := strings.Replace(first, `"row":0`, `"row":1`, 1)
	finds(second)

	writeIndex(t, other, boot, shapes)
	copyFile(t, file, other) // over it, in place
	finds("503 ")
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	finds(first)
	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	finds("503 ")
	code, _, body := ask(t, "GET", address+"/v1/thumbnail?model=fashion&file="+url.QueryEscape(boot), nil)
	if code != 404 && code != 503 {
		t.Errorf("a thumbnail by an index that was cut: %d %s", code, body)
	}
	if err := s.Reload(t.Context()); err == nil {
		t.Error("an index that was cut is loaded")
	}
	finds("503 ")
	if code, _, body := ask(t, "GET", address+"/v2/health/ready", nil); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	os.Remove(file)
	copyFile(t, file, other)
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	finds(first)
	w, err := search.Append(file)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	finds(first) // what is appended changes nothing
}

// TestThumbnails: only photos that the index names are shown, from the folders that were
// given, and only while they are what the index has.
func TestThumbnails(t *testing.T) {
	dir := t.TempDir()
	shown, hidden := filepath.Join(dir, "shown"), filepath.Join(dir, "hidden")
	for _, d := range []string{shown, hidden, filepath.Join(shown, "sub")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	named := map[string]int{} // what the index names, and the status
	add := func(path string, status int) string {
		named[path] = status
		return path
	}
	copyFile(t, add(filepath.Join(shown, "a.png"), 200), boot)
	copyFile(t, add(filepath.Join(shown, "sub", "a.png"), 200), boot)
	copyFile(t, add(filepath.Join(hidden, "a.png"), 404), boot)
	copyFile(t, add(filepath.Join(shown, "changed.png"), 410), boot)
	copyFile(t, add(filepath.Join(shown, "broken.png"), 410), boot)
	copyFile(t, add(filepath.Join(shown, "gone.png"), 404), boot)
	copyFile(t, add(filepath.Join(shown, "folder.png"), 404), boot)
	copyFile(t, add(filepath.Join(shown, "large.png"), 413), boot)
	named[shown+"/../hidden/a.png"], named[shown+"/sub/../a.png"] = 404, 200
	link := func(name, to string, status int) {
		if err := os.Symlink(to, add(filepath.Join(shown, name), status)); err != nil {
			t.Fatal(err)
		}
	}
	link("inside.png", "a.png", 200)
	link("outside.png", "../hidden/a.png", 404)
	link("absolute.png", filepath.Join(hidden, "a.png"), 404)
	link("way", "../hidden", 404)
	delete(named, filepath.Join(shown, "way"))
	named[filepath.Join(shown, "way", "a.png")] = 404
	for name := range named { // what is not there yet
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "a.mnidx")
	var all []string
	for name := range named {
		all = append(all, name)
	}
	slices.Sort(all)
	writeIndex(t, file, all...)
	copyFile(t, filepath.Join(shown, "unnamed.png"), boot)
	copyFile(t, filepath.Join(shown, "changed.png"), shapes)
	copyFile(t, filepath.Join(shown, "broken.png"), "serve_test.go")
	if err := os.Truncate(filepath.Join(shown, "large.png"), 2<<20); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone.png", "folder.png"} {
		if err := os.Remove(filepath.Join(shown, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(shown, "folder.png"), 0o755); err != nil {
		t.Fatal(err)
	}

	_, address := start(t, serve.Options{Models: append(withIndex(file), serve.Model{Name: "plain", Open: openBuiltin}), Thumbnails: []string{shown}, MaxBody: 1 << 20})
	at := func(model, file string) string {
		return address + "/v1/thumbnail?" + url.Values{"model": {model}, "file": {file}}.Encode()
	}
	for name, want := range named {
		if code, header, body := ask(t, "GET", at("fashion", name), nil); code != want {
			t.Errorf("%s: %d %.100q, want %d", name, code, body, want)
		} else if code != 200 && header.Get("Etag") != "" {
			t.Errorf("%s: %d with an ETag", name, code)
		}
	}
	a := filepath.Join(shown, "a.png")
	for _, test := range []struct {
		address string
		status  int
	}{
		{at("fashion", filepath.Join(shown, "unnamed.png")), 404}, {at("fashion", "/etc/passwd"), 404}, {at("fashion", ""), 404}, {at("fashion", a+"\x00"), 404},
		{at("fashion", "a.png"), 404}, {at("plain", a), 404}, {at("none", a), 404}, {address + "/v1/thumbnail", 400}, {at("fashion", a) + "&file=b", 400},
		{at("fashion", a) + "&size=1", 400},
	} {
		if code, _, body := ask(t, "GET", test.address, nil); code != test.status {
			t.Errorf("%s: %d %.100q, want %d", test.address, code, body, test.status)
		}
	}
	if code, _, _ := ask(t, "POST", at("fashion", a), nil); code != 405 {
		t.Errorf("POST: %d", code)
	}
	_, header, _ := ask(t, "GET", at("fashion", a), nil)
	if cache := header.Get("Cache-Control"); cache != "private, no-cache" || header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("%v", header)
	}
	if code, _, body := ask(t, "GET", at("fashion", a), nil, "If-None-Match", header.Get("Etag")); code != 304 || len(body) != 0 {
		t.Errorf("not modified: %d, %d bytes", code, len(body))
	}
	copyFile(t, a, shapes)
	if code, _, _ := ask(t, "GET", at("fashion", a), nil, "If-None-Match", header.Get("Etag")); code != 410 {
		t.Errorf("modified: %d", code)
	}
	_, address = start(t, serve.Options{Models: withIndex(file)})
	if code, _, _ := ask(t, "GET", at("fashion", filepath.Join(shown, "sub", "a.png")), nil); code != 404 {
		t.Errorf("a thumbnail without a folder: %d", code)
	}
}
