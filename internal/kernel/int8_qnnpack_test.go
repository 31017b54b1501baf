package kernel

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAddQNNPACK holds every set's sums of all pairs of bytes against the formula in
// float64, which holds all of it, with scales whose halves count and scales whose don't.
func TestAddQNNPACK(t *testing.T) {
	a, b := make([]uint8, 1<<16), make([]uint8, 1<<16)
	for i := range a {
		a[i], b[i] = uint8(i>>8), uint8(i)
	}
	for _, c := range []struct {
		a, b, sum Scale
		table     bool
	}{
		{Scale{0.5, 128}, Scale{0.5, 100}, Scale{1, 120}, true},
		{Scale{0.25, 0}, Scale{0.5, 0}, Scale{1, 0}, false}, // no sum is negative
		{Scale{0.75, 0}, Scale{0.7, 0}, Scale{1, 0}, false}, // a factor of 21 bits is too short
		{Scale{0.0123457, 131}, Scale{0.0271829, 117}, Scale{0.0314159, 125}, false},
		{Scale{3, 7}, Scale{0.02, 250}, Scale{0.0123, 3}, false},   // 2^8 steps, nearly
		{Scale{0.001, 20}, Scale{0.0005, 30}, Scale{5, 128}, true}, // shifted by more than 31
	} {
		want := make([]uint8, len(a))
		ra, rb := float64(c.a.Scale/c.sum.Scale), float64(c.b.Scale/c.sum.Scale)
		steps := math.Exp2(21 - math.Floor(math.Log2(max(ra, rb))))
		ma, mb := math.RoundToEven(ra*steps), math.RoundToEven(rb*steps)
		for i := range want {
			v := (float64(a[i])-float64(c.a.Zero))*ma + (float64(b[i])-float64(c.b.Zero))*mb
			want[i] = uint8(min(max(math.Round(v/steps)+float64(c.sum.Zero), 0), 255))
		}
		fixed, table := NewAddQNNPACK(c.a, c.b, c.sum)
		if (table != nil) != c.table {
			t.Errorf("%v: table %v, want %v", c, table != nil, c.table)
		}
		got := make([]uint8, len(a))
		if table != nil {
			if table.Add(got, a, b); cmp.Diff(want, got) != "" {
				t.Errorf("%v: table is not the formula", c)
			}
			continue
		}
		for _, set := range AvailableInt8() {
			sum := *fixed
			sum.Dst, sum.A, sum.B = got, a, b
			if set.AddFixed(sum); cmp.Diff(want, got) != "" {
				t.Errorf("%v, %s: not the formula", c, set.Name)
			}
		}
	}
}
