package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/spark/store"
)

// members reads members of a shard in a file, each once, and says of each what became of
// it: its bytes, or "error: " and why.
func members(t *testing.T, archive []byte, wanted []store.Member, limit int64) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shard.tar")
	if err := os.WriteFile(path, archive, 0o666); err != nil {
		t.Fatal(err)
	}
	s := store.New(store.Options{Tries: 2, Wait: time.Microsecond})
	defer s.Close()
	got, calls := make([]string, len(wanted)), make([]int, len(wanted))
	err := s.Members(t.Context(), path, wanted, store.NewBudget(limit), func(i int, d store.Data, err error) {
		calls[i]++
		if err != nil {
			got[i] = "error: " + err.Error()
			return
		}
		if int64(len(d.Bytes)) > limit {
			t.Errorf("%q: %d bytes, more than %d", wanted[i].Name, len(d.Bytes), limit)
		}
		got[i] = string(d.Bytes)
		d.Release()
	})
	if err != nil { // what is in a file is wrong for good: no other try mends it
		t.Errorf("the task ends: %v", err)
	}
	for i, n := range calls {
		if n != 1 {
			t.Errorf("%q is settled %d times", wanted[i].Name, n)
		}
	}
	return got
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// Shards that are broken, lie about sizes or were made to fill memory: members before the
// trouble are read, the others have errors, and no memory is taken for what is only claimed.
func TestHostileShards(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var named, placed []store.Member
	for i := range 6 {
		name := fmt.Sprint(i, ".jpg")
		w.WriteHeader(&tar.Header{Name: name, Size: 1000, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
		named = append(named, store.Member{Name: name})
		placed = append(placed, store.Member{Name: name, Offset: int64(b.Len()), Size: 1000})
		fmt.Fprintf(w, "%1000d", i)
		w.Flush()
	}
	w.Close()
	whole := b.Bytes()
	photo := func(i int) string { return fmt.Sprintf("%1000d", i) }

	damaged := bytes.Clone(whole)
	copy(damaged[placed[3].Offset-512:], bytes.Repeat([]byte("x"), 512)) // the header of 3
	lying := bytes.Clone(whole)
	copy(lying[placed[5].Offset-512:], header("5.jpg", 40<<20))
	huge := bytes.Clone(whole)
	copy(huge[placed[5].Offset-512:], header("5.jpg", 7<<30))
	packed := pack(whole)
	torn := bytes.Clone(packed)
	for i := len(torn) / 2; i < len(torn); i++ {
		torn[i] ^= 0x55
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(header("bomb", 200<<20))
	io.CopyN(z, zeros{}, 200<<20)
	z.Close()

	for _, c := range []struct {
		name    string
		archive []byte
		members []store.Member
		first   int    // member that fails, and all after it
		cause   string // of it
	}{
		{"a broken header, by name", damaged, named, 3, "a damaged archive: archive/tar: invalid tar header"},
		{"cut, by name", whole[:placed[3].Offset+10], named, 3, "a damaged archive: it ends too early"},
		{"cut, by place", whole[:placed[3].Offset+10], placed, 3, "the archive ends before that: it is cut off, or the place is another's"},
		{"cut and packed", packed[:len(packed)-40], named, 4, "a damaged archive: it ends too early"},
		{"a member of 40 MiB in 8 KiB", lying, named, 5, "more than 1 MiB"},
		{"a member of 7 GiB", huge, named, 5, "more than 1 MiB"},
		{"a row of 7 GiB", whole, append(placed[:5:5], store.Member{Name: "5.jpg", Offset: placed[5].Offset, Size: 7 << 30}), 5, "more than 1 MiB"},
		{"a bomb", bomb.Bytes(), []store.Member{{Name: "none"}}, 0, "unpacks to more than 100 times its size"},
		{"behind its end", whole, append(placed[:5:5], store.Member{Offset: int64(len(whole)) + 512, Size: 9}), 5, "the archive ends before that"},
		{"far behind its end", whole, []store.Member{{Offset: int64(len(whole)) + 1<<20, Size: 9}}, 0, "the archive ends before that"},
		{"a packed archive, by places", packed, placed, 0, ""},
		{"another size", whole, append(placed[:5:5], store.Member{Name: "5.jpg", Offset: placed[5].Offset, Size: 999}), 5, "that member has 1000 bytes, and the row's size is 999"},
		{"a place without a size", whole, append(placed[:5:5], store.Member{Name: "5.jpg", Offset: placed[5].Offset}), 5, "that member has 1000 bytes, and the row's size is 0"},
		{"another size, by name", packed, append(named[:5:5], store.Member{Name: "5.jpg", Size: 999}), 5, "that member has 1000 bytes, and the row's size is 999"},
		{"the same size, by name", packed, append(named[:5:5], store.Member{Name: "5.jpg", Size: 1000}, store.Member{Name: "5.jpg", Size: 7}), 6, ""},
		{"a photo", []byte(strings.Repeat("photo", 1000)), named[:1], 0, "not a tar archive, and the row names a member"},
		{"no archive", []byte("hello"), named[:1], 0, "a damaged archive"},
		{"nothing", nil, named[:1], 0, "a damaged archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := members(t, c.archive, c.members, 1<<20)
			for i, text := range got {
				if i < c.first && text != photo(i) || i >= c.first && !strings.HasPrefix(text, "error: ") {
					t.Errorf("member %d: %.100q", i, strings.TrimSpace(text))
				}
			}
			if text := got[c.first]; !strings.Contains(text, c.cause) {
				t.Errorf("member %d: %.100q, want %q", c.first, text, c.cause)
			}
		})
	}
	// A broken header between them is no matter to members whose places are known.
	for i, text := range members(t, damaged, placed, 1<<20) {
		if i != 3 && text != photo(i) {
			t.Errorf("member %d by place: %.100q", i, text)
		}
	}
	members(t, torn, named, 1<<20) // gzip's checksum comes last: until then damage looks like a photo, or doesn't
}

// A place behind a shard's end is the same error from a server, which refuses to serve it.
func TestBehindEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(append(header("a", 3), "aaa"...)))
	}))
	defer server.Close()
	s := store.New(store.Options{Tries: 2, Wait: time.Microsecond})
	defer s.Close()
	for offset, want := range map[int64]string{512: "aaa", 513: "begins there", 2000: "ends before that", 1 << 40: "ends before that"} {
		got := ""
		if err := s.Members(t.Context(), server.URL+"/a.tar", []store.Member{{Offset: offset, Size: 3}}, store.NewBudget(1<<20), func(_ int, d store.Data, err error) {
			if got = string(d.Bytes); err != nil {
				got = err.Error()
			}
		}); err != nil {
			t.Error(err)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%d: %s, want %s", offset, got, want)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// header is the block before a member that claims a size.
func header(name string, size int64) []byte {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		panic(err)
	}
	return b.Bytes()
}
