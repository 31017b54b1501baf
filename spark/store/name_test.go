package store

import (
	"errors"
	"fmt"
	"net"
	"testing"
)

// A host that no name server knows stays unknown. A name server that doesn't answer may do so
// later.
func TestNames(t *testing.T) {
	for err, want := range map[*net.DNSError]bool{
		{Err: "no such host", Name: "none.example", IsNotFound: true}:                  true,
		{Err: "server misbehaving", Name: "some.example", IsTemporary: true}:           false,
		{Err: "i/o timeout", Name: "some.example", IsTimeout: true, IsTemporary: true}: false,
	} {
		wrapped := fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err})
		if lasting(wrapped) != want || lasting(errors.New("x")) {
			t.Errorf("%v: %v", wrapped, !want)
		}
	}
}
