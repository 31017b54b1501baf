package fault_test

import (
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
)

// What is broken is told from what is intact but not read.
func ExampleError() {
	for _, err := range []error{
		fault.In("cut.pth", fault.At(512, "the archive ends in the middle of an entry")),
		fault.In("photo.heic", fault.Unsupportedf("HEIC is not read here")),
	} {
		f, _ := errors.AsType[*fault.Error](err)
		fmt.Printf("%v, %q, unsupported: %v\n", f.Kind, err, errors.Is(err, errors.ErrUnsupported))
	}
	// Output:
	// broken, "cut.pth: at byte 512: the archive ends in the middle of an entry", unsupported: false
	// unsupported, "photo.heic: HEIC is not read here", unsupported: true
}
