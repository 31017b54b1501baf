package serve

import (
	"net/http"
	"testing"
)

// TestTraceOf: what the log has of a traceparent is what W3C's Trace Context (section 3.2) takes for one.
func TestTraceOf(t *testing.T) {
	const rest = "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, test := range []struct {
		want string
		sent []string
	}{
		{"00" + rest, []string{"00" + rest}},
		{"", nil},
		{"", []string{"00" + rest, "00" + rest}},
		{"", []string{"ff" + rest}},
		{"", []string{"00" + rest + "-x"}},
		{"", []string{"00" + rest + "-"}},
		{"01" + rest, []string{"01" + rest}},
		{"01" + rest, []string{"01" + rest + "-x"}},
		{"01" + rest, []string{"01" + rest + "-"}},
		{"", []string{"01" + rest + "x"}},
		{"", []string{"01" + rest[:len(rest)-1]}},
		{"", []string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}},
		{"", []string{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}},
		{"", []string{"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"}},
		{"", []string{"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
	} {
		if got := traceOf(http.Header{"Traceparent": test.sent}); got != test.want {
			t.Errorf("%q: %q, want %q", test.sent, got, test.want)
		}
	}
}
