package duplicates

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image/jpeg"
	"io"
	"iter"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// page is parsed at its first use: most processes never write one.
var page = sync.OnceValue(func() *template.Template { return template.Must(template.New("").Parse(pageHTML)) })

const (
	thumbSide  = 160 // pixels of the longer side
	shownMost  = 60  // photos of a group that are seen; the names of all are there
	aroundMost = 12  // pairs on either side of the threshold

	// thumbsMost bounds the bytes of all pictures of groups, some ten thousand: a browser
	// takes seconds for a page of this size, and none of gigabytes.
	thumbsMost = 64 << 20
)

// A shown photo is one on the page.
type shown struct {
	Name, About, Why string
	How              string
	Kept             bool
	Thumb            template.URL // empty where there is none
	W, H             int

	path string
}

type shownPair struct {
	A, B     *shown
	Likeness string
}

type shownGroup struct {
	Number, Count int
	Members       []*shown
	More          []string
}

// Page writes the report as one file of HTML that needs no other and no script: the
// pairs around the threshold, and the groups with what to keep of each and why.
func (r *Report) Page(ctx context.Context, w io.Writer, f *Finder) error {
	sum := sha256.Sum256([]byte(pageCSS))
	head := map[string]any{
		"Title": "Duplicates", "Summary": r.Summary(), "Style": template.CSS(pageCSS),
		"Hash": "sha256-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
	if err := page().ExecuteTemplate(w, "head", head); err != nil {
		return err
	}
	above, below := r.Around(aroundMost)
	sheet := map[string]any{"Threshold": f.Threshold, "Near": near, "Above": r.pairs(ctx, above, f), "Below": r.pairs(ctx, below, f), "Heading": "Groups"}
	if len(r.Groups) == 0 {
		sheet["Heading"] = "No duplicates"
	}
	if err := page().ExecuteTemplate(w, "sheet", sheet); err != nil {
		return err
	}
	number, size := 0, 0
	var full atomic.Bool
	for g, err := range prefetch.Map(ctx, prefetch.Options{Workers: f.Threads}, groupsOf(r), func(ctx context.Context, g *Group) (*shownGroup, error) {
		return g.shown(ctx, f.Decoding, &full), nil
	}) {
		if err != nil {
			return err
		}
		number++
		g.Number = number
		if size += g.size(); size > thumbsMost {
			g.hide()
			if !full.Swap(true) {
				if err := page().ExecuteTemplate(w, "full", nil); err != nil {
					return err
				}
			}
		}
		if err := page().ExecuteTemplate(w, "group", g); err != nil {
			return err
		}
	}
	failed := make([]map[string]string, 0, len(r.Failed))
	for _, x := range r.Failed {
		failed = append(failed, map[string]string{"Path": printable(x.Path), "Err": printable(x.Err.Error())})
	}
	return page().ExecuteTemplate(w, "foot", map[string]any{"Failed": failed})
}

func groupsOf(r *Report) iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		for i := range r.Groups {
			if !yield(&r.Groups[i]) {
				return
			}
		}
	}
}

// Around returns up to n pairs on either side of the threshold, the nearest to it
// first, no photo twice on a side.
func (r *Report) Around(n int) (above, below []Pair) {
	seen := map[int32]bool{}
	take := func(to []Pair, p Pair) []Pair {
		if len(to) == n || seen[p.A] || seen[p.B] {
			return to
		}
		seen[p.A], seen[p.B] = true, true
		return append(to, p)
	}
	for i := len(r.Pairs) - 1; i >= 0 && len(above) < n; i-- {
		above = take(above, r.Pairs[i])
	}
	clear(seen)
	for _, p := range r.Below {
		below = take(below, p)
	}
	return above, below
}

