package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/search/duplicates"
)

// TestGalleryInChromium has a browser show a page of many photos, whose names are made to
// break it: it says nothing in the console, where the policy's violations are, too, has
// every picture, and its links lead to the photos.
func TestGalleryInChromium(t *testing.T) {
	chromium(t)
	drawings(t)
	const photos = 150
	for i := range photos {
		data, err := os.ReadFile([]string{"shapes.png", "ankle-boot.png"}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%d%s.png", i, []string{"", " <script>alert(1)<", `" onerror="alert(1)`, "%41?#&amp;", ":ü'"}[i%5])
		if err := os.MkdirAll("photos", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("photos", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"embed", "--model", "fashion-mnist", "-o", "a.mnidx", "photos"},
		{"search", "-i", "a.mnidx", "--top", "1000", "-f", "html", "-o", "a.html", "shapes.png", "ankle-boot.png"},
	} {
		if stderr, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, args...); err != nil || stderr != "" {
			t.Fatalf("%v: %v, %s", args, err, stderr)
		}
	}
	ctx, quiet := openPage(t, "a.html")
	// Pictures below the window are loaded when they are asked for.
	evaluate[any](t, ctx, `void document.querySelectorAll("img").forEach((i) => { i.loading = "eager"; })`)
	for deadline := time.Now().Add(never); !evaluate[bool](t, ctx, `[...document.images].every((i) => i.complete)`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("pictures are not loaded")
		}
	}
	shown := evaluate[int](t, ctx, `[...document.images].filter((i) => i.naturalWidth === 128).length`)
	if shown != 2*(photos+1) {
		t.Errorf("%d pictures are shown, want %d", shown, 2*(photos+1))
	}
	if display := evaluate[string](t, ctx, `getComputedStyle(document.querySelector("ol")).display`); display != "grid" {
		t.Errorf("the style is not used: a list is %s", display)
	}
	if n := evaluate[int](t, ctx, `document.scripts.length + document.querySelectorAll("[onerror]").length`); n != 0 {
		t.Errorf("%d scripts", n)
	}
	for _, address := range evaluate[[]string](t, ctx, `[...document.links].map((a) => a.href)`) {
		if u, err := url.Parse(address); err != nil || !isThere(u.Path) || u.RawQuery+u.Fragment != "" {
			t.Errorf("a link to %s, which is no photo", address)
		}
	}

	quiet()
}

// chromium is the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	exe, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Skip(t, "chromium", "chromium is not installed")
	}
	return exe
}

// never is longer than anything takes that is awaited, however slow the machine is.
const never = 3 * time.Minute

// openPage has a browser show a file. quiet reports what its console says as errors.
func openPage(t *testing.T, file string) (_ context.Context, quiet func()) {
	t.Helper()
	page, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(never))
	ctx := started(t, options)
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate((&url.URL{Scheme: "file", Path: page}).String())); err != nil {
		t.Fatal(err)
	}
	return ctx, func() {
		t.Helper()
		evaluate[any](t, ctx, `void console.log("the end")`)
		for m, err := range messages {
			if err != nil {
				t.Fatal(err)
			}
			if text := m.String(); !strings.Contains(text, "the end") {
				t.Errorf("the console says %.200q", text)
				continue
			}
			break
		}
	}
}

// manyResults are on a page that has many.
const manyResults = 10000

// manyPhotos writes that many small photos of some kinds, among names made to break a page.
func manyPhotos(t *testing.T) (paths []string) {
	t.Helper()
	if err := os.Mkdir("photos", 0o755); err != nil {
		t.Fatal(err)
	}
	const kinds = 50
	for i := range manyResults {
		name := filepath.Join("photos", fmt.Sprintf("%05d%s.jpg", i, []string{"", " <b>", `" onload="alert(1)`, "\nb &amp;", " \u202e'ü%41"}[i%5]))
		var err error
		if i < kinds {
			img := image.NewGray(image.Rect(0, 0, 32, 24+i)) // smooth, so that pictures are small
			for at := range img.Pix {
				img.Pix[at] = byte(5*i + 2*(at%32) + at/32)
			}
			var b bytes.Buffer
			if err = jpeg.Encode(&b, img, nil); err == nil {
				err = os.WriteFile(name, b.Bytes(), 0o644)
			}
		} else {
			err = os.Link(paths[i%kinds], name)
		}
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, name)
	}
	return paths
}

