package mobilenet

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/hub"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxPacked is how many models the cache folder keeps packed weights for, about
// 14 MB each. The one that was not used for the longest time goes first.
const maxPacked = 8

// A packedFile is the place in the cache for the packed weights of a source.
type packedFile struct{ path, key string }

// packedFor returns that place. It is named after the content of the source's
// file, so that another file never finds it. There is none for what can't be
// read, which loading reports, for what is in the program, nor without a cache folder.
func packedFor(source string) (packedFile, bool) {
	if _, ok := builtin.Lookup(source); ok { // prepared in a millisecond
		return packedFile{}, false
	}
	client, err := hub.FromEnv()
	if err != nil {
		return packedFile{}, false
	}
	path, name := source, ""
	if w, ok := hub.Lookup(source); ok {
		// The preprocessing goes with the name.
		path, name = client.Path(w), w.Name
	}
	sum, err := checksum(path)
	if err != nil {
		return packedFile{}, false
	}
	key := strings.Join([]string{sum, strings.ToLower(filepath.Ext(path)), name, os.Getenv("MOBILENET_CPU")}, ",")
	file := fmt.Sprintf("%08x-%s.packed", crc32.ChecksumIEEE([]byte(key)), sum)
	return packedFile{filepath.Join(client.Dir, "packed", file), key}, true
}

// load maps the packed weights, if they are there and whole.
func (f packedFile) load(o engine.Options) (*engine.Engine, *model.Model, bool) {
	e, m, err := engine.LoadPacked(f.path, f.key, o)
	return e, m, err == nil
}

// save keeps e's weights for the next process. A cache that can't be written
// costs that process a few milliseconds and is no error.
func (f packedFile) save(e *engine.Engine, m *model.Model) {
	dir := filepath.Dir(f.path)
	if os.MkdirAll(dir, 0o755) == nil && e.SavePacked(f.path, f.key, m) == nil {
		prune(dir)
	}
}

// prune removes all but the newest packed files of a folder.
func prune(dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.packed"))
	if err != nil {
		return
	}
	age := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return -info.ModTime().UnixNano()
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(age(a), age(b)) })
	for _, path := range files[min(maxPacked, len(files)):] {
		os.Remove(path)
	}
}

// checksum tells files apart: the size and the CRC-32C of both halves, which are
// computed at the same time. It finds changes, not forgeries: who can write the
// cache folder can write anything there.
func checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", path)
	}
	half := info.Size() / 2
	var sums [2]uint32
	var errs [2]error
	var wg sync.WaitGroup
	for i, part := range []*io.SectionReader{io.NewSectionReader(f, 0, half), io.NewSectionReader(f, half, info.Size()-half)} {
		wg.Go(func() {
			h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
			_, errs[i] = io.CopyBuffer(h, struct{ io.Reader }{part}, make([]byte, 256<<10))
			sums[i] = h.Sum32()
		})
	}
	wg.Wait()
	return fmt.Sprintf("%x-%08x%08x", info.Size(), sums[0], sums[1]), cmp.Or(errs[0], errs[1])
}
