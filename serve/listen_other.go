//go:build !linux

package serve

import "net"

// noMore does nothing here.
func noMore(net.Listener) {}

// unaccepted is not known here.
func unaccepted(net.Listener) int { return 0 }
