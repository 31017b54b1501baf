package duplicates

import (
	"bytes"
	"context"
	"image/jpeg"
	"image/png"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// colours are features for tests: a photo's mean colour in nine parts. They bear JPEG,
// and know nothing of size.
func colours(ctx context.Context, paths iter.Seq[string]) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		for path := range paths {
			img, err := vision.DecodeFile(ctx, path, vision.DecodeOptions{})
			var v []float32
			if err == nil {
				for _, p := range vision.Resize(img, 3, 3, model.Bilinear).Pix {
					v = append(v, float32(p)+1)
				}
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// picture is one of many that differ.
func picture(seed, w, h int) *vision.Image {
	img := vision.NewImage(w, h)
	for y := range h {
		for x := range w {
			for c := range 3 {
				cell := (x*3/w)*7 + (y*3/h)*13 + c*5 + seed*31
				img.Pix[3*(y*w+x)+c] = byte(cell * cell * 37)
			}
		}
	}
	return img
}

func save(t *testing.T, path string, img *vision.Image, quality int) {
	t.Helper()
	var b bytes.Buffer
	var err error
	if quality > 0 {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: quality})
	} else {
		err = (&png.Encoder{CompressionLevel: png.CompressionLevel(quality)}).Encode(&b, img)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func finder() *Finder {
	return &Finder{Settings: Settings{Threshold: 0.999, Linkage: Complete, Threads: 2}, Keep: Largest, Features: colours}
}

// lines is a report in a form that tests can read.
func lines(r *Report, dir string) []string {
	var all []string
	name := func(path string) string {
		return filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
	}
	for _, g := range r.Groups {
		line := name(g.Members[g.Keep].Path) + ":"
		for i, m := range g.Members {
			if i != g.Keep {
				line += " " + name(m.Path) + "=" + string(m.How)
			}
		}
		all = append(all, line)
	}
	return all
}

// folder has photos of each kind: a.png, of which b.png has the bytes, c.png the pixels,
// d.jpg is a smaller copy, z.png another photo, and broken.png twice.
func folder(t *testing.T) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	p := func(name string) string {
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		return path
	}
	save(t, p("a.png"), picture(1, 90, 60), 0)
	save(t, p("b.png"), picture(1, 90, 60), 0)
	save(t, p("c.png"), picture(1, 90, 60), int(png.NoCompression))
	save(t, p("d.jpg"), picture(1, 45, 30), 80)
	save(t, p("z.png"), picture(2, 90, 60), 0)
	for _, name := range []string{"broken1.png", "broken2.png"} {
		if err := os.WriteFile(p(name), []byte("\x89PNG\r\n\x1a\nno more"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(paths, filepath.Join(dir, "none.png"))
}

func TestFind(t *testing.T) {
	dir, paths := folder(t)
	r, err := finder().Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"c.png: a.png=pixels b.png=pixels d.jpg=features", "broken1.png: broken2.png=bytes"}
	if got := lines(r, dir); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(r.Failed) != 2 { // none.png, and one of the broken ones
		t.Errorf("failed: %v", r.Failed)
	}
	if want := "of the same size in pixels, and most bytes"; !strings.HasPrefix(r.Groups[0].Why, want) {
		t.Errorf("why: %s", r.Groups[0].Why)
	}
	// imagededup's duplicates are pairs.
	near, err := r.Neighbours()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, others := range near {
		n += len(others)
		if filepath.Base(path) == "z.png" && len(others) != 0 {
			t.Errorf("z.png is like %v", others)
		}
	}
	if n != 4*3+2 {
		t.Errorf("%d neighbours", n)
	}
}

func TestKeep(t *testing.T) {
	dir, paths := folder(t)
	if err := os.Chtimes(paths[3], time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keep Keep
		want string
	}{{Largest, "c.png:"}, {Oldest, "d.jpg:"}, {First, "a.png:"}, {Sharpest, "c.png:"}} {
		f := finder()
		f.Keep = c.keep
		r, err := f.Find(t.Context(), paths)
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(r, dir)[0]; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s (%s), want %s", c.keep, got, r.Groups[0].Why, c.want)
		}
	}
}

// TestWhy: what is said of the photo to keep is true, and tells it from the next.
func TestWhy(t *testing.T) {
	at := func(nanoseconds int64) time.Time { return time.Unix(1e9, nanoseconds).UTC() }
	for _, c := range []struct {
		keep   Keep
		photos []Photo
		want   int
		why    string
	}{
		{Largest, []Photo{{Width: 4, Height: 3, Bytes: 9}, {Width: 5, Height: 4, Bytes: 1}, {Width: 1, Height: 2}}, 1, "largest: 5x4, the next 4x3"},
		{Largest, []Photo{{Width: 4, Height: 3, Bytes: 1}, {Width: 3, Height: 4, Bytes: 7}, {Bytes: 99}}, 1, "of the same size in pixels, and most bytes: 7, the next 1"},
		{Largest, []Photo{{Width: 4, Height: 3, Bytes: 7}, {Width: 4, Height: 3, Bytes: 7}}, 0, "first of equals"},
		{Oldest, []Photo{{Modified: at(5e9)}, {Modified: at(0)}, {Modified: at(1e9)}}, 1, "oldest: 2001-09-09 01:46:40, the next 2001-09-09 01:46:41"},
		{Oldest, []Photo{{Modified: at(5)}, {Modified: at(1)}}, 1, "oldest: 2001-09-09 01:46:40.000000001, the next 2001-09-09 01:46:40.000000005"},
		{Oldest, []Photo{{Modified: at(5)}, {Modified: at(5)}}, 0, "first of equals"},
		{Sharpest, []Photo{{Sharpness: 1.0051}, {Sharpness: 1.0103}}, 1, "sharpest: 1.01, the next 1.005"},
		{Sharpest, []Photo{{Sharpness: 1, Width: 1, Height: 1}, {Sharpness: 1.001, Width: 2, Height: 2}}, 1, "largest: 2x2, the next 1x1"},
		{Sharpest, []Photo{{Sharpness: 1.001, Bytes: 1}, {Sharpness: 1, Bytes: 2}, {Sharpness: 0.5}}, 1, "of the same size in pixels, and most bytes: 2, the next 1"},
		{First, []Photo{{}, {Width: 9, Height: 9}}, 0, "first"},
	} {
		if got, why := choose(c.photos, c.keep); got != c.want || why != c.why {
			t.Errorf("%s of %+v: %d, %q; want %d, %q", c.keep, c.photos, got, why, c.want, c.why)
		}
	}
}

// TestSummary has photos counted by what they share with the one to keep, and those that
// share their bytes with another, which are linked, too.
func TestSummary(t *testing.T) {
	member := func(how How, content int) Member {
		return Member{Photo: Photo{Bytes: 1e6, content: content}, How: how}
	}
	for _, c := range []struct {
		members []Member
		want    string
	}{
		{[]Member{member("", 1), member(EqualBytes, 1)}, "1 photo (1.0 MB) need not be kept (1 of equal bytes)"},
		{[]Member{member("", 1), member(EqualPixels, 2), member(EqualPixels, 2), member(EqualBytes, 1)},
			"3 photos (3.0 MB) need not be kept (1 of equal bytes, 2 of equal pixels); 2 have the bytes of another of their group, kept or not"},
	} {
		r := &Report{Photos: make([]Photo, 9), Groups: []Group{{Members: c.members}}}
		if got, want := r.Summary(), "9 photos, 1 group of duplicates: "+c.want; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestSharpness: a small copy that was scaled up is less sharp, and so is a blurred
// one; more contrast is not more detail.
func TestSharpness(t *testing.T) {
	sharp := vision.NewImage(600, 600)
	for i := range sharp.Pix {
		sharp.Pix[i] = byte(64 + 32*((i/3%600/7+i/1800/5)%3))
	}
	soft := vision.Resize(vision.Resize(sharp, 150, 150, model.Bilinear), 600, 600, model.Bilinear)
	if a, b := sharpness(sharp), sharpness(soft); a < 1.2*b {
		t.Errorf("sharp %v, soft %v", a, b)
	}
	contrast := vision.NewImage(600, 600)
	for i, v := range sharp.Pix {
		contrast.Pix[i] = 2 * (v - 64)
	}
	if a, b := sharpness(sharp), sharpness(contrast); b < 0.95*a || b > 1.05*a {
		t.Errorf("%v, with more contrast %v", a, b)
	}
	if v := sharpness(vision.NewImage(1, 1)); v != 0 {
		t.Errorf("of one pixel: %v", v)
	}
}

// TestBetween looks for photos of val that train has, too.
func TestBetween(t *testing.T) {
	dir, paths := folder(t)
	val := filepath.Join(dir, "val")
	var second []string
	p := func(name string) string {
		second = append(second, filepath.Join(val, name))
		return second[len(second)-1]
	}
	save(t, p("1.png"), picture(1, 90, 60), 0)                      // a.png and b.png to the byte
	save(t, p("2.png"), picture(1, 90, 60), int(png.NoCompression)) // c.png
	save(t, p("3.jpg"), picture(2, 50, 30), 85)                     // like z.png
	save(t, p("4.png"), picture(3, 90, 60), 0)                      // new
	save(t, p("5.png"), picture(3, 90, 60), 0)                      // twice in val, which is not what is asked
	data, err := os.ReadFile(paths[5])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p("broken.png"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	f := finder()
	f.Split = len(paths)
	r, err := f.Find(t.Context(), append(paths, second...))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a.png: val/1.png=bytes", "c.png: val/2.png=bytes", "z.png: val/3.jpg=features", "broken1.png: val/broken.png=bytes"}
	if got := lines(r, dir); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if runtime.GOOS != "windows" { // one file in both parts is a leak, too
		if err := os.Link(paths[4], p("linked.png")); err != nil {
			t.Fatal(err)
		}
		r, err := f.Find(t.Context(), append(paths, second...))
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(r, dir)[2]; !strings.Contains(got, "val/linked.png=bytes") {
			t.Errorf("%q", got)
		}
		// But the name of the one file there is does not go, which could be all there is.
		moves, _ := r.Moves(t.TempDir(), nil)
		if i := slices.IndexFunc(moves, func(c Change) bool { return filepath.Base(c.Path) == "linked.png" }); i >= 0 {
			t.Errorf("moved: %+v", moves[i])
		}
	}
}

// TestBetweenItself: a photo that both parts have under one name is no duplicate.
func TestBetweenItself(t *testing.T) {
	dir, paths := folder(t)
	before := tree(t, dir)
	f := finder()
	f.Split = 1
	r, err := f.Find(t.Context(), []string{paths[0], paths[0]})
	if err != nil || len(r.Groups) > 0 {
		t.Errorf("%q, %v", lines(r, dir), err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	// A symbolic link of the first part is a leak, and what it leads to stays.
	link := filepath.Join(t.TempDir(), "link.png")
	if err := os.Symlink(paths[0], link); err != nil {
		t.Fatal(err)
	}
	r, err = f.Find(t.Context(), []string{link, paths[0]})
	if err != nil || len(r.Groups) != 1 {
		t.Fatalf("%q, %v", lines(r, dir), err)
	}
	if moves, left := r.Moves(t.TempDir(), nil); len(moves) > 0 || left != 1 {
		t.Errorf("moves %+v, %d left", moves, left)
	}
	g := r.Groups[0]
	failed := do(t, []Change{change(opMove, &g.Members[1].Photo, &g.Members[0].Photo)}, &bytes.Buffer{})
	if len(failed) != 1 || !strings.Contains(failed[0], "the same file") {
		t.Errorf("%q", failed)
	}
	same(t, tree(t, dir), before)
}

// TestLinks: names of one file are no duplicates, and the one that is not symbolic
// stands for it.
func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links")
	}
	dir, paths := folder(t)
	hard, soft := filepath.Join(dir, "hard.png"), filepath.Join(dir, "0.png")
	if err := os.Link(paths[4], hard); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(paths[0], soft); err != nil {
		t.Fatal(err)
	}
	r, err := finder().Find(t.Context(), append([]string{soft, hard, paths[0]}, paths...))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"c.png: a.png=pixels b.png=pixels d.jpg=features", "broken1.png: broken2.png=bytes"}
	if got := lines(r, dir); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if want := []Link{{soft, paths[0]}, {paths[4], hard}}; !slices.Equal(r.Links, want) {
		t.Errorf("%v", r.Links)
	}
}

// TestMany: ten thousand copies are one read and one comparison.
func TestMany(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "0"), picture(1, 40, 30), 0)
	data, err := os.ReadFile(filepath.Join(dir, "0"))
	if err != nil {
		t.Fatal(err)
	}
	n := 10_000
	if testing.Short() {
		n = 500
	}
	var paths []string
	for i := range n {
		paths = append(paths, filepath.Join(dir, string(rune('a'+i%26))+strings.Repeat("x", i/26)))
	}
	for i := range paths {
		paths[i] = filepath.Join(dir, "p"+time.Duration(i).String())
		if err := os.WriteFile(paths[i], data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	f := finder()
	f.Features = func(ctx context.Context, paths iter.Seq[string]) iter.Seq2[[]float32, error] {
		for range paths {
			asked++
		}
		return colours(ctx, paths)
	}
	r, err := f.Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	if asked != 1 || len(r.Groups) != 1 || len(r.Groups[0].Members) != n {
		t.Errorf("%d asked, %d groups", asked, len(r.Groups))
	}
}

func TestFindNothing(t *testing.T) {
	for _, paths := range [][]string{nil, {"nowhere"}} {
		r, err := finder().Find(t.Context(), paths)
		if err != nil || len(r.Groups) != 0 || len(r.Failed) != len(paths) {
			t.Errorf("%v: %v %v", paths, r, err)
		}
		var b bytes.Buffer
		if err := r.Page(t.Context(), &b, finder()); err != nil || !strings.Contains(b.String(), "No duplicates") {
			t.Errorf("page: %v", err)
		}
	}
	dir, paths := folder(t)
	f := finder()
	f.Features = func(ctx context.Context, paths iter.Seq[string]) iter.Seq2[[]float32, error] {
		return func(yield func([]float32, error) bool) { yield(nil, Abort{os.ErrPermission}) }
	}
	if _, err := f.Find(t.Context(), paths); err != os.ErrPermission {
		t.Errorf("%s: %v", dir, err)
	}
}

// TestPage: names are text, whatever is in them.
func TestPage(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("names")
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"<script>alert(1)</script>.png", "a\nb\u202e.png", "\"'&.png"} {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "|"))
		save(t, path, picture(1, 300, 200), 0)
		paths = append(paths, path)
	}
	save(t, filepath.Join(dir, "small.jpg"), picture(1, 60, 40), 70)
	paths = append(paths, filepath.Join(dir, "small.jpg"), "gone<b>")
	f := finder()
	r, err := f.Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Page(t.Context(), &b, f); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, not := range []string{"<script", "<b>.", "gone<b>", "\u202e", "http:", "https:"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(1)", `a\nb\u202e`, "default-src 'none'", "data:image/jpeg;base64,", "Just alike", "equal bytes", "alike "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
