package hdf5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/half"
)

// goldens are the same content, written by h5py for readers of different ages.
var goldens = []string{"earliest.h5", "v108.h5", "v110.h5"}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func number(kind string, b []byte) float64 {
	var full [8]byte
	copy(full[:], b)
	v := binary.LittleEndian.Uint64(full[:])
	switch kind {
	case "F16":
		return float64(half.ToFloat32(uint16(v)))
	case "F32":
		return float64(math.Float32frombits(uint32(v)))
	case "F64":
		return math.Float64frombits(v)
	}
	return float64(v)
}

func TestGoldens(t *testing.T) {
	shapes := map[string][]int{
		"scalar": {}, "compact": {2, 3}, "no values": {0, 3}, "never written": {2, 2},
		"many/00/vars/0": {2, 3}, "many/20/vars/0": {2, 3}, "many/40/vars/0": {2, 3},
		"chunks/plain": {5, 7, 3}, "chunks/gzip": {5, 7, 3}, "chunks/shuffle": {5, 7, 3}, "chunks/one": {5, 7, 3},
		"chunks/one plain": {5, 7, 3}, "chunks/growing": {5, 7, 3}, "chunks/many": {40, 40}, "chunks/lzf": {5, 7, 3}, "chunks/in part": {6, 6},
		"types/big": {2},
	}
	types := map[string]string{"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "u1": "U8", "i2": "I16", "i4": "I32", "i8": "I64", "u8": "U64"}
	for theirs := range types {
		shapes["types/"+theirs] = []int{3, 2}
	}
	for _, name := range goldens {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(golden(t, name))
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, d := range f.Datasets {
				if d.Path == "again" { // the scalar's other name, which comes first
					d.Path = "scalar"
				}
				found[d.Path] = true
				if want, ok := shapes[d.Path]; !ok || !slices.Equal(d.Shape, want) {
					t.Errorf("%s has shape %v, want %v", d.Path, d.Shape, want)
				}
				kind := "F32"
				if theirs, ok := strings.CutPrefix(d.Path, "types/"); ok {
					kind = types[theirs]
				}
				raw, err := d.Bytes()
				growing := d.Path == "chunks/growing" && name == "v110.h5"
				if d.Path == "chunks/lzf" || d.Path == "types/big" || growing {
					if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), d.Path) {
						t.Errorf("%s: the error is %v, want one that names it and is of what is not supported", d.Path, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", d.Path, err)
					continue
				}
				if d.Type != kind {
					t.Errorf("%s is of %s, want %s", d.Path, d.Type, kind)
				}
				size := int(d.size)
				for i := range len(raw) / size {
					want := float64(i)*0.5 - 3
					switch {
					case kind[0] != 'F':
						want = float64(i)
					case d.Path == "scalar":
						want = 1.5
					case d.Path == "never written":
						want = 0
					case d.Path == "chunks/in part":
						want = 0
						if i/6 < 2 && i%6 < 2 {
							want = 1
						}
					}
					if got := number(kind, raw[i*size:][:size]); got != want {
						t.Fatalf("%s: value %d is %v, want %v", d.Path, i, got, want)
					}
				}
			}
			for path := range shapes {
				if !found[path] {
					t.Errorf("no %s", path)
				}
			}
			for name, want := range map[string][]string{
				"model_config": {`{"a": "é"}`}, "fixed": {"fixed text"}, "names": {"one", "two", "three"},
				"varying": {"x", "", "yz"}, "number": nil, "empty": nil,
			} {
				if got := f.Text("", name); !slices.Equal(got, want) {
					t.Errorf("attribute %s is %q, want %q", name, got, want)
				}
			}
			for i := range 12 {
				if got := f.Text("many", fmt.Sprint("attribute ", i)); !slices.Equal(got, []string{fmt.Sprint("value ", i)}) {
					t.Errorf("attribute %d is %q", i, got)
				}
			}
		})
	}
}

// TestCut cuts a file everywhere, and breaks it everywhere: an error or not, no panic.
func TestCut(t *testing.T) {
	for _, name := range goldens {
		data := golden(t, name)
		step := max(1, len(data)/300)
		for i := 0; i < len(data); i += step {
			if _, err := readAll(data[:i]); err == nil && i < len(data)*9/10 {
				t.Errorf("%s, cut at byte %d of %d, is read", name, i, len(data))
			}
			broken := slices.Clone(data)
			broken[i] ^= 0xff
			readAll(broken)
		}
	}
}

// readAll reads everything and returns the number of bytes.
func readAll(data []byte) (n int, err error) {
	f, err := Parse(data)
	if err != nil {
		return 0, err
	}
	for _, d := range f.Datasets {
		raw, err := d.Bytes()
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind != fault.Unsupported {
			return n, err
		}
		n += len(raw)
	}
	return n, nil
}
