//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package train

// lock does nothing: see claim.
func lock(string) (release func(), err error) { return func() {}, nil }