// TestManyResultsInChromium: pages of 10,000 results load, say nothing
// in the console and have no script; names are text; axe-core, where MOBILENET_TEST_AXE
// has it, finds nothing in either theme. MOBILENET_TEST_SHOTS is a folder for pictures, to
// look at.
func TestManyResultsInChromium(t *testing.T) {
	if testing.Short() {
		t.Skip("pages of 10,000 photos")
	}
	chromium(t)
	drawings(t)
	paths := manyPhotos(t)
	m := search.Meta{Model: "a", Digest: "00", Precision: "float32", Height: 224, Width: 224, Dim: 2}
	w, err := search.Create("a.mnidx", m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		if err := w.Add(path, []float32{manyResults, float32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if stderr, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "search", "-i", "a.mnidx", "-k", strconv.Itoa(manyResults), "-f", "html", "-o", "search.html", paths[0]); err != nil || stderr != "" {
		t.Fatal(err, stderr)
	}
	r := &duplicates.Report{}
	for i := 0; i < len(paths); i += 2 {
		var g duplicates.Group
		g.Why = "the most pixels"
		for k, path := range paths[i : i+2] {
			g.Members = append(g.Members, duplicates.Member{Photo: duplicates.Photo{Path: path, Bytes: 1000, Width: 96, Height: 64}, Likeness: 1})
			if k > 0 {
				g.Members[k].How = duplicates.EqualBytes
			}
		}
		r.Groups = append(r.Groups, g)
	}
	var page bytes.Buffer
	if err := r.Page(t.Context(), &page, &duplicates.Finder{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("duplicates.html", page.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for file, item := range map[string]string{"search.html": "li", "duplicates.html": "figure"} {
		t.Run(file, func(t *testing.T) {
			start := time.Now()
			ctx, quiet := openPage(t, file)
			took := time.Since(start)
			t.Logf("%.1f MB, %d ms for the browser's start and the page", float64(fileSize(t, file))/1e6, took.Milliseconds())
			if n := evaluate[int](t, ctx, `document.querySelectorAll("`+item+`").length`); n != manyResults {
				t.Errorf("%d results", n)
			}
			if n := evaluate[int](t, ctx, `document.querySelectorAll("script, b b, [onload], [onerror]").length`); n != 0 {
				t.Errorf("%d elements of names", n)
			}
			text := evaluate[string](t, ctx, `[...document.querySelectorAll("`+item+`")].slice(0, 10).map((e) => e.textContent).join(" ")`)
			for _, name := range []string{"00001 <b>.jpg", `00002" onload="alert(1).jpg`, `\nb &amp;.jpg"`, `\u202e'ü%41.jpg"`} {
				if !strings.Contains(text, name) {
					t.Errorf("no name %s in %q", name, text)
				}
			}
			for deadline := time.Now().Add(never); !evaluate[bool](t, ctx, `document.images[0].complete && document.images[0].naturalWidth > 0`); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the first picture is not there")
				}
			}
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int{1200, 390} {
					if err := chromedp.Do(ctx, prefer(scheme), chromedp.EmulateViewport(int64(width), 900)); err != nil {
						t.Fatal(err)
					}
					if evaluate[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`) {
						t.Errorf("%d pixels are too few", width)
					}
					shot(t, ctx, fmt.Sprintf("%s-%s-%d", file, scheme, width))
				}
				accessible(t, ctx, scheme)
			}
			quiet()
		})
	}
}

// started starts a browser. One that doesn't start ends the test with what it says: a second
// call with its context would panic. One that hangs is given up after a while, and tried again.
func started(t *testing.T, options []chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	for try := 1; ; try++ {
		life, giveUp := context.WithTimeout(context.WithoutCancel(t.Context()), 5*never)
		late := time.AfterFunc(never, giveUp)
		all, end := chromedp.NewExecAllocator(life, append(slices.Clip(options), chromedp.UserDataDir(profile(t)))...)
		page, cancel := chromedp.NewContext(all)
		err := chromedp.Do(page)
		if late.Stop() && err == nil {
			t.Cleanup(func() { cancel(); end(); giveUp() })
			return page
		}
		giveUp()
		go func() { cancel(); end() }() // which wait for its processes
		if try == 3 {
			t.Fatal(err)
		}
		t.Log(err)
	}
}

// profile returns a folder for a browser, some of whose processes write there a while after its end.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mobilenet-chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(never); os.RemoveAll(dir) != nil && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	})
	return dir
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// accessible has axe-core look at the page, whose file MOBILENET_TEST_AXE names.
func accessible(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	path := os.Getenv("MOBILENET_TEST_AXE")
	if path == "" {
		return
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Thousands of the same kind take axe minutes, and are no more wrong than some.
	evaluate[any](t, ctx, string(axe)+`; document.querySelectorAll("section.group:nth-of-type(n+40), li:nth-of-type(n+100)").forEach((e) => e.remove()); 0`)
	evaluate[any](t, ctx, `window.found = null; axe.run().then((r) => { window.found = r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 300)).slice(0, 3).join(" ")); }); 0`)
	for deadline := time.Now().Add(never); !evaluate[bool](t, ctx, `window.found !== null`); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("axe doesn't end")
		}
	}
	if found := evaluate[[]string](t, ctx, `window.found`); len(found) > 0 {
		t.Errorf("%s: %q", scheme, found)
	}
}

// prefer sets the colours that the user is said to prefer.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return chromedp.Void{}, err
	}
}

// shot writes a picture of what is seen, where MOBILENET_TEST_SHOTS names a folder.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("MOBILENET_TEST_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}
