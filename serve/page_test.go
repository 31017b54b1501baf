package serve_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/serve"
)

// browse opens the page in a browser with or without a camera, whose picture is a
// test pattern. Whatever the console says is a failure: the policy's violations are
// there, too.
func browse(t *testing.T, url string, camera bool) context.Context {
	t.Helper()
	exe, err := exec.LookPath("chromium")
	if err != nil {
		testenv.Skip(t, "chromium", "chromium is not installed")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(exe), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.WSURLReadTimeout(never))
	if camera {
		options = append(options, chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true))
	}
	ctx := started(t, options)
	messages := chromedp.Console(ctx)
	act(t, ctx, chromedp.Navigate(url))
	until(t, ctx, `document.querySelector("#curl").textContent !== ""`)
	said := make(chan []string)
	listening, stop := context.WithCancel(ctx)
	go func() {
		var all []string
		for m, err := range messages {
			if err != nil || listening.Err() != nil {
				break
			}
			if !strings.Contains(m.String(), "status of 4") { // the browser's own remark on a photo that is refused
				all = append(all, m.String())
			}
		}
		said <- all
	}()
	t.Cleanup(func() {
		stop()
		act(t, ctx, say)
		if all := <-said; len(all) > 0 {
			t.Errorf("the console says %q", all)
		}
	})
	return ctx
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

// say writes to the console, so that its reader wakes up and ends.
var say = func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Evaluate[any](`void console.log("the end")`)(ctx, target)
	return chromedp.Void{}, err
}

func act(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of an expression.
func get[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	for deadline := time.Now().Add(never); !get[bool](t, ctx, expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not true: %s", expression)
		}
	}
}

// shot writes a picture of the page, to look at, where MOBILENET_TEST_SHOTS names a
// folder.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("MOBILENET_TEST_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o666); err != nil {
		t.Fatal(err)
	}
}

// give makes a picture in the page and hands it over as a drop or a paste does.
const give = `
function give(kind) {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 60;
	canvas.toBlob((blob) => {
		const data = new DataTransfer();
		data.items.add(new File([blob], kind + ".png", {type: "image/png"}));
		dispatchEvent(kind === "dropped" ? new DragEvent("drop", {dataTransfer: data}) : new ClipboardEvent("paste", {clipboardData: data}));
	});
}`

// answered is an expression for whether so many photos have their classes.
const answered = `document.querySelectorAll("#results article tbody tr").length === 5 *`

// TestPage: a photo that is chosen, dropped, pasted or taken gets its classes, and
// what goes wrong is said.
func TestPage(t *testing.T) {
	_, url := start(t, serve.Options{Models: []serve.Model{{Name: "fashion", Open: openBuiltin}, {Name: "second", Open: openBuiltin}}})
	ctx := browse(t, url, true)
	file, err := filepath.Abs(boot)
	if err != nil {
		t.Fatal(err)
	}
	act(t, ctx, chromedp.SetUploadFiles("#file", []string{file}))
	until(t, ctx, answered+"1")
	if status := get[string](t, ctx, `document.querySelector("#status").textContent`); status != "ankle-boot.png: Ankle boot, 95.7 percent" {
		t.Errorf("status %q", status)
	}
	if names := get[string](t, ctx, `document.querySelector("#picker").innerText`); !strings.Contains(names, "second (10 classes)") {
		t.Errorf("models %q", names)
	}
	want := "curl --data-binary @photo.jpg '" + url + "/v1/classify?top=5&model=fashion'"
	if curl := get[string](t, ctx, `document.querySelector("#curl").textContent`); curl != want {
		t.Errorf("%s, want %s", curl, want)
	}

	get[any](t, ctx, give)
	get[any](t, ctx, `give("dropped")`)
	until(t, ctx, answered+"2")
	get[any](t, ctx, `give("pasted")`)
	until(t, ctx, answered+"3")
	act(t, ctx, chromedp.Click("#camera"), chromedp.WaitVisible("#live"))
	until(t, ctx, `document.querySelector("#video").videoWidth > 0`)
	act(t, ctx, chromedp.Click("#shoot"))
	until(t, ctx, answered+"4")
	act(t, ctx, chromedp.Click("#stop"), chromedp.WaitNotVisible("#live"))
	shot(t, ctx, "light")

	get[any](t, ctx, `fetch = () => Promise.reject(new Error("no network"))`)
	get[any](t, ctx, `give("dropped")`)
	until(t, ctx, `(document.querySelector("#results .bad")?.textContent ?? "") === "The server can't be reached."`)

	act(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), prefer("dark"))
	if get[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("a phone has to scroll sideways")
	}
	shot(t, ctx, "dark-phone")
}

