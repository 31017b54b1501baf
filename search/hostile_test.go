package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// golden is an index that a program of version 1 wrote: 11 rows in two segments, with a
// projection.
const golden = "testdata/v1.mnidx"

// TestGolden has the format stay what it is.
func TestGolden(t *testing.T) {
	x, err := Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Verify(); err != nil {
		t.Fatal(err)
	}
	if m := x.Meta(); x.Len() != 11 || m.Dim != 3 || m.Features != 5 || m.Model != "a.safetensors" {
		t.Errorf("%d rows of %+v", x.Len(), m)
	}
	if got := x.Path(10); got != "two\nlines/ü\xff.jpg" {
		t.Errorf("the last path is %q", got)
	}
	v, err := x.Row(7, nil)
	if err != nil || v[0] != 7 || v[1] != -3.5 || v[2] != 0.25 {
		t.Errorf("row 7 is %v, %v", v, err)
	}
	p, err := x.Project([]float32{1, 2, 3, 4, 5})
	if err != nil || p[0] != 0 || p[1] != 1 || p[2] != 2 {
		t.Errorf("projected to %v, %v", p, err)
	}
}

// writeGolden writes what golden is.
func writeGolden(t *testing.T, path string) {
	t.Helper()
	m := meta(3)
	m.Features = 5
	projection := []float32{1, 1, 1, 1, 1}
	for i := range 3 {
		direction := make([]float32, 5)
		direction[i] = 1
		projection = append(projection, direction...)
	}
	w, err := Create(path, m, projection)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 11 {
		path := name(i)
		if i == 10 {
			path = "two\nlines/ü\xff.jpg"
		}
		if err := w.Add(path, []float32{float32(i), -float32(i) / 2, 0.25}); err != nil {
			t.Fatal(err)
		}
		if i == 8 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWrittenAsGolden has today's program write the same bytes.
func TestWrittenAsGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mnidx")
	writeGolden(t, path)
	got, want := readFile(t, path), readFile(t, golden)
	if !bytes.Equal(got, want) {
		t.Error("an index of the same rows has other bytes")
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readBytes reads an index in memory.
func readBytes(b []byte) (*Index, error) {
	return read(file{bytes.NewReader(b)}, int64(len(b)))
}

// use does with an index what can be done.
func use(x *Index) error {
	if err := x.Verify(); err != nil {
		return err
	}
	for row := range min(x.Len(), 100) {
		x.Path(row)
		if _, err := x.Row(row, nil); err != nil {
			return err
		}
	}
	x.Find("photos/1.jpg")
	q := make([]float32, x.Meta().Dim)
	q[0] = 1
	_, err := x.Search(context.Background(), [][]float32{q}, Options{Top: 3, Threads: 1})
	return err
}

// TestTruncated has every part of an index be refused.
func TestTruncated(t *testing.T) {
	whole := readFile(t, golden)
	for n := range whole {
		x, err := readBytes(whole[:n])
		if err == nil {
			t.Fatalf("%d bytes of %d are an index of %d rows", n, len(whole), x.Len())
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			t.Fatalf("%d bytes: %v is no fault", n, err)
		}
	}
}

// TestDamaged changes each byte of an index. What is read then is what was written, or
// refused: the rest of the head and a commit that doesn't count are not looked at.
func TestDamaged(t *testing.T) {
	whole := readFile(t, golden)
	want, err := readBytes(whole)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		x, err := readBytes(b)
		if err == nil {
			err = x.Verify()
		}
		if err != nil {
			continue
		}
		if x.Len() != want.Len() && x.Len() != 9 { // the first commit, where the second is damaged
			t.Fatalf("byte %d: %d rows", at, x.Len())
		}
		for row := range x.Len() {
			got, _ := x.Row(row, nil)
			v, _ := want.Row(row, nil)
			if x.Path(row) != want.Path(row) || got[0] != v[0] || got[1] != v[1] || got[2] != v[2] {
				t.Fatalf("byte %d: row %d has changed", at, row)
			}
		}
	}
}

// TestRefused has what is said be what is wrong.
func TestRefused(t *testing.T) {
	whole := readFile(t, golden)
	first := int64(0)
	if _, at, err := readHead(file{bytes.NewReader(whole)}, int64(len(whole))); err == nil {
		first = at
	}
	le := binary.LittleEndian
	resum := func(b []byte) { le.PutUint32(b[20:], crc(b[:20])) }
	recommit := func(b []byte, c commit) {
		for _, at := range commitAt {
			c.encode(b[at:])
		}
	}
	for _, c := range []struct {
		change func(b []byte) []byte
		want   string
	}{
		{func(b []byte) []byte { return nil }, "no index of photos"},
		{func(b []byte) []byte { return []byte("\x89PNG") }, "no index of photos"},
		{func(b []byte) []byte { le.PutUint32(b[8:], 2); return b }, "an index of version 2; this program reads version 1"},
		{func(b []byte) []byte { le.PutUint32(b[12:], 1<<30); resum(b); return b }, "a description of 1073741824 bytes"},
		{func(b []byte) []byte { b[metaAt] = 'x'; return b }, "no JSON"},
		{func(b []byte) []byte { return bytes.Replace(b, []byte(`"dim":3`), []byte(`"dim":0`), 1) }, "rows of 0 values"},
		{func(b []byte) []byte { return bytes.Replace(b, []byte(`"dim":3`), []byte(`"dim":9`), 1) }, "a projection of 5 values to 9"},
		{func(b []byte) []byte { return bytes.Replace(b, []byte(`"dim":3`), []byte(`"dim":4`), 1) }, "checksum differs"},
		{func(b []byte) []byte { recommit(b, commit{9, 11, 2, 1 << 40}); return b }, "cut short: "},
		{func(b []byte) []byte { recommit(b, commit{9, 1 << 40, 2, int64(len(b))}); return b }, "rows in 2 segments"},
		{func(b []byte) []byte { recommit(b, commit{9, 11, 1 << 20, int64(len(b))}); return b }, "rows in 1048576 segments"},
		{func(b []byte) []byte { recommit(b, commit{9, 11, 3, int64(len(b))}); return b }, "a segment of 0 bytes"},
		{func(b []byte) []byte { recommit(b, commit{9, 12, 2, int64(len(b))}); return b }, "12 rows and byte"},
		{func(b []byte) []byte { recommit(b, commit{9, 11, 2, -5}); return b }, "end at byte -5"},
		{func(b []byte) []byte { clear(b[512:2048]); return b }, "no commit is whole"},
		{func(b []byte) []byte { // more rows than the segment has room for
			le.PutUint32(b[first+4:], 1000)
			le.PutUint32(b[first+60:], crc(b[first:][:60]))
			return b
		}, "where "},
		{func(b []byte) []byte { // paths that end before they begin
			s, l, err := decodeSegment(b[first:], first, int64(len(b))-first, &Meta{Dim: 3})
			if err != nil {
				t.Fatal(err)
			}
			ends := b[first+l.ends:]
			le.PutUint32(ends[4:], 1)
			s.sums[1] = pathSum(crc(ends[:4*s.rows]), b[first+l.paths:][:s.paths])
			s.encode(b[first:])
			return b
		}, "row 1 of a segment has no path"},
	} {
		_, err := readBytes(c.change(bytes.Clone(whole)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestNotFinite has no vector be taken that bounds can't be computed of, and a damaged
// one be found.
func TestNotFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mnidx")
	w, err := Create(path, meta(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range [][]float32{{1, nan, 2}, {inf, 1, 2}, {-inf, 1, 2}, {-math.MaxFloat32, math.MaxFloat32, 0}, {math.MaxFloat32, math.MaxFloat32, math.MaxFloat32}} {
		if err := w.Add("a.jpg", v); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: %v", v, err)
		}
	}
	if err := w.Add("a.jpg", []float32{1, 2}); err == nil {
		t.Error("a row of 2 values was taken")
	}
	for _, v := range [][]float32{{1, 2, 3}, {1e-45, 0, 0}, {0, 0, 0}, {1e18, -1e18, 1}} {
		if err := w.Add("a.jpg", v); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := readFile(t, path)
	x, err := readBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if hits, err := x.Search(t.Context(), [][]float32{{1, 2, 3}}, Options{}); err != nil || len(hits[0]) != 4 {
		t.Errorf("%v, %v", hits, err)
	}
	if _, err := x.Search(t.Context(), [][]float32{{1, nan, 3}}, Options{}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("a query that is not finite: %v", err)
	}
	seg := &x.segments[0]
	binary.LittleEndian.PutUint32(b[seg.at+seg.layout.floats:], math.Float32bits(nan))
	if x, err = readBytes(b); err != nil {
		t.Fatal(err)
	}
	if err := x.Verify(); err == nil || !strings.Contains(err.Error(), "vectors of rows 0 to 3 are damaged") {
		t.Errorf("verified: %v", err)
	}
	if _, err := x.Search(t.Context(), [][]float32{{1, 2, 3}}, Options{}); err == nil || !strings.Contains(err.Error(), "row 0 is damaged") {
		t.Errorf("searched: %v", err)
	}
}

// TestEmpty has an index of 0 rows be one.
func TestEmpty(t *testing.T) {
	x := indexOf(t, meta(3), nil, 1)
	if x.Len() != 0 {
		t.Errorf("%d rows", x.Len())
	}
	if err := use(x); err != nil {
		t.Error(err)
	}
	if _, ok := x.Find(""); ok {
		t.Error("found a row")
	}
	if _, err := x.Components(t.Context(), 2); err == nil {
		t.Error("principal components of nothing")
	}
}

// TestCutWhileOpen has a file that is cut under a search be an error.
func TestCutWhileOpen(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	path := filepath.Join(t.TempDir(), "a.mnidx")
	w, err := Create(path, meta(64), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range signed(rng, 2000, 64) {
		if err := w.Add(name(i), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := os.Truncate(path, 100_000); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"use":    use(x),
		"verify": x.Verify(),
		"row":    func() error { _, err := x.Row(1999, nil); return err }(),
		"search": func() error { _, err := x.Search(t.Context(), signed(rng, 1, 64), Options{}); return err }(),
	} {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestOverwrittenWhileOpen has another index be copied over one that is open, and stopped
// at any place: a search is right or an error.
func TestOverwrittenWhileOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(file, photos string, seed uint64) (rows [][]float32) {
		t.Helper()
		rows = signed(rand.New(rand.NewPCG(seed, 0)), 300, 64)
		w, err := Create(file, meta(64), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range rows {
			if err := w.Add(photos+name(i), v); err != nil {
				t.Fatal(err)
			}
			if i%100 == 99 {
				if err := w.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	path, other := filepath.Join(dir, "a.mnidx"), filepath.Join(dir, "b.mnidx")
	rows := write(path, "one/", 1)
	write(other, "two/", 2)
	old, next := readFile(t, path), readFile(t, other)
	if len(old) != len(next) {
		t.Fatal("want files of one size")
	}
	refused := 0
	for n := 0; n <= len(next); n += len(next) / 50 {
		if err := os.WriteFile(path, old, 0o644); err != nil {
			t.Fatal(err)
		}
		x, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // as rsync --inplace; cp cuts the file first
		if err == nil {
			_, err = f.Write(next[:n])
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		hits, err := x.Search(t.Context(), rows[:1], Options{Top: 3})
		if _, ok := errors.AsType[*fault.Error](err); err != nil && !ok {
			t.Error(err)
		}
		if err == nil && (hits[0][0].Path != "one/"+name(0) || math.Abs(hits[0][0].Score-1) > 1e-12) {
			t.Errorf("%d bytes overwritten: found %v", n, hits[0][0])
		}
		if row, ok := x.Find("one/" + name(7)); ok && row != 7 {
			t.Errorf("%d bytes overwritten: row %d", n, row)
		}
		if err != nil {
			refused++
		}
		x.Close()
	}
	if refused < 45 {
		t.Errorf("only %d of 51 are refused", refused)
	}
}

// FuzzIndex has bytes of any kind be an index that can be used, or an error. They come
// in parts, without the zeros between them, which the fuzzer would change most of the
// time. Where resummed is true, checksums are made right, so that what lies behind them
// is tried, too.
//
// Run it with -fuzzminimizetime 10x: otherwise, Go spends up to a minute to shorten each
// input that reaches new code, and tries hardly anything else.
func FuzzIndex(f *testing.F) {
	whole := readFile(f, golden)
	f.Add(whole[:headSize], whole[commitAt[0]:][:commitSize], whole[metaAt:], false)
	f.Fuzz(func(t *testing.T, head, commit, rest []byte, resummed bool) {
		b := make([]byte, metaAt, metaAt+len(rest))
		copy(b[:headSize], head)
		copy(b[commitAt[0]:][:commitSize], commit)
		b = append(b, rest...)
		if resummed {
			resum(b)
		}
		x, err := readBytes(b)
		if err == nil {
			err = use(x)
		}
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok && !errors.Is(err, ErrNotFinite) {
				t.Fatalf("%v is no fault", err)
			}
		}
	})
}

// resum makes the checksums of an index right, as far as its parts can be found.
func resum(b []byte) {
	le := binary.LittleEndian
	for _, at := range commitAt {
		le.PutUint32(b[at+32:], crc(b[at:][:32]))
	}
	le.PutUint32(b[20:], crc(b[:20]))
	var m Meta
	n := int(le.Uint32(b[12:]))
	if n > len(b)-metaAt || json.Unmarshal(b[metaAt:][:n], &m) != nil || m.validate() != nil {
		return
	}
	size := int64(len(b))
	at := start(n, m.projection())
	if at > size {
		return
	}
	le.PutUint32(b[16:], crc(b[metaAt:at]))
	le.PutUint32(b[20:], crc(b[:20]))
	for at+segmentSize <= size {
		seg := b[at:]
		le.PutUint32(seg[60:], crc(seg[:60]))
		s, l, err := decodeSegment(seg, at, size-at, &m)
		if err != nil {
			return
		}
		s.sums = [4]uint32{
			crc(seg[l.codes:][:codeSize*s.rows]),
			pathSum(crc(seg[l.ends:][:4*s.rows]), seg[l.paths:][:s.paths]),
			crc(seg[l.bytes:l.floats]),
			crc(seg[l.floats:l.size]),
		}
		s.encode(seg)
		at += l.size
	}
}

// TestSeeds has the fuzzer's first inputs be what their names say: one that is refused
// for another reason leads nowhere.
func TestSeeds(t *testing.T) {
	for name, want := range map[string]string{
		"valid": "", "bytes_only": "", "projection": "", "no_rows": "",
		"truncated": "cut short: ", "rows_lie": "a segment of 92160 bytes where 832 are left", "commit_lies": "3 rows and byte", "paths_lie": "has no path",
		"not_finite": "row 0 is damaged",
	} {
		parts := readSeed(t, "testdata/fuzz/FuzzIndex/"+name)
		b := make([]byte, metaAt)
		copy(b, parts[0])
		copy(b[commitAt[0]:], parts[1])
		b = append(b, parts[2]...)
		resum(b)
		x, err := readBytes(b)
		if err == nil {
			err = use(x)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]string{
		"v1": "", "v1_float64": "", "v2_one_row": "", "v3": "", "no_rows": "",
		"v4": "version 4.0", "fortran": "Fortran's order", "big_endian": "an array of >f4", "object": "an array of |O",
		"truncated": "12 bytes of data", "rows_lie": "2147483647 rows of 16384", "three_dimensions": "3 dimensions", "header_lies": "a header of 4294967295 bytes",
	} {
		b := readSeed(t, "testdata/fuzz/FuzzNPY/"+name)[0]
		var a NPY
		err := a.readHead(bytes.NewReader(b), int64(len(b)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// readSeed reads the bytes in the file of a seed.
func readSeed(t *testing.T, path string) (parts [][]byte) {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, path))) {
		if quoted, ok := strings.CutPrefix(strings.TrimSpace(line), "[]byte("); ok {
			text, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			parts = append(parts, []byte(text))
		}
	}
	return parts
}

// FuzzNPY has bytes of any kind be an array that can be read, or an error.
func FuzzNPY(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var a NPY
		if err := a.readHead(bytes.NewReader(b), int64(len(b))); err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Fatalf("%v is no fault", err)
			}
			return
		}
		if a.Rows*a.Dim*a.size > len(b) {
			t.Fatalf("%d rows of %d in %d bytes", a.Rows, a.Dim, len(b))
		}
	})
}
