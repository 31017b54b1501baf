package hdf5

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// change returns a file with some bytes replaced, all or one time.
func change(t *testing.T, data []byte, from, to string, n int) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte(from)) {
		t.Fatalf("no %q to replace", from)
	}
	return bytes.Replace(data, []byte(from), []byte(to), n)
}

func u64(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }

// TestHostile has files that claim what isn't so.
func TestHostile(t *testing.T) {
	tiny := golden(t, "tiny1.h5")
	end := u64(uint64(len(tiny)))
	dims := u64(3) + u64(3)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"not HDF5":            {[]byte("something else"), "not an HDF5 file"},
		"only a signature":    {[]byte(Signature), "bytes are wanted"},
		"a new superblock":    {change(t, tiny, Signature+"\x00", Signature+"\x09", 1), "superblock of version 9"},
		"odd addresses":       {change(t, tiny, "\x08\x08\x00\x04", "\x07\x08\x00\x04", 1), "addresses of 7"},
		"cut":                 {tiny[:len(tiny)-1], "unexpected end"},
		"a bomb of a dataset": {change(t, tiny, dims, u64(1<<14)+u64(1<<14), 1), "inflates to more than 64 times the file"},
		"a larger dataset":    {change(t, tiny, dims, u64(1<<20)+u64(1<<20), 1), "dataset of shape"},
		"an endless heap":     {change(t, tiny, "HEAP", "heap", 1), `want "HEAP"`},
		"a loop of nodes":     {change(t, tiny, "TREE\x00\x00", "TREE\x00\x01", -1), `want "TREE"`},
		"a huge file":         {change(t, tiny, end, u64(1<<60), 1), "unexpected end"},
	} {
		n, err := readAll(test.data)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d bytes, error %v, want %q", name, n, err, test.want)
		}
	}
}