// TestPageDrop: of files that are dropped together the cards are in the given order and name
// the model that was asked, a broken photo has a small card, and what is no photo is named.
func TestPageDrop(t *testing.T) {
	_, url := start(t, serve.Options{Models: []serve.Model{{Name: "fashion", Open: openBuiltin}, {Name: "second", Open: openBuiltin}}})
	ctx := browse(t, url, false)
	act(t, ctx, chromedp.EmulateViewport(1200, 900))
	get[any](t, ctx, dropSeveral)
	get[any](t, ctx, `dropSeveral("a.png", "broken.png", "<b>notes.txt", "c.png", "list.csv", "d.png")`)
	get[any](t, ctx, `(() => { const p = document.querySelector("#model"); p.value = "second"; p.dispatchEvent(new Event("change")); })()`)
	until(t, ctx, answered+"3")
	until(t, ctx, `document.querySelector("#results .bad") !== null`)
	const cards = `[...document.querySelectorAll("#results article")].map((c) => c.querySelector("h2").textContent + " " + c.querySelector(".model").innerText).join("; ")`
	want := "a.png Model: fashion; broken.png Model: fashion; c.png Model: fashion; d.png Model: fashion"
	if got := get[string](t, ctx, cards); got != want {
		t.Errorf("cards %s, want %s", got, want)
	}
	if left := get[string](t, ctx, `document.querySelector("#left").innerText`); left != "Left out, not a photo: <b>notes.txt, list.csv" {
		t.Errorf("left out: %q", left)
	}
	until(t, ctx, `document.querySelector("#status").textContent === "3 of 4 classified, 1 failed"`)
	const broken = `document.querySelector("#results article:has(.bad)")`
	if name := get[string](t, ctx, broken+`.querySelector("h2").textContent`); name != "broken.png" {
		t.Errorf("the error is on the card of %s", name)
	}
	until(t, ctx, broken+`.offsetHeight < 200`)
	if curl := get[string](t, ctx, `document.querySelector("#curl").textContent`); !strings.Contains(curl, "?top=5&model=second'") {
		t.Errorf("the command is %s", curl)
	}

	shot(t, ctx, "again")
	act(t, ctx, chromedp.Click("#again")) // the second model about the same photos
	until(t, ctx, answered+"6")
	if got := get[string](t, ctx, cards); got != strings.ReplaceAll(want, "fashion", "second")+"; "+want {
		t.Errorf("cards of both models %s", got)
	}
	if focus := get[string](t, ctx, `document.activeElement.id + document.querySelector("#again").hidden`); focus != "modeltrue" {
		t.Errorf("focus, and whether the button is gone: %s", focus)
	}
	act(t, ctx, chromedp.Click("#clear"))
	get[any](t, ctx, `dropSeveral("a.png", "broken.png", "<b>notes.txt", "c.png", "list.csv", "d.png")`)
	until(t, ctx, answered+"3")
	until(t, ctx, `document.querySelector("#results .bad") !== null`)
	want = strings.ReplaceAll(want, "fashion", "second")

	get[any](t, ctx, `dropSeveral("e.png", "f.png")`)
	until(t, ctx, answered+"5")
	if got := get[string](t, ctx, cards); got != "e.png Model: second; f.png Model: second; "+want {
		t.Errorf("cards after a second drop %s", got)
	}
	if left := get[string](t, ctx, `document.querySelector("#left").textContent`); left != "" {
		t.Errorf("still left out: %q", left)
	}
	get[any](t, ctx, `dropSeveral("notes.txt")`)
	if left := get[string](t, ctx, `document.querySelector("#left").textContent`); left != "Left out, not a photo: notes.txt" {
		t.Errorf("left out: %q", left)
	}
	shot(t, ctx, "drop")
	act(t, ctx, chromedp.Click("#clear"))
	get[any](t, ctx, `dropSeveral("broken.png")`)
	until(t, ctx, broken+` !== null`)
	until(t, ctx, broken+`.offsetHeight < 200`)
	shot(t, ctx, "broken")

	// A photo that the browser shows and the server refuses, beside one with classes.
	act(t, ctx, chromedp.Click("#clear"))
	get[any](t, ctx, `(() => { const real = fetch; fetch = (u, o) => o?.body?.name === "a.png" ? Promise.resolve(new Response('{"error": "too large"}', {status: 413})) : real(u, o); })()`)
	get[any](t, ctx, `dropSeveral("a.png", "c.png")`)
	until(t, ctx, answered+"1")
	until(t, ctx, `document.querySelectorAll(".look:not([hidden])").length === 2`)
	until(t, ctx, `document.querySelector("#results .bad") !== null`)
	until(t, ctx, `(() => { const [a, c] = document.querySelectorAll("#results article"); return a.offsetTop === c.offsetTop && a.offsetHeight < c.offsetHeight - 50; })()`)
	shot(t, ctx, "refused")
}

