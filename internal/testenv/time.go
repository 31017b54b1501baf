package testenv

import (
	"math/rand/v2"
	"slices"
	"time"
)

// TooLong reports whether so much processor time (see [CPU]) is more than this machine takes
// to sort a million numbers n times, each of which is a tenth of a second on a fast one. Seconds
// say nothing: a machine may be slow, or busy.
func TooLong(took time.Duration, n int) bool {
	const least = 20 * time.Millisecond // no machine is as fast
	return took > time.Duration(n)*least && took > time.Duration(n)*sorting()
}

// sorting is how long it takes to sort a million numbers.
func sorting() time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	numbers := make([]int, 1<<20)
	for i := range numbers {
		numbers[i] = r.Int()
	}
	began := CPU()
	slices.Sort(numbers)
	return CPU() - began
}
