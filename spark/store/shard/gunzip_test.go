package shard

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"
)

// Gunzip reads what gzip packs, in one member or many, some of them empty, with zeros behind
// it; and tells what else lies there from an end that comes too early and from a wrong sum.
func TestGunzip(t *testing.T) {
	one, empty := pack([]byte("one\n")), pack(nil)
	wrong := bytes.Clone(one)
	wrong[len(wrong)-8] ^= 1
	many := bytes.Repeat(empty, 1000)
	for name, c := range map[string]struct {
		packed []byte
		want   string
		err    error
	}{
		"one":             {one, "one\n", nil},
		"two":             {append(bytes.Clone(one), one...), "one\none\n", nil},
		"empty":           {append(many, one...), "one\n", nil},
		"zeros":           {append(bytes.Clone(one), make([]byte, 1000)...), "one\n", nil},
		"junk":            {append(bytes.Clone(one), "junk\n"...), "one\n", ErrTrailing},
		"much junk":       {append(bytes.Clone(one), bytes.Repeat([]byte("junk\n"), 70)...), "one\n", ErrTrailing},
		"zeros and junk":  {append(bytes.Clone(one), "\x00\x00junk"...), "one\n", ErrTrailing},
		"cut":             {one[:len(one)-3], "one\n", io.ErrUnexpectedEOF},
		"cut in a second": {append(bytes.Clone(one), one[:5]...), "one\n", io.ErrUnexpectedEOF},
		"wrong":           {wrong, "one\n", gzip.ErrChecksum},
	} {
		z, err := NewGunzip(bufio.NewReader(bytes.NewReader(c.packed)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(bufio.NewReader(z))
		if string(got) != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %q, %v, want %q, %v", name, got, err, c.want, c.err)
		}
	}
}

// A packed archive is listed to its last byte: a wrong checksum, and what lies behind it, are
// errors, also where tar finds its end before.
func TestListPackedEnd(t *testing.T) {
	whole := append(header("a.jpg", 3), make([]byte, 3*block)...)
	copy(whole[block:], "abc")
	packed := pack(whole)
	wrong := bytes.Clone(packed)
	wrong[len(wrong)-8] ^= 1
	for name, archive := range map[string][]byte{"whole": packed, "wrong": wrong, "junk": append(bytes.Clone(packed), make([]byte, 340)...), "zeros": append(bytes.Clone(packed), make([]byte, 350)...)} {
		if name == "junk" {
			archive[len(archive)-1] = 'x'
		}
		listed := 0
		err := List(bytes.NewReader(archive), func(Member) error { listed++; return nil })
		if bad := name == "wrong" || name == "junk"; listed != 1 || (err != nil) != bad || name == "junk" && err != ErrTrailing {
			t.Errorf("%s: %d listed, %v", name, listed, err)
		}
	}
}