// TestPageAgain: a photo that a busy server refused, or one that is being loaded, or one that
// can't be reached, is asked about again at the press of a key, and a broken one isn't.
func TestPageAgain(t *testing.T) {
	_, url := start(t, serve.Options{})
	ctx := browse(t, url, false)
	if only := get[string](t, ctx, `document.querySelector("#only").innerText`); only != "fashion (10 classes)" {
		t.Errorf("the only model is %q", only)
	}
	get[any](t, ctx, dropSeveral+`
		let answers = [];
		const real = fetch;
		fetch = (...a) => (answers.shift() ?? (() => real(...a)))();
		const refuse = (status, error, headers) => () => Promise.resolve(new Response(JSON.stringify({error}), {status, headers}))`)
	get[any](t, ctx, `answers = [refuse(429, "256 photos wait already", {"Retry-After": "2"}), refuse(503, "model x is not ready", {}), () => Promise.reject(new Error("no network"))]`)
	name := strings.Repeat("long", 30) + "-end.png"
	get[any](t, ctx, fmt.Sprintf(`dropSeveral(%q)`, name))
	for _, want := range []string{"The server is busy. Try again in 2 s.", "model x is not ready", "The server can't be reached."} {
		until(t, ctx, fmt.Sprintf(`document.querySelector(".card .bad")?.textContent === %q`, want))
		until(t, ctx, `document.querySelector(".card .retry").checkVisibility()`)
		get[any](t, ctx, `document.querySelector(".card .retry").focus()`)
		act(t, ctx, chromedp.KeyEvent(kb.Enter))
	}
	until(t, ctx, answered+"1")
	if left := get[string](t, ctx, `document.querySelector(".card .retry").hidden + " " + document.querySelectorAll(".bad:not(:empty)").length + document.querySelector("table").hidden + document.querySelectorAll(".card").length`); left != "true 0false1" {
		t.Errorf("after the answer: %s", left)
	}
	until(t, ctx, fmt.Sprintf(`document.querySelector("#status").textContent.startsWith(%q)`, name+": "))
	heading := get[string](t, ctx, `document.querySelector(".card h2").textContent + " " + (document.querySelector(".card h2").title.length)`)
	if want := "longlonglonglonglong…longlonglonglong-end.png 128"; heading != want {
		t.Errorf("heading %q", heading)
	}
	act(t, ctx, chromedp.Click("#clear"))
	get[any](t, ctx, `answers = [refuse(415, "no photo", {})]; dropSeveral("a.png")`)
	until(t, ctx, `document.querySelector(".card .detail")?.textContent === "no photo"`)
	if !get[bool](t, ctx, `document.querySelector(".card .retry").hidden`) {
		t.Error("what can't be read is to be tried again")
	}
}

