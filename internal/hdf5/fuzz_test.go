package hdf5

import (
	"runtime"
	"testing"
)

// FuzzParse checks that no file makes the reader panic, take memory out of proportion, or
// return more than a dataset's shape says.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"tiny1.h5", "tiny2.h5"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := Parse(data)
		if err == nil {
			for _, d := range file.Datasets {
				raw, err := d.Bytes()
				want := int(d.size)
				for _, n := range d.Shape {
					want *= n
				}
				if err == nil && len(raw) != want {
					t.Errorf("%s: %d bytes for shape %v", d.Path, len(raw), d.Shape)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(1000*len(data)+8<<20); got > limit {
			t.Errorf("%d bytes allocated for %d of input", got, len(data))
		}
	})
}
