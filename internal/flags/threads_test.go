package flags

import (
	"testing"

	"github.com/spf13/pflag"
)

func TestThreads(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "1": 1, "010": 10, "1024": 1024, "1025": -1, "5000": -1, "-1": -1, "0x1": -1, "99999999999999999999": -1, "": -1} {
		var fs pflag.FlagSet
		n := -1
		Threads(&fs, &n, "")
		err := fs.Set("threads", text)
		if n != want || (err == nil) != (want >= 0) {
			t.Errorf("%q: %d, want %d; %v", text, n, want, err)
		}
	}
}
