package hub

import "testing"

// FuzzContentRange: what a server says of the part that it sends is a part of
// something, or is not taken.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 100-199/200", "bytes 0-0/*", "bytes 5-4/9", "bytes -5-9/10", "bytes 0-9223372036854775807/9223372036854775807", "items 0-1/2", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, size, ok := parseContentRange(s)
		if ok && (first < 0 || size < 0 || size > 0 && first >= size) {
			t.Errorf("%q: from %d of %d", s, first, size)
		}
	})
}
