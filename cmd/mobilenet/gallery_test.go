package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestGalleryInChromium has a browser show a page of many photos, whose names are made to
// break it: it says nothing in the console, where the policy's violations are, too, has
// every picture, and its links lead to the photos.
func TestGalleryInChromium(t *testing.T) {
	exe, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Skip(t, "chromium", "chromium is not installed")
	}
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
	page, err := filepath.Abs("a.html")
	if err != nil {
		t.Fatal(err)
	}

	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(exe), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate((&url.URL{Scheme: "file", Path: page}).String())); err != nil {
		t.Fatal(err)
	}
	// Pictures below the window are loaded when they are asked for.
	evaluate[any](t, ctx, `void document.querySelectorAll("img").forEach((i) => { i.loading = "eager"; })`)
	for deadline := time.Now().Add(time.Minute); !evaluate[bool](t, ctx, `[...document.images].every((i) => i.complete)`); time.Sleep(20 * time.Millisecond) {
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

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}
