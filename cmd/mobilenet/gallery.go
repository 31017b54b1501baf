package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"image/jpeg"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A gallery writes a page of thumbnails: one file that needs no other, and no script.
type gallery struct {
	w       io.Writer
	stderr  io.Writer
	flags   *searchFlags
	begun   bool
	bytes   int // of thumbnails so far
	without int // photos that have none
}

const (
	thumbnailSide    = 128
	thumbnailQuality = 65
	// maxThumbnails bounds the bytes of all thumbnails on a page, some 13,000;
	// further photos have their names only.
	maxThumbnails = 64 << 20
)

//go:embed gallery.css
var galleryStyle string

func newGallery(w, stderr io.Writer, f *searchFlags) *gallery {
	return &gallery{w: w, stderr: stderr, flags: f}
}

// begin writes the head of the page. The policy lets a browser load nothing, and use no
// other style than this one.
func (g *gallery) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	sum := sha256.Sum256([]byte(galleryStyle))
	policy := "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	title := "Photos alike in " + html.EscapeString(shown(filepath.Base(g.flags.index)))
	return g.print("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"+
		"<meta http-equiv=\"Content-Security-Policy\" content=\"", policy, "\">\n<meta name=\"viewport\" content=\"width=device-width\">\n"+
		"<title>", title, "</title>\n<style>", galleryStyle, "</style>\n<main>\n<h1>", title, "</h1>\n")
}

func (g *gallery) print(parts ...string) error {
	_, err := io.WriteString(g.w, strings.Join(parts, ""))
	return err
}

// thumbnail is the element of a picture, a data: address or nothing.
func thumbnail(picture string) string {
	if picture == "" {
		return `<div class="none">no picture</div>`
	}
	return `<img src="` + picture + `" alt="" width="160" height="160" loading="lazy" decoding="async">`
}

func (g *gallery) add(ctx context.Context, f found) error {
	if err := g.begin(); err != nil {
		return err
	}
	picture := g.picture(ctx, f.Query, f.Data)
	g.bytes += len(picture)
	err := g.print("<section>\n<header>", thumbnail(picture), "<div><h2>", html.EscapeString(shown(f.Query)),
		"</h2><p>the ", strconv.Itoa(len(f.Hits)), " most alike</p></div></header>\n<ol>\n")
	if err != nil {
		return err
	}
	paths := func(yield func(string) bool) {
		for _, h := range f.Hits {
			if !yield(h.Path) {
				return
			}
		}
	}
	i := 0
	for picture, err := range prefetch.Map(ctx, prefetch.Options{Ahead: 64}, paths, func(ctx context.Context, path string) (string, error) {
		return g.picture(ctx, path, nil), ctx.Err()
	}) {
		if err != nil {
			return err
		}
		if g.bytes+len(picture) > maxThumbnails {
			picture = ""
		}
		if g.bytes += len(picture); picture == "" {
			g.without++
		}
		h := f.Hits[i]
		i++
		name := html.EscapeString(shown(h.Path))
		err := g.print(`<li><a href="`, link(h.Path), `" title="`, name, `">`, thumbnail(picture), "<b>", strconv.FormatFloat(h.Score, 'f', 4, 64), "</b><span>", html.EscapeString(shown(filepath.Base(h.Path))), "</span></a></li>\n")
		if err != nil {
			return err
		}
	}
	return g.print("</ol>\n</section>\n")
}

// link is the address of a photo as an attribute, relative where its path is.
func link(path string) string {
	if isURL(path) {
		return html.EscapeString(path)
	}
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	address := html.EscapeString(strings.Join(parts, "/"))
	if !strings.HasPrefix(address, "/") {
		address = "./" + address // "a:b.jpg" would be another kind of address
	}
	return address
}

// picture is the middle of a photo, or empty if it can't be read any more. The net is not
// asked.
func (g *gallery) picture(ctx context.Context, path string, data []byte) string {
	if data == nil {
		if isURL(path) || path == "-" || strings.HasSuffix(path, "]") && !isThere(path) {
			return ""
		}
		var err error
		if data, err = boundedfile.Read(path, vision.MaxFile); err != nil {
			return ""
		}
	}
	how := model.Preprocess{Resize: thumbnailSide, Interpolation: model.Bilinear}
	o := vision.DecodeOptions{MaxPixels: g.flags.maxPixels, IgnoreOrientation: g.flags.asStored}
	img, err := vision.DecodeCrop(ctx, data, o, how, thumbnailSide, thumbnailSide)
	if err != nil {
		return ""
	}
	var b bytes.Buffer
	b.WriteString("data:image/jpeg;base64,")
	e := base64.NewEncoder(base64.StdEncoding, &b)
	if jpeg.Encode(e, img, &jpeg.Options{Quality: thumbnailQuality}) != nil || e.Close() != nil {
		return ""
	}
	return b.String()
}

func (g *gallery) close() error {
	if err := g.begin(); err != nil {
		return err
	}
	if g.without > 0 {
		fmt.Fprintf(g.stderr, "mobilenet: %d photos are on the page without a picture: they can't be read any more, or there are too many\n", g.without)
	}
	return g.print("</main>\n</html>\n")
}