// TestPageRefused: a card says in plain words what is wrong with its photo, and behind them
// in the server's own, which have the place and the limit; a question that is wrong only in those.
func TestPageRefused(t *testing.T) {
	_, url := start(t, serve.Options{MaxBody: 2000, Models: []serve.Model{{Name: "fashion", Open: openBuiltin}, {Name: "second", Open: openBuiltin}}})
	ctx := browse(t, url, false)
	act(t, ctx, chromedp.EmulateViewport(1200, 900))
	get[any](t, ctx, dropSeveral+`
		function drop(name, content) {
			const data = new DataTransfer();
			data.items.add(new File([content], name, {type: "image/png"}));
			dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
		}
		function cut() { // a picture without its end
			const canvas = document.createElement("canvas");
			canvas.width = canvas.height = 60;
			const picture = atob(canvas.toDataURL("image/png").split(",")[1]);
			return Uint8Array.from(picture.slice(0, 60), (c) => c.charCodeAt(0));
		}`)
	for i, test := range []struct{ drop, words, detail string }{
		{`drop("cut.png", cut())`, "The photo is damaged.", "broken PNG image: "},
		{`drop("empty.png", "")`, "The file is empty.", "without a byte"},
		{`drop("large.png", "x".repeat(2001))`, "The photo is too large.", "more than 2000 bytes"},
		{`drop("text.png", "no picture")`, "This is not a photo that can be read.", " "},
	} {
		get[any](t, ctx, test.drop)
		until(t, ctx, fmt.Sprintf(`document.querySelectorAll(".card .bad").length === %d`, i+1))
		told := get[string](t, ctx, `document.querySelector(".card .bad").textContent + "\n" + document.querySelector(".card .bad + .detail").textContent`)
		if words, detail, _ := strings.Cut(told, "\n"); words != test.words || !strings.Contains(detail, test.detail) {
			t.Errorf("%s: %q, want %q and %q", test.drop, told, test.words, test.detail)
		}
	}
	shot(t, ctx, "refused-photos")
	get[any](t, ctx, `indexes.set("fashion", {photos: 1, thumbnails: false}); dropSeveral("a.png")`) // as of a server that has been started anew
	until(t, ctx, `document.querySelector(".card .bad")?.textContent.startsWith("neighbours: model fashion")`)
	if !get[bool](t, ctx, `document.querySelector(".card .detail").hidden`) {
		t.Error("a question that is wrong is told twice")
	}
}

// dropSeveral drops files of these names at once: pictures, and text where the name says
// so or says that the picture is broken.
const dropSeveral = `
function dropSeveral(...names) {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 60;
	const picture = Uint8Array.from(atob(canvas.toDataURL("image/png").split(",")[1]), (c) => c.charCodeAt(0));
	const data = new DataTransfer();
	for (const name of names) {
		const type = name.endsWith(".png") ? "image/png" : "text/plain";
		const content = type === "text/plain" || name.startsWith("broken") ? "no picture" : picture;
		data.items.add(new File([content], name, {type}));
	}
	dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
}`

