package duplicates

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Photo is a file.
type Photo struct {
	Path          string
	Bytes         int64
	Modified      time.Time
	Width, Height int     // of photos in groups; 0 where that can't be read
	Sharpness     float64 // of photos in groups, if that is what decides: see [Sharpest]

	b       bool // of the second part of two
	absent  bool // known by its features only
	content int  // photos of equal bytes have one number
	pixels  int  // and so have those of equal pixels
	row     int  // of the features; -1 for none
}

// A Link is another name of a file: a hard or symbolic link. It is no duplicate.
type Link struct{ Path, Of string }

// A Failure is a photo that can't be compared.
type Failure struct {
	Path string
	Err  error
}

// look asks the file system about paths, those from the second part on being B's. A
// file that several lead to is one photo, under a name that is no symbolic link if it
// has one. Those that aren't there are photos all the same if they may be absent.
func look(paths []string, split int, mayBeAbsent bool) (photos []Photo, links []Link, failed []Failure) {
	type name struct {
		identity
		b bool // a file that both parts have is what is looked for
	}
	seen := map[name]int{}
	for i, path := range paths {
		b := split > 0 && i >= split
		info, err := os.Stat(path)
		if err != nil && mayBeAbsent && errors.Is(err, os.ErrNotExist) {
			photos = append(photos, Photo{Path: path, b: b, absent: true, row: i})
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("not a file")
		}
		if err != nil {
			failed = append(failed, Failure{path, err})
			continue
		}
		p := Photo{Path: path, Bytes: info.Size(), Modified: info.ModTime(), b: b, row: i}
		id, ok := identify(path, info)
		if !ok {
			photos = append(photos, p)
			continue
		}
		if a, both := seen[name{id, false}]; b && both && sameName(path, photos[a].Path) {
			continue // no duplicate of itself
		}
		first, again := seen[name{id, b}]
		switch {
		case again && path == photos[first].Path: // named twice
		case !again:
			seen[name{id, b}] = len(photos)
			photos = append(photos, p)
		case isSymlink(photos[first].Path) && !isSymlink(path):
			links = append(links, Link{photos[first].Path, path})
			photos[first] = p // its place in the order stays
		default:
			links = append(links, Link{path, photos[first].Path})
		}
	}
	return photos, links, failed
}

// sameName reports whether two paths are one entry of one folder, by whatever way.
func sameName(a, b string) bool { return Place(a) == Place(b) }

// Place is where a file's name is: its path, absolute, with no symbolic link on the way
// to its folder. It has one for each of a file's names.
func Place(path string) string {
	folder := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	if abs, err := filepath.Abs(folder); err == nil {
		folder = abs
	}
	return filepath.Join(folder, filepath.Base(path))
}

func isSymlink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

type digest [sha256.Size]byte

// equalBytes numbers the photos by their content. Only files of one size are read.
func equalBytes(ctx context.Context, photos []Photo, threads int) (failed []Failure, err error) {
	bySize := make([]int, 0, len(photos))
	for i := range photos {
		photos[i].content = i
		if !photos[i].absent {
			bySize = append(bySize, i)
		}
	}
	slices.SortFunc(bySize, func(i, j int) int {
		return cmp.Or(cmp.Compare(photos[i].Bytes, photos[j].Bytes), cmp.Compare(i, j))
	})
	var candidates []int
	for k, i := range bySize {
		same := func(j int) bool { return photos[j].Bytes == photos[i].Bytes }
		if k > 0 && same(bySize[k-1]) || k+1 < len(bySize) && same(bySize[k+1]) {
			candidates = append(candidates, i)
		}
	}
	hash := func(ctx context.Context, i int) (digest, error) { return hashFile(ctx, photos[i].Path) }
	first := map[digest]int{}
	k := 0
	for sum, err := range prefetch.Map(ctx, prefetch.Options{Workers: threads}, slices.Values(candidates), hash) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		i := candidates[k]
		k++
		if err != nil {
			failed = append(failed, Failure{photos[i].Path, err})
			photos[i].row = -1
			continue
		}
		if j, ok := first[sum]; ok {
			photos[i].content = photos[j].content
		} else {
			first[sum] = i
		}
	}
	return failed, nil
}

func hashFile(ctx context.Context, path string) (sum digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &cancellable{ctx, f}); err != nil {
		return sum, err
	}
	return digest(h.Sum(nil)), nil
}

// A cancellable reader ends with its context: files may be large, or on a slow disk.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// hashPixels is the digest of a photo's size and pixels, upright.
func hashPixels(ctx context.Context, path string, o vision.DecodeOptions) (sum digest, err error) {
	img, err := vision.DecodeFile(ctx, path, o)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(img.W)), uint64(img.H)))
	h.Write(img.Pix)
	return digest(h.Sum(nil)), nil
}

// equalPixels numbers by their pixels the photos, one of each content, that have the
// same features to the bit: equal pixels have. Photos that can't be decoded keep a
// number of their own.
func equalPixels(ctx context.Context, photos []Photo, same [][]int, o vision.DecodeOptions, threads int) error {
	var all []int
	for _, some := range same {
		all = append(all, some...)
	}
	hash := func(ctx context.Context, i int) (digest, error) { return hashPixels(ctx, photos[i].Path, o) }
	next, stop := iter.Pull2(prefetch.Map(ctx, prefetch.Options{Workers: threads}, slices.Values(all), hash))
	defer stop()
	for _, some := range same {
		first := map[digest]int{}
		for _, i := range some {
			sum, err, ok := next()
			if !ok || ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				continue
			}
			if j, ok := first[sum]; ok {
				photos[i].pixels = photos[j].pixels
			} else {
				first[sum] = i
			}
		}
	}
	return nil
}

// measure fills in what is to be known of a photo in a group.
func (p *Photo) measure(ctx context.Context, k Keep, o vision.DecodeOptions) {
	if p.absent {
		return
	}
	data, err := boundedfile.Read(p.Path, vision.MaxFile)
	if err != nil {
		return
	}
	if p.Width, p.Height, err = vision.Size(data, o); err != nil || k != Sharpest {
		return
	}
	if img, err := vision.Decode(ctx, data, o); err == nil {
		p.Sharpness = sharpness(img)
	}
}
