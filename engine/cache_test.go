package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// cached asks for the weights called "key" and reports whether they had to be
// loaded.
func cached(t testing.TB, dir string, from Source) (e *Engine, head Source, loaded bool) {
	t.Helper()
	e, head, err := Cached(dir, "key", Options{Threads: 2}, func() (Source, string, error) {
		loaded = true
		return from, "key", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, head, loaded
}

func TestCached(t *testing.T) {
	m, q := random(t, small()), randomInt8(small(), 4, 255, true, false)
	m.Labels, m.Assumed = []string{"cat", "dog"}, model.AllAssumed
	q.Labels, q.Assumed = m.Labels, m.Assumed
	for _, from := range []Source{{Model: m}, {Quantized: q}} {
		dir := filepath.Join(t.TempDir(), "not", "yet [there]")
		first, _, loaded := cached(t, dir, from)
		if !loaded {
			t.Error("an empty cache had the weights")
		}
		second, head, loaded := cached(t, dir, Source{})
		if loaded {
			t.Error("the weights were not kept")
		}
		if diff := cmp.Diff(from.head(), head); diff != "" {
			t.Errorf("of the model came back: %s", diff)
		}
		if !head.Config().Equal(small()) || !slices.Equal(head.Labels(), m.Labels) {
			t.Error("another config or other labels")
		}
		if first.Precision() != second.Precision() {
			t.Errorf("precision %q, want %q", second.Precision(), first.Precision())
		}
		in := Input{Data: pixels(48 * 40 * 3), N: 1, H: 48, W: 40}
		if !slices.Equal(outputs(t, first, in).Logits, outputs(t, second, in).Logits) {
			t.Error("the kept weights give other logits")
		}
	}
}

// TestCacheMisses asks for weights that are in the folder, but under another key,
// of another build, or for other kernels.
func TestCacheMisses(t *testing.T) {
	k, err := chooseKernels("")
	if err != nil {
		t.Fatal(err)
	}
	m := Source{Model: random(t, small())}
	id := k.identities("key")[0]
	for name, change := range map[string]func(*identity){
		"key":        func(id *identity) { id.Key += "2" },
		"build":      func(id *identity) { id.Build += "2" },
		"arch":       func(id *identity) { id.Arch = "mips" },
		"byte order": func(id *identity) { id.ByteOrder = "middle" },
		"kernels":    func(id *identity) { id.CPU = "mmx" },
		"precision":  func(id *identity) { id.Precision = "int8" },
		"packing":    func(id *identity) { id.Packing-- },
	} {
		c := cacheEntry{dir: t.TempDir(), identity: id}
		cached(t, c.dir, m)
		if _, _, ok := c.load(k, Options{}); !ok {
			t.Fatal("a miss without a change")
		}
		other := c
		change(&other.identity)
		if _, _, ok := other.load(k, Options{}); ok {
			t.Errorf("%s: a hit in spite of the change", name)
		}
		// Even where the file has the name.
		if err := os.Rename(c.path(), other.path()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := other.load(k, Options{}); ok {
			t.Errorf("%s: the header does not show the change", name)
		}
	}
	if other := kernel.Generic.Name; id.CPU != other {
		dir := t.TempDir()
		cached(t, dir, m)
		t.Setenv("MOBILENET_CPU", other)
		if _, _, loaded := cached(t, dir, m); !loaded {
			t.Errorf("weights packed for %s were used by %s", id.CPU, other)
		}
	}
}

// TestCacheKeepsWhatWasRead has the model's files replaced between the key and
// the reading, and fail.
func TestCacheKeepsWhatWasRead(t *testing.T) {
	dir := t.TempDir()
	m := Source{Model: random(t, small())}
	for _, key := range []string{"another", ""} {
		_, got, err := Cached(dir, "key", Options{}, func() (Source, string, error) { return m, key, nil })
		if err != nil || got != m {
			t.Errorf("%v, %v", got, err)
		}
	}
	for _, place := range []struct{ dir, key string }{{"", "key"}, {dir, ""}} {
		if _, _, err := Cached(place.dir, place.key, Options{}, func() (Source, string, error) { return m, place.key, nil }); err != nil {
			t.Error(err)
		}
	}
	bad := errors.New("bad")
	if _, _, err := Cached(dir, "key", Options{}, func() (Source, string, error) { return Source{}, "key", bad }); err != bad {
		t.Errorf("error %v, want that of load", err)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%v was kept", files)
	}
}

func TestCacheThatCannotBeUsed(t *testing.T) {
	m := random(t, small())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	readonly := t.TempDir()
	if err := os.Chmod(readonly, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "sub"), readonly, "a\x00b"} {
		for range 2 {
			if _, got, _ := cached(t, dir, Source{Model: m}); !got.Config().Equal(m.Config) {
				t.Errorf("%q: another model", dir)
			}
		}
	}
	m.Labels = []string{"caf\xe9"} // which JSON would change
	dir := t.TempDir()
	cached(t, dir, Source{Model: m})
	if _, got, _ := cached(t, dir, Source{Model: m}); got.Labels()[0] != m.Labels[0] {
		t.Errorf("label %q, want %q", got.Labels()[0], m.Labels[0])
	}
}

// TestDamagedPackedFile flips each of many bytes, and cuts the file off.
func TestDamagedPackedFile(t *testing.T) {
	k, err := chooseKernels("")
	if err != nil {
		t.Fatal(err)
	}
	for i, from := range []Source{{Model: random(t, small())}, {Quantized: randomInt8(small(), 4, 127, false, true)}} {
		dir := t.TempDir()
		cached(t, dir, from)
		path := onlyFile(t, dir)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		load := func(data []byte) error {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, _, err := openPacked(path, k.identities("key")[i], k)
			return err
		}
		for at := 0; at < len(good); at += 1 + len(good)/97 {
			bad := slices.Clone(good)
			bad[at] ^= 4
			if load(bad) == nil {
				t.Errorf("no error with byte %d changed", at)
			}
			if load(good[:at]) == nil {
				t.Errorf("no error for the first %d bytes", at)
			}
		}
		if load(append(slices.Clone(good), good...)) == nil {
			t.Error("no error for the file twice over")
		}
		if err := load(good); err != nil {
			t.Error(err)
		}
		load(good[:len(good)/2])
		if _, _, loaded := cached(t, dir, from); !loaded {
			t.Error("half a file was used")
		}
		if _, _, loaded := cached(t, dir, Source{}); loaded {
			t.Error("half a file was not replaced")
		}
	}
}

// TestFileCutOffInUse has weights run whose file is truncated meanwhile, which
// would end the process by SIGBUS if the file were mapped.
func TestFileCutOffInUse(t *testing.T) {
	m := random(t, small())
	dir := t.TempDir()
	cached(t, dir, Source{Model: m})
	e, _, loaded := cached(t, dir, Source{})
	if loaded {
		t.Fatal("the weights were not kept")
	}
	if err := os.Truncate(onlyFile(t, dir), 0); err != nil {
		t.Fatal(err)
	}
	in := Input{Data: pixels(32 * 32 * 3), N: 1, H: 32, W: 32}
	if !slices.Equal(outputs(t, e, in).Logits, outputs(t, compile(t, m, 1), in).Logits) {
		t.Error("other logits")
	}
}

func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v: want one file", files, err)
	}
	return filepath.Join(dir, files[0].Name())
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{".new.packed.123", "notes.txt"}
	for i := range maxPacked + 3 {
		name := fmt.Sprintf("%02d.packed", i)
		write(name, time.Duration(i)*time.Minute)
		if i < maxPacked {
			want = append(want, name)
		}
	}
	write("notes.txt", 99*time.Hour)
	write(".new.packed.123", 0)
	write(".old.packed.123", 2*abandoned)
	prune(dir)
	var got []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		got = append(got, f.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q left, want %q", got, want)
	}
}

