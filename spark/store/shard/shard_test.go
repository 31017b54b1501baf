package shard

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mobilenet-go/mobilenet/fault"
)

// pick reads members of an archive in memory, as a store does, each once, and returns the
// bytes of those that are there. limit is the size of the largest that is taken.
func pick(t *testing.T, archive []byte, members []Member, limit int64) [][]byte {
	t.Helper()
	got, settled := make([][]byte, len(members)), make([]int, len(members))
	p := Picking{Members: members}
	p.Fail = func(i int, err error) { settled[i]++ }
	p.Take = func(which []int, r io.Reader, size int64) error {
		if size > limit {
			for _, i := range which {
				settled[i]++
			}
			return nil
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		for _, i := range which {
			settled[i]++
			got[i] = data
		}
		return nil
	}
	fail := func(which []int, err error) {
		if _, ok := errors.AsType[*fault.Error](err); !ok { // nothing is wrong with a transport here
			t.Errorf("%v", err)
		}
		for _, i := range which {
			if settled[i] == 0 {
				settled[i]++
			}
		}
	}
	var placed, named []int
	for i, m := range members {
		switch {
		case m.Size > limit:
			settled[i]++
		case m.Offset > 0:
			placed = append(placed, i)
		default:
			named = append(named, i)
		}
	}
	p.Sort(placed)
	for len(placed) > 0 {
		which := placed[:p.Together(placed)]
		placed = placed[len(which):]
		for len(which) > 0 {
			start, end := p.Span(which)
			if start < 0 {
				p.Fail(which[0], ErrOffset)
				which = which[1:]
				continue
			}
			from := min(start, int64(len(archive)))
			part := archive[from:max(from, min(end, int64(len(archive))))]
			rest, err := p.Range(bytes.NewReader(part), int64(len(part)), which)
			if err != nil {
				fail(which, err)
			}
			which = rest
		}
	}
	if err := p.Scan(bytes.NewReader(archive), int64(len(archive)), named); err != nil {
		fail(named, err)
	}
	if slices.ContainsFunc(settled, func(n int) bool { return n != 1 }) {
		t.Errorf("members are settled %v times", settled)
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

// header is the block before a member that claims a size.
func header(name string, size int64) []byte {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Links are no files, and are told; a header needn't say ustar; rows for the same member all get
// its bytes; and an archive may lack its end.
func TestMembers(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "a", Size: 3, Mode: 0o644})
	io.WriteString(w, "aaa")
	w.WriteHeader(&tar.Header{Name: "hard", Linkname: "a", Typeflag: tar.TypeLink})
	w.WriteHeader(&tar.Header{Name: "soft", Linkname: "a", Typeflag: tar.TypeSymlink})
	w.Flush()
	cut := bytes.Clone(b.Bytes())
	w.Close()
	archive := b.Bytes()
	old := bytes.Clone(archive)
	clear(old[257:265])
	sum := 8 * int(' ')
	for i, c := range old[:block] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(old[148:], fmt.Sprintf("%06o\x00 ", sum))

	for name, archive := range map[string][]byte{"ustar": archive, "old": old, "cut": cut, "packed": pack(archive)} {
		causes := map[string]error{}
		p := Picking{Members: []Member{{Name: "a"}, {Name: "hard"}, {Name: "a"}, {Name: "soft"}, {Name: "none"}}}
		p.Fail = func(i int, err error) { causes[p.Members[i].Name] = err }
		var taken []int
		p.Take = func(which []int, r io.Reader, size int64) error {
			taken = append(taken, which...)
			return nil
		}
		if err := p.Scan(bytes.NewReader(archive), int64(len(archive)), []int{0, 1, 2, 3, 4}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(taken, []int{0, 2}) || causes["hard"] != errLink || causes["soft"] != errLink || causes["none"] != errNoMember {
			t.Errorf("%s: taken %v, %v", name, taken, causes)
		}
		var listed []string
		err := List(bytes.NewReader(archive), func(m Member) error {
			listed = append(listed, fmt.Sprintf("%s %v", m.Name, m.Left == errLink))
			return nil
		})
		if !slices.Equal(listed, []string{"a false", "hard true", "soft true"}) || (err != nil) != (name == "cut") || err != nil && err != errNoEnd {
			t.Errorf("%s: listed %q, %v", name, listed, err)
		}
		if got := pick(t, archive, []Member{{Name: "a", Offset: 512, Size: 3}}, 10)[0]; name != "packed" && string(got) != "aaa" {
			t.Errorf("%s: by its place %q", name, got)
		}
	}
}

// Sparse files of GNU tar's four forms are read by their names. No place has their bytes: a
// plain archive's list leaves them out, with the reason, and rows that name places all the
// same are refused with it. What testdata/sparse.sh packed is the oracle.
func TestSparse(t *testing.T) {
	var want []byte
	for letter := byte('a'); letter <= 'h'; letter++ {
		want = append(append(want, bytes.Repeat([]byte{letter}, 512)...), make([]byte, 4096)...)
	}
	want = append(want, make([]byte, 65536)...)
	for _, form := range []string{"gnu", "0.0", "0.1", "1.0"} {
		packed, err := os.ReadFile("testdata/sparse-" + form + ".tar.gz")
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		for _, archive := range [][]byte{plain, packed} {
			got := pick(t, archive, []Member{{Name: "sparse.bin"}, {Name: "plain.bin"}}, 1<<20)
			if !bytes.Equal(got[0], want) || string(got[1]) != "plain\n" {
				t.Errorf("%s: by name %d bytes and %q", form, len(got[0]), got[1])
			}
			if got := pick(t, archive, []Member{{Name: "sparse.bin"}, {Name: "plain.bin"}}, 100); got[0] != nil || string(got[1]) != "plain\n" {
				t.Errorf("%s: behind one that is too large %q", form, got)
			}
		}
		listed := func(archive []byte) (list []Member) {
			if err := List(bytes.NewReader(archive), func(m Member) error { list = append(list, m); return nil }); err != nil {
				t.Errorf("%s: %v", form, err)
			}
			return list
		}
		if got := listed(packed); !slices.Equal(got, []Member{{Name: "sparse.bin"}, {Name: "plain.bin"}}) {
			t.Errorf("%s, packed: listed %+v", form, got)
		}
		list := listed(plain)
		if len(list) != 2 || list[0].Name != "sparse.bin" || list[0].Left != errSparse || list[1].Left != nil {
			t.Fatalf("%s: listed %+v", form, list)
		}
		if got := pick(t, plain, list[1:], 100); string(got[0]) != "plain\n" {
			t.Errorf("%s: by its place %q", form, got)
		}

		list[0].Size = int64(len(want)) // as other programs, which don't leave it out, would list it
		p := Picking{Members: list[:1]}
		var cause error
		p.Fail = func(i int, err error) { cause = err }
		start, end := p.Span([]int{0})
		if _, err := p.Range(bytes.NewReader(plain[start:min(end, int64(len(plain)))]), end-start, []int{0}); err != nil || cause == nil || !strings.Contains(cause.Error(), "sparse file") {
			t.Errorf("%s, by its place: %v, %v", form, cause, err)
		}
	}
}

// Pipes, devices and types of tar's that nobody knows are told, and folders are not.
func TestNoFiles(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{{Name: "folder.jpg/", Typeflag: tar.TypeDir}, {Name: "pipe.jpg", Typeflag: tar.TypeFifo}, {Name: "device.jpg", Typeflag: tar.TypeChar}, {Name: "vendor.jpg", Typeflag: 'Q'}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	var names []string
	err := List(bytes.NewReader(b.Bytes()), func(m Member) error {
		if !errors.Is(m.Left, errors.ErrUnsupported) {
			t.Errorf("%s: %v", m.Name, m.Left)
		}
		names = append(names, m.Name)
		return nil
	})
	if want := []string{"pipe.jpg", "device.jpg", "vendor.jpg"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("listed %q, %v", names, err)
	}
	p := Picking{Members: []Member{{Name: "pipe.jpg"}}}
	p.Fail = func(i int, err error) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("by its name: %v", err)
		}
	}
	if err := p.Scan(bytes.NewReader(b.Bytes()), int64(b.Len()), []int{0}); err != nil {
		t.Error(err)
	}
}

// What is wrong with an archive is said to be, whatever package tar calls it: another try
// would find the same. What is wrong with its transport stays as it is.
func TestJudge(t *testing.T) {
	long := append(header("x", 2<<20), make([]byte, 2<<20)...)
	long[156] = tar.TypeXHeader // of 2 MiB: tar takes 1
	copy(long[148:156], "        ")
	sum := 0
	for _, b := range long[:512] {
		sum += int(b)
	}
	copy(long[148:156], fmt.Sprintf("%06o\x00 ", sum))
	list := func(r io.Reader) error { return List(r, func(Member) error { return nil }) }
	if _, ok := errors.AsType[*fault.Error](list(bytes.NewReader(long))); !ok {
		t.Errorf("a header of 2 MiB: %v", list(bytes.NewReader(long)))
	}
	for _, want := range []error{context.Canceled, errors.New("connection reset")} {
		if err := list(io.MultiReader(bytes.NewReader(header("a", 1000)), iotest.ErrReader(want))); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// FuzzMembers: whatever an archive is, each member is settled once, errors are about the
// archive, and bytes that are found by their place are those of the file there. What a list
// says of an archive is found there.
func FuzzMembers(f *testing.F) {
	whole := append(header("a", 3), make([]byte, 512)...)
	copy(whole[512:], "abc")
	f.Add(whole, int64(512), int64(3))
	f.Add(pack(whole), int64(512), int64(3))
	f.Add(whole[:600], int64(1<<40), int64(1<<40))
	f.Add(header("a", 7<<30), int64(-1), int64(-1))
	f.Fuzz(func(t *testing.T, archive []byte, offset, size int64) {
		if offset < 0 || size < 0 { // no row has these
			return
		}
		const limit = 1 << 16
		wanted := []Member{{Name: "a"}, {Name: "b"}, {Name: "a", Offset: offset, Size: size}, {Name: "b", Offset: offset / 2, Size: size}}
		for i, data := range pick(t, archive, wanted, limit) {
			m := wanted[i]
			if m.Offset > 0 && data != nil && !bytes.Equal(data, archive[m.Offset:m.End()]) {
				t.Errorf("%+v: got %q", m, data)
			}
		}
		var listed []Member
		err := List(bytes.NewReader(archive), func(m Member) error {
			if listed = append(listed, m); len(listed) == 1000 {
				return fault.TooLargef("enough")
			}
			return nil
		})
		if _, ok := errors.AsType[*fault.Error](err); err != nil && !ok {
			t.Errorf("listing: %v", err)
		}
		for _, m := range listed {
			if m.Offset < 0 || m.Size < 0 || m.Offset > int64(len(archive)) {
				t.Errorf("listed %+v of %d bytes", m, len(archive))
			}
		}
	})
}