func (r *Report) pairs(ctx context.Context, pairs []Pair, f *Finder) []shownPair {
	var all []shownPair
	for _, p := range pairs {
		s := shownPair{Likeness: fmt.Sprintf("%.4f", p.Likeness)}
		for _, side := range []struct {
			to  **shown
			row int32
		}{{&s.A, p.A}, {&s.B, p.B}} {
			photo := r.Of(side.row)
			*side.to = &shown{Name: printable(photo.Path), path: photo.Path}
			(*side.to).thumb(ctx, f.Decoding)
		}
		all = append(all, s)
	}
	return all
}

// size is the bytes of the group's pictures.
func (g *shownGroup) size() (n int) {
	for _, m := range g.Members {
		n += len(m.Thumb)
	}
	return n
}

// hide takes the pictures away.
func (g *shownGroup) hide() {
	for _, m := range g.Members {
		m.Thumb = ""
	}
}

// shown is the group on the page, the photo to keep first. Once the page is full no
// picture is made any more.
func (g *Group) shown(ctx context.Context, o vision.DecodeOptions, full *atomic.Bool) *shownGroup {
	s := &shownGroup{Count: len(g.Members)}
	add := func(i int) {
		m := &g.Members[i]
		if len(s.Members) == shownMost {
			s.More = append(s.More, printable(m.Path))
			return
		}
		v := &shown{Name: printable(m.Path), Kept: i == g.Keep, Why: g.Why, How: m.Phrase(), path: m.Path, About: m.about()}
		if !full.Load() {
			v.thumb(ctx, o)
		}
		s.Members = append(s.Members, v)
	}
	add(g.Keep)
	for i := range g.Members {
		if i != g.Keep {
			add(i)
		}
	}
	return s
}

// Phrase says what a member is beside the photo to keep.
func (m *Member) Phrase() string {
	switch m.How {
	case EqualBytes:
		return "equal bytes"
	case EqualPixels:
		return "equal pixels"
	case AlikeFeatures:
		return fmt.Sprintf("alike %.4f", m.Likeness)
	case Chained:
		return fmt.Sprintf("joined by others, %.4f", m.Likeness)
	}
	return "keep"
}

func (p *Photo) about() string {
	if p.absent {
		return ""
	}
	text := strconv.FormatInt(p.Bytes, 10) + " bytes"
	if p.Width > 0 {
		text = fmt.Sprintf("%d×%d, ", p.Width, p.Height) + text
	}
	return text
}

// thumb makes the small picture. A photo that can't be read has none.
func (s *shown) thumb(ctx context.Context, o vision.DecodeOptions) {
	img, err := vision.DecodeFile(ctx, s.path, o)
	if err != nil {
		return
	}
	if long := max(img.W, img.H); long > thumbSide {
		img = vision.Resize(img, max(1, img.W*thumbSide/long), max(1, img.H*thumbSide/long), model.Bilinear)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 72}); err != nil {
		return
	}
	s.W, s.H = img.W, img.H
	s.Thumb = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
}

// printable is a name or a message as it can be shown: quoted, with escapes, where it
// has characters that are not seen or that turn others around.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// Summary counts what was found, in a sentence.
func (r *Report) Summary() string {
	count := map[How]int{}
	var bytes int64
	for _, g := range r.Groups {
		for i, m := range g.Members {
			if i != g.Keep {
				count[m.How]++
				bytes += m.Bytes
			}
		}
	}
	doubles := count[EqualBytes] + count[EqualPixels] + count[AlikeFeatures] + count[Chained]
	text := fmt.Sprintf("%s, %s of duplicates: %s (%.1f MB) need not be kept", several(len(r.Photos), "photo"), several(len(r.Groups), "group"), several(doubles, "photo"), float64(bytes)/1e6)
	var parts []string
	for _, h := range []struct {
		how  How
		text string
	}{{EqualBytes, "of equal bytes"}, {EqualPixels, "of equal pixels"}, {AlikeFeatures, "alike"}, {Chained, "joined by others"}} {
		if n := count[h.how]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, h.text))
		}
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	// Which may have the bytes of another than the one to keep.
	if links, _ := r.Hardlinks(); len(links) > count[EqualBytes] {
		text += fmt.Sprintf("; %d have the bytes of another of their group, kept or not", len(links))
	}
	return text
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