// TestVersioned has the shapes of build information that Go writes.
func TestVersioned(t *testing.T) {
	module := func(version string) debug.Module { return debug.Module{Path: modulePath, Version: version} }
	other := debug.Module{Path: "example.com/user", Version: "(devel)"}
	with := func(version string, replace *debug.Module) []*debug.Module {
		m := module(version)
		m.Replace = replace
		return []*debug.Module{{Path: "example.com/x", Version: "v1.0.0"}, &m}
	}
	modified := func(v string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.modified", Value: v}}
	}
	for name, test := range map[string]struct {
		info debug.BuildInfo
		want bool
	}{
		"installed":          {debug.BuildInfo{Main: module("v1.2.3")}, true},
		"clean checkout":     {debug.BuildInfo{Main: module("v0.0.0-20250102030405-0123456789ab"), Settings: modified("false")}, true},
		"changed checkout":   {debug.BuildInfo{Main: module("v1.2.3+dirty"), Settings: modified("true")}, false},
		"dirty by name":      {debug.BuildInfo{Main: module("v1.2.3+dirty")}, false},
		"no version control": {debug.BuildInfo{Main: module("(devel)")}, false},
		"test":               {debug.BuildInfo{Main: module("")}, false},
		"library":            {debug.BuildInfo{Main: other, Deps: with("v1.2.3", nil)}, true},
		"user's checkout":    {debug.BuildInfo{Main: other, Deps: with("v1.2.3", nil), Settings: modified("true")}, false},
		"local replacement":  {debug.BuildInfo{Main: other, Deps: with("v1.2.3", &debug.Module{Path: "../fork"})}, false},
		"fork":               {debug.BuildInfo{Main: other, Deps: with("v1.2.3", &debug.Module{Path: "example.com/fork", Version: "v1.2.4"})}, true},
		"workspace":          {debug.BuildInfo{Main: other, Deps: with("(devel)", nil)}, false},
		"without us":         {debug.BuildInfo{Main: debug.Module{Path: "example.com/user", Version: "v1.0.0"}}, false},
	} {
		if got := versioned(&test.info); got != test.want {
			t.Errorf("%s: versioned %v, want %v", name, got, test.want)
		}
	}
}

// TestExecutable has two executables that differ in their build ID only.
func TestExecutable(t *testing.T) {
	name := build()
	if !strings.HasPrefix(name, "executable ") {
		t.Errorf("a test is the build %q, want it known by its executable", name)
	}
	if build() != name || executable() != name {
		t.Error("another name for the same executable")
	}
	if runtime.GOOS != "linux" {
		return
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	identify := func(content []byte) string {
		path := filepath.Join(dir, "program")
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		return fileIdentity(path)
	}
	one := identify(self)
	other := slices.Clone(self)
	other[4000] ^= 1
	if one == "" || one == identify(other) || one == identify(append(self, 0)) || one != identify(self) {
		t.Error("files are not told apart")
	}
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		executable()
	}
}

func BenchmarkCached(b *testing.B) {
	for _, from := range []Source{{Model: random(b, model.Default())}, {Quantized: calibrated(model.Default())}} {
		dir := b.TempDir()
		e, _, _ := cached(b, dir, from)
		b.Run("precision="+e.Precision(), func(b *testing.B) {
			for b.Loop() {
				if _, _, loaded := cached(b, dir, Source{}); loaded {
					b.Fatal("a miss")
				}
			}
		})
	}
}