// TestHeatMap: the map lies on the photo, is of the class that is chosen, and as strong
// as the slider says, from the keyboard too.
func TestHeatMap(t *testing.T) {
	_, url := start(t, serve.Options{})
	ctx := browse(t, url, false)
	file, err := filepath.Abs("../testdata/shapes.png")
	if err != nil {
		t.Fatal(err)
	}
	act(t, ctx, chromedp.SetUploadFiles("#file", []string{file}))
	until(t, ctx, answered+"1")
	until(t, ctx, `document.querySelectorAll("button.name").length === 5`)
	const pixels = `(() => { const c = document.querySelector(".card canvas"); return c.toDataURL(); })()`
	const placed = `(() => {
		const [a, b] = ["img", "canvas"].map((n) => document.querySelector(".card " + n).getBoundingClientRect());
		return ["left", "top", "width", "height"].every((k) => a.width > 50 && Math.abs(a[k] - b[k]) < 1.5);
	})()`
	until(t, ctx, placed)
	pressed := func() string {
		return get[string](t, ctx, `[...document.querySelectorAll("button.name")].map((b) => b.getAttribute("aria-pressed")).join()`)
	}
	if p := pressed(); p != "true,false,false,false,false" {
		t.Error(p)
	}
	first := get[string](t, ctx, pixels)
	act(t, ctx, chromedp.Click("tbody tr:nth-child(3) button.name"))
	if p := pressed(); p != "false,false,true,false,false" {
		t.Error(p)
	}
	if get[string](t, ctx, pixels) == first {
		t.Error("another class has the same picture")
	}
	label := get[string](t, ctx, `document.querySelector(".card canvas").getAttribute("aria-label") === "Where " + document.querySelectorAll("button.name")[2].textContent + " is seen" ? "" : document.querySelector(".card canvas").getAttribute("aria-label")`)
	if label != "" {
		t.Error(label)
	}
	strong := get[string](t, ctx, `[...document.querySelectorAll(".card tbody tr")].map((r) => [getComputedStyle(r.querySelector(".name")).fontWeight, getComputedStyle(r.querySelector("rect")).fill].join()).map((s, i, all) => s !== all[1] && s.startsWith("600") ? "strong" : "").join()`)
	if strong != ",,strong,," {
		t.Errorf("rows in bold with the strong bar, the third chosen: %q", strong)
	}
	if !get[bool](t, ctx, `document.querySelector(".strength span").textContent === "Heat map: " + document.querySelectorAll("button.name")[2].textContent`) {
		t.Error("the slider doesn't say which class the map is of")
	}
	shot(t, ctx, "chosen")
	get[any](t, ctx, `document.querySelector(".strength input").focus()`)
	act(t, ctx, chromedp.KeyEvent(kb.Home))
	if o := get[string](t, ctx, `getComputedStyle(document.querySelector(".card canvas")).opacity`); o != "0" {
		t.Errorf("opacity %s", o)
	}
	act(t, ctx, chromedp.KeyEvent(kb.End))
	if o := get[string](t, ctx, `getComputedStyle(document.querySelector(".card canvas")).opacity`); o != "1" {
		t.Errorf("opacity %s", o)
	}
	act(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	until(t, ctx, placed)
	if get[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("a phone has to scroll sideways")
	}
	act(t, ctx, chromedp.Click("#clear"))
	if n := get[int](t, ctx, `document.querySelectorAll("#results article").length`); n != 0 {
		t.Errorf("%d cards after they were cleared", n)
	}
}

// TestGallery shows real photos with a real network, in both themes, large and small.
func TestGallery(t *testing.T) {
	weights := testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth")
	files, _ := testenv.NIPS17(t)
	open := func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		return mobilenet.Open(ctx, weights, mobilenet.WithThreads(threads))
	}
	index := filepath.Join(t.TempDir(), "photos.mnidx")
	writeIndexOf(t, open, index, files...)
	_, url := start(t, serve.Options{
		Thumbnails: []string{filepath.Dir(files[0])},
		Models:     []serve.Model{{Name: "imagenet", Open: open, Index: openIndex(index)}},
	})
	seen := func(ctx context.Context, photos int) {
		t.Helper()
		until(t, ctx, fmt.Sprintf(`document.querySelectorAll(".alike li").length === 8 * %d`, photos))
		get[any](t, ctx, `document.querySelectorAll(".alike img").forEach((i) => { i.loading = "eager"; })`)
		until(t, ctx, fmt.Sprintf(`[...document.querySelectorAll(".alike img")].filter((i) => i.naturalWidth === 224).length === 8 * %d`, photos))
	}
	for _, scheme := range []string{"light", "dark"} {
		ctx := browse(t, url, false)
		act(t, ctx, chromedp.EmulateViewport(1200, 900), prefer(scheme))
		shot(t, ctx, "empty-"+scheme)
		act(t, ctx, chromedp.SetUploadFiles("#file", files[:1]))
		until(t, ctx, answered+"1")
		until(t, ctx, `document.querySelector(".card canvas").clientWidth > 100`)
		seen(ctx, 1)
		shot(t, ctx, "one-"+scheme)
		act(t, ctx, chromedp.SetUploadFiles("#file", files[1:6]))
		until(t, ctx, `document.querySelectorAll("#results article tbody tr").length === 30`)
		seen(ctx, 6)
		shot(t, ctx, "gallery-"+scheme)
		act(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
		shot(t, ctx, "phone-"+scheme)
		if get[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`) {
			t.Error("a phone has to scroll sideways")
		}
	}
}

// TestPageNeighbours: below the classes are the photos of the index that are most like
// this one, with their pictures where these may be shown, and names of any kind.
func TestPageNeighbours(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a.png", "<img src=x onerror=alert(1)>\n\"quoted\".png", "?#&=%41 \u202egnp.\u00fc.png", "changed.png"}
	var photos []string
	for i, name := range names {
		photos = append(photos, filepath.Join(dir, name))
		copyFile(t, photos[i], boot)
	}
	file := filepath.Join(dir, "a.mnidx")
	writeIndex(t, file, append(photos, shapes)...)
	if err := os.Remove(photos[3]); err != nil {
		t.Fatal(err)
	}
	models := append(withIndex(file), serve.Model{Name: "plain", Open: openBuiltin})
	_, url := start(t, serve.Options{Models: models, Thumbnails: []string{dir}})
	ctx := browse(t, url, false)
	path, err := filepath.Abs(boot)
	if err != nil {
		t.Fatal(err)
	}
	const told = `document.querySelector(".alike").innerText`
	const loaded = `[...document.querySelectorAll(".alike img")].filter((i) => i.naturalWidth === 224).length === `
	act(t, ctx, chromedp.EmulateViewport(1200, 900))
	act(t, ctx, chromedp.SetUploadFiles("#file", []string{path}))
	until(t, ctx, answered+"1")
	until(t, ctx, loaded+"3")
	want := "Most alike of 5 photos\n1.0000 a.png\n1.0000 <img src=x onerror=alert(1)>\\n\"quoted\".png\n1.0000 ?#&=%41 \\u{202e}gnp.\u00fc.png\nnot shown\n1.0000 changed.png\nnot shown\n0.5110 shapes.png"
	if got := get[string](t, ctx, told); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%q, want %q", got, want)
	}
	if curl := get[string](t, ctx, `document.querySelector("#curl").textContent`); !strings.Contains(curl, "?top=5&model=fashion'") {
		t.Errorf("the command is %s", curl)
	}
	act(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	if get[bool](t, ctx, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("a phone has to scroll sideways")
	}
	shot(t, ctx, "alike-phone")

	get[any](t, ctx, `(() => { const p = document.querySelector("#model"); p.value = "plain"; p.dispatchEvent(new Event("change")); })()`)
	act(t, ctx, chromedp.Click("#clear"), chromedp.SetUploadFiles("#file", []string{path}))
	until(t, ctx, answered+"1")
	if !get[bool](t, ctx, `document.querySelector(".alike").hidden`) {
		t.Error("neighbours without an index")
	}

	_, url = start(t, serve.Options{Models: withIndex(file)})
	ctx = browse(t, url, false)
	act(t, ctx, chromedp.SetUploadFiles("#file", []string{path}))
	until(t, ctx, `document.querySelectorAll(".alike li").length === 5`)
	if n := get[int](t, ctx, `document.querySelectorAll(".alike img, .alike .none").length`); n != 0 {
		t.Errorf("%d pictures that may not be shown", n)
	}
	shot(t, ctx, "alike-list")

	// Of another folder's photos there is a list, and why.
	_, url = start(t, serve.Options{Models: withIndex(file), Thumbnails: []string{t.TempDir()}})
	ctx = browse(t, url, false)
	act(t, ctx, chromedp.SetUploadFiles("#file", []string{path}))
	until(t, ctx, `document.querySelectorAll(".alike li").length === 5`)
	get[any](t, ctx, `document.querySelector(".alike").scrollIntoView()`)
	until(t, ctx, `document.querySelector(".alike .unshown")?.hidden === false && !document.querySelector(".alike .none, .alike img")`)
}

// TestCORS: a page of the origin that may ask sends a packed body, and reads what it needs of
// the header of the answer.
func TestCORS(t *testing.T) {
	const page = `<p id="curl">...</p><script>(async () => {
		const request = JSON.stringify({inputs: [{name: "pixels", datatype: "UINT8", shape: [1, 1, 1, 3], data: [1, 2, 3]}], outputs: [{name: "logits", parameters: {binary_data: true}}]});
		const body = await new Response(new Blob([request]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
		const r = await fetch(location.search.slice(1), {method: "POST", headers: {"Content-Type": "application/json", "Content-Encoding": "gzip"}, body});
		const head = Number(r.headers.get("Inference-Header-Content-Length"));
		const bytes = await r.arrayBuffer();
		JSON.parse(new TextDecoder().decode(bytes.slice(0, head)));
		document.title = bytes.byteLength - head + " bytes of logits";
	})().catch((e) => { document.title = "refused"; })</script>`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
	}))
	defer site.Close()
	_, url := start(t, serve.Options{CORS: site.URL})
	ctx := browse(t, site.URL+"/?"+url+"/v2/models/fashion/infer", false)
	until(t, ctx, `document.title !== ""`)
	if got := get[string](t, ctx, `document.title`); got != "40 bytes of logits" {
		t.Error(got)
	}
}

// TestNoCamera: where there is no camera the page says so and goes on.
func TestNoCamera(t *testing.T) {
	_, url := start(t, serve.Options{})
	ctx := browse(t, url, false)
	act(t, ctx, chromedp.Click("#camera"))
	until(t, ctx, `document.querySelector("#status").textContent.includes("isn't available")`)
	if get[bool](t, ctx, `!document.querySelector("#picker").hidden`) {
		t.Error("one model to choose from")
	}
}

// TestAxe: axe-core, whose file MOBILENET_TEST_AXE names, finds nothing to object to,
// in a light and a dark page with results.
func TestAxe(t *testing.T) {
	path := os.Getenv("MOBILENET_TEST_AXE")
	if path == "" {
		testenv.Skip(t, "axe", "MOBILENET_TEST_AXE doesn't name axe-core's axe.min.js")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, file, boot, shapes, "page/../../testdata/shapes.png")
	models := append(withIndex(file), serve.Model{Name: "second", Open: openBuiltin})
	_, url := start(t, serve.Options{Models: models, Thumbnails: []string{"../testdata"}})
	ctx := browse(t, url, false)
	get[any](t, ctx, string(axe)+"; 0")
	get[any](t, ctx, dropSeveral+`dropSeveral("a.png", "broken.png", "notes.txt")`)
	until(t, ctx, answered+"1")
	until(t, ctx, `document.querySelectorAll(".alike img").length > 1`)
	until(t, ctx, `document.querySelector("#results .bad") !== null`)
	get[any](t, ctx, `(() => { const p = document.querySelector("#model"); p.value = "second"; p.dispatchEvent(new Event("change")); })()`)
	for _, scheme := range []string{"light", "dark"} {
		act(t, ctx, prefer(scheme))
		get[any](t, ctx, `window.found = null; axe.run().then((r) => { window.found = r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ")); }); 0`)
		until(t, ctx, `window.found !== null`)
		if found := get[[]string](t, ctx, `window.found`); len(found) > 0 {
			t.Errorf("%s: %q", scheme, found)
		}
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
