package mobilenet

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/hub"
)

// packedFor returns the folder for the packed weights of a source and the key of
// what its file holds now. Without a folder nothing is kept: for what can't be
// read, which loading reports, for what is in the program, and where there is no
// cache folder.
func packedFor(source string) (dir, key string) {
	if _, ok := builtin.Lookup(source); ok { // prepared in a millisecond
		return "", ""
	}
	client, err := hub.FromEnv()
	if err != nil {
		return "", ""
	}
	path, name := source, ""
	if w, ok := hub.Lookup(source); ok {
		// The preprocessing goes with the name.
		path, name = client.Path(w), w.Name
	}
	sum, err := checksum(path)
	if err != nil {
		return "", ""
	}
	return filepath.Join(client.Dir, "packed"), strings.Join([]string{sum, strings.ToLower(filepath.Ext(path)), name}, ",")
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
