package duplicates

import (
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
)

// TestSpool reads back rows from memory and from the file, which is gone in the end.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	for _, most := range []int{1, 3, 9} {
		s := spool{most: most}
		for i := range 7 {
			if err := s.add([]float32{float32(i), float32(math.Inf(1)), -1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.add([]float32{1}); err == nil {
			t.Error("a row of another length is taken")
		}
		if s.Len() != 7 || s.Dim() != 3 || len(s.rows) != min(most, 7) {
			t.Errorf("%d rows of %d values, %d in memory", s.Len(), s.Dim(), len(s.rows))
		}
		row := make([]float32, 3)
		for _, i := range []int{6, 0, 3, 2, 5, 1, 4} {
			if err := s.Row(row, i); err != nil || !slices.Equal(row, []float32{float32(i), float32(math.Inf(1)), -1}) {
				t.Errorf("%d in memory, row %d: %v, %v", most, i, row, err)
			}
		}
		if most < 7 {
			if err := s.Row(row, 7); err == nil {
				t.Error("a row past the end is read")
			}
		}
		s.close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// TestSpoolCompared finds the same among rows in a file, from several goroutines, as
// among rows in memory.
func TestSpoolCompared(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := spool{most: 5}
	defer s.close()
	var rows Rows
	for range 300 {
		row := make([]float32, 20)
		for k := range row {
			row[k] = r.Float32()
		}
		rows = append(rows, row)
		if err := s.add(row); err != nil {
			t.Fatal(err)
		}
	}
	o := Settings{Threshold: 0.93, Linkage: Complete, Threads: 3}
	want, err1 := Compare(t.Context(), rows, o)
	got, err2 := Compare(t.Context(), &s, o)
	if err1 != nil || err2 != nil || len(want.Pairs) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; %d pairs, want %d", err1, err2, len(got.Pairs), len(want.Pairs))
	}
}
