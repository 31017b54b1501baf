package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A photo of an index is shown as its middle, which is what the network sees of it: some
// ten kilobytes.
const (
	thumbnailSide    = 224
	thumbnailQuality = 80
)

// sameEnough is the least cosine of a photo's features and its row in the index with
// which it still is that photo. One that was saved anew has 0.98 or more, another one
// seldom 0.8.
const sameEnough = 0.9

// photoFolders are those whose photos may be shown, if an index names them. They are
// absolute paths.
type photoFolders []string

func newPhotoFolders(list []string) (photoFolders, error) {
	var all photoFolders
	for _, dir := range list {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New("not a folder")}
		}
		all = append(all, path)
	}
	return all, nil
}

var errNoPhoto = &failure{http.StatusNotFound, "the photo is not there, or in no folder whose photos are shown"}

// open opens a photo by its path in an index. Paths, and links on the way, that lead out
// of the folders are not followed, and only files are opened: what waits for a writer
// would be waited for.
func (folders photoFolders) open(path string) (*os.File, fs.FileInfo, error) {
	if len(folders) == 0 || strings.ContainsRune(path, 0) {
		return nil, nil, errNoPhoto
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, errNoPhoto
	}
	for _, dir := range folders {
		below, err := filepath.Rel(dir, path)
		if err != nil || !filepath.IsLocal(below) {
			continue
		}
		if f, info, err := openBelow(dir, below); err == nil {
			return f, info, nil
		}
	}
	return nil, nil, errNoPhoto
}

// warn says in the log that no photo of a model's index can be shown: the folder may be
// a wrong one. It looks at some only.
func (folders photoFolders) warn(log *slog.Logger, s *slot) {
	m := s.now.Load()
	if len(folders) == 0 || m == nil || m.index == nil || m.index.Len() == 0 {
		return
	}
	defer runtime.KeepAlive(m)
	const some = 32
	for i := range some {
		if f, _, err := folders.open(m.index.Path(i * m.index.Len() / some)); err == nil {
			f.Close()
			return
		}
	}
	log.Warn("no photo of the index is in a folder of which thumbnails are shown", "model", s.Name, "photo", m.index.Path(0), "folders", []string(folders))
}

func openBelow(dir, path string) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, errNoPhoto
	}
	return f, info, nil
}

// thumbnail shows a photo that the index of a model names, if it still is the one whose
// features the index has.
func (s *Server) thumbnail(q *request) error {
	m, row, f, info, err := s.indexed(q)
	if err != nil {
		return err
	}
	defer f.Close()
	h := q.w.Header()
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // pages of other sites may not show it
	h.Set("Cache-Control", "private, no-cache")          // but with a look at whether the file has changed
	tag := fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
	if q.Header.Get("If-None-Match") == tag {
		h.Set("ETag", tag)
		q.status = http.StatusNotModified
		q.w.WriteHeader(q.status)
		return nil
	}
	data, err := s.readIndexed(q, f, info.Size())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(q.Context(), q.deadline)
	defer cancel()
	var picture []byte
	j := &job{ctx: q.Context(), deadline: q.deadline, work: func(alone bool) (err error) {
		picture, err = m.picture(ctx, m.on(alone), data, row, s.decoding)
		return err
	}}
	if err := s.scheduler.do([]*job{j}); err != nil {
		return err
	}
	h.Set("ETag", tag)
	return reply(q, "image/jpeg", picture)
}

// indexed finds and opens the photo that a request names by model and file.
func (s *Server) indexed(q *request) (m *loaded, row int, f *os.File, info fs.FileInfo, err error) {
	query, err := url.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return nil, 0, nil, nil, badRequest("query: " + err.Error())
	}
	if len(query["model"]) != 1 || len(query["file"]) != 1 || len(query) != 2 {
		return nil, 0, nil, nil, badRequest("want the parameters model and file, each once")
	}
	if err := s.maySeeNames(q.Request); err != nil {
		return nil, 0, nil, nil, err
	}
	if m, _, err = s.models.find(query.Get("model"), ""); err != nil {
		return nil, 0, nil, nil, err
	}
	q.model = m.name
	if m.index == nil {
		return nil, 0, nil, nil, &failure{http.StatusNotFound, "model " + m.name + " is served without an index"}
	}
	row, ok := m.index.Find(query.Get("file"))
	runtime.KeepAlive(m)
	if !ok {
		return nil, 0, nil, nil, &failure{http.StatusNotFound, "the index has no such file"}
	}
	f, info, err = s.photos.open(query.Get("file"))
	return m, row, f, info, err
}

// readIndexed reads a photo's file within the bounds of a request's body.
func (s *Server) readIndexed(q *request, f *os.File, size int64) (data []byte, err error) {
	if err := s.scheduler.refuse(1, q.deadline); err != nil {
		return nil, err
	}
	if size > s.o.MaxBody {
		return nil, &http.MaxBytesError{Limit: s.o.MaxBody}
	}
	slow, err := s.slow(q)
	if err != nil {
		return nil, err
	}
	if err = slow.take(size + 1); err == nil {
		err = slow.settle()
	}
	if q.deadline.After(slow.deadline) {
		slow.allow(time.Time{}) // as for a body
	}
	if err == nil {
		data = make([]byte, size+1)
		var n int
		if n, err = io.ReadFull(f, data); err == nil {
			err = &failure{http.StatusServiceUnavailable, "the photo grows while it is read"}
		} else if err == io.EOF || err == io.ErrUnexpectedEOF {
			data, err = data[:n], nil
		}
	}
	return data, err
}

// picture makes the thumbnail of a photo of which the index has a row.
func (m *loaded) picture(ctx context.Context, c *mobilenet.Classifier, data []byte, row int, o vision.DecodeOptions) ([]byte, error) {
	for _, o.IgnoreOrientation = range []bool{false, true} { // embed has a flag for it
		same, err := m.isRow(ctx, c, data, row, o)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		img, err := vision.DecodeCrop(ctx, data, o, model.Preprocess{Resize: thumbnailSide, Interpolation: model.Bilinear}, thumbnailSide, thumbnailSide)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: thumbnailQuality})
		return b.Bytes(), err
	}
	return nil, errChanged
}

var errChanged = &failure{http.StatusGone, "the file is not the photo any more that the index has"}

// isRow reports whether a photo has the features that a row of the index has, but for
// what saving it anew does to them.
func (m *loaded) isRow(ctx context.Context, c *mobilenet.Classifier, data []byte, row int, o vision.DecodeOptions) (bool, error) {
	it := item{file: data}
	err := it.run(ctx, c, o, wanted{Wanted: mobilenet.Wanted{Features: true}})
	if broken := (*fault.Error)(nil); errors.As(err, &broken) && broken.Kind != fault.TooLarge {
		return false, errChanged // it could be read once
	}
	if err != nil {
		return false, err
	}
	defer runtime.KeepAlive(m)
	a, err := m.index.Project(it.out.Features)
	if err != nil {
		return false, err
	}
	b, err := m.index.Row(row, nil)
	if err != nil {
		return false, indexFailure(err)
	}
	var ab, aa, bb float64
	for i, v := range a {
		x, y := float64(v), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab >= sameEnough*math.Sqrt(aa*bb), nil
}
