package search

import (
	"runtime/debug"

	"github.com/mobilenet-go/mobilenet/fault"
)

// guard calls f, which reads mapped memory. Where that is gone, because somebody has cut
// the file or its disk fails, it returns an error: the process would be killed otherwise.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, ok := r.(interface{ Addr() uintptr }); !ok {
			panic(r)
		}
		err = fault.Brokenf("the file was cut, or can't be read, while it was in use")
	}()
	return f()
}
