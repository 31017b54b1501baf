package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Cached is [Compile] or [CompileQuantized] with a memory: it keeps the packed weights of
// a model in folder dir, some 14 MB at width 1 and 3.6 MB in 8 bits, so that the next
// process that asks for the same model neither reads its files nor packs its weights.
//
// key says what the model's files hold, all of them, and whatever else load makes
// of them; to Cached it is an opaque text. If dir has packed weights for key, made
// by the same build of this package for the same kernels, Cached returns an engine
// that uses them and what load once returned, but without its weights.
//
// Otherwise it calls load and compiles what that returns. load also returns the key of
// what it really read: weights are kept only if that is the key asked for, so that
// files which are replaced meanwhile aren't taken for each other. A folder that can't
// be written and a damaged file in it are no errors; they cost the time of loading.
// Nothing is kept where dir or key is empty, nor of a network of 8-bit integers with
// layers in float32.
//
// Only builds of a committed or released version of this module share a folder's
// files with others of the same version and flags. Any other build, such as one
// from a changed checkout, knows its own files by its executable. The folder may
// be shared by processes; the files used last are kept, eight of them.
func Cached(dir, key string, o Options, load func() (s Source, key string, err error)) (*Engine, Source, error) {
	k, err := chooseKernels(o.CPU)
	if err != nil {
		return nil, Source{}, err
	}
	for _, id := range k.identities(key) {
		c := cacheEntry{dir: dir, identity: id}
		if e, s, ok := c.load(k, o); ok {
			return e, s, nil
		}
	}
	s, read, err := load()
	if err != nil {
		return nil, Source{}, err
	}
	net, err := s.pack(k)
	if err != nil {
		return nil, Source{}, err
	}
	e, err := start(net.program(), o)
	if err != nil {
		return nil, Source{}, err
	}
	if read == key && !s.keptFloat() {
		c := cacheEntry{dir: dir, identity: identityOf(key, e.Precision(), e.CPU())}
		c.save(net, s)
	}
	return e, s, nil
}

// keptFloat reports whether the arena has not all weights.
func (s Source) keptFloat() bool {
	if s.Quantized == nil {
		return false
	}
	_, kept := s.Quantized.KeptFloat()
	return kept
}

// An identity says what packed weights are of and for. Two that are equal are
// interchangeable.
type identity struct {
	Key       string `json:"key"`       // the caller's: what the model was read from
	Build     string `json:"build"`     // see build
	Arch      string `json:"arch"`      // GOARCH
	ByteOrder string `json:"byteOrder"` // of the weights
	CPU       string `json:"cpu"`       // the kernel set
	Precision string `json:"precision"`
	Packing   int    `json:"packing"` // packingVersion
}

// packingVersion changes with the layout of the packed weights and of their file.
const packingVersion = 3

// identities are those that weights under a key may have.
func (k kernels) identities(key string) []identity {
	return []identity{
		identityOf(key, float32Precision, k.float32.Name),
		identityOf(key, int8Precision, k.int8.Name),
	}
}

func identityOf(key, precision, cpu string) identity {
	order := "little"
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		order = "big"
	}
	return identity{
		Key: key, Build: build(), Arch: runtime.GOARCH, ByteOrder: order,
		CPU: cpu, Precision: precision, Packing: packingVersion,
	}
}

// A cacheEntry is the place for packed weights in a cache folder.
type cacheEntry struct {
	dir string
	identity
}

// usable reports whether there is a folder, and something to know its files by.
func (c cacheEntry) usable() bool { return c.dir != "" && c.Key != "" && c.Build != "" }

// path is named after the identity, which the file's header holds in full.
func (c cacheEntry) path() string {
	sum := sha256.Sum256(fmt.Append(nil, c.identity))
	return filepath.Join(c.dir, fmt.Sprintf("%x%s", sum[:12], packedEnding))
}

const packedEnding = ".packed"

// load returns the engine of the entry's file, if it is there and whole.
func (c cacheEntry) load(k kernels, o Options) (*Engine, Source, bool) {
	if !c.usable() {
		return nil, Source{}, false
	}
	net, s, err := openPacked(c.path(), c.identity, k)
	if err != nil {
		return nil, Source{}, false
	}
	e, err := start(net.program(), o)
	if err != nil {
		return nil, Source{}, false // for compiling to report
	}
	now := time.Now()
	os.Chtimes(c.path(), now, now) // used last; where that fails it is pruned earlier
	return e, s, true
}

// save writes the entry's file. If it can't, the next process compiles again.
func (c cacheEntry) save(net compiled, s Source) {
	if c.usable() && os.MkdirAll(c.dir, 0o755) == nil && savePacked(c.path(), c.identity, net, s) == nil {
		prune(c.dir)
	}
}

const (
	// maxPacked is how many packed files a folder keeps.
	maxPacked = 8
	// abandoned is the age at which a temporary file was left by a process that
	// was killed: writing one takes less than a second.
	abandoned = time.Hour
)

// prune removes all but the packed files used last, and what killed processes
// have left. What it can't remove stays.
func prune(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var packed []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case strings.HasSuffix(info.Name(), packedEnding):
			packed = append(packed, info)
		case strings.HasPrefix(info.Name(), ".") && strings.Contains(info.Name(), packedEnding+".") && time.Since(info.ModTime()) > abandoned:
			os.Remove(filepath.Join(dir, info.Name()))
		}
	}
	slices.SortFunc(packed, func(a, b fs.FileInfo) int { return cmp.Compare(b.ModTime().UnixNano(), a.ModTime().UnixNano()) })
	for _, info := range packed[min(maxPacked, len(packed)):] {
		os.Remove(filepath.Join(dir, info.Name()))
	}
}
