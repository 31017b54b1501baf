package engine

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestGrain has participants take small tasks together, but leave some for all.
func TestGrain(t *testing.T) {
	for _, tt := range []struct{ tasks, macs, threads, want int }{
		{30, 30 * 250_000, 2, 1}, // 7x7: each is long enough
		{30, 30 * 46_000, 2, 3},  // 3x3: four would leave a thread waiting
		{30, 30 * 46_000, 16, 1},
		{5, 100, 2, 2},
		{1, 0, 4, 1}, // an output that is copied
	} {
		if got := grain(tt.tasks, tt.macs, tt.threads); got != tt.want {
			t.Errorf("%d tasks of %d MACs in all, %d threads: %d at a time, want %d", tt.tasks, tt.macs, tt.threads, got, tt.want)
		}
	}
}

// TestEvenChunk has projections cut into chunks that are about as large, as many as go
// into the threads.
func TestEvenChunk(t *testing.T) {
	for _, tt := range []struct{ pixels, blocks, threads, want int }{
		{196, 2, 1, 196},
		{196, 2, 2, 49}, // 8 tasks
		{196, 3, 2, 49}, // 12: 9 would be enough, but odd
		{49, 5, 2, 25},  // 10
		{9, 10, 2, 9},   // less doesn't repay loading the weights
		{784, 1, 4, 49}, // 16
	} {
		if got := evenChunk(tt.pixels, tt.blocks, tt.threads); got != tt.want {
			t.Errorf("%d pixels, %d blocks, %d threads: chunks of %d, want %d", tt.pixels, tt.blocks, tt.threads, got, tt.want)
		}
	}
}

// TestBands has rows cut only where the blocks leave threads without work.
func TestBands(t *testing.T) {
	set, err := kernel.Choose("generic")
	if err != nil {
		t.Fatal(err)
	}
	net := newNetwork(model.Default(), set)
	b := &net.bottlenecks[7] // features.8: 12 blocks, 14x14
	src := f32Tensor(1, size{14, 14}, 2)
	for threads, bands := range map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 6: 1, 12: 1, 8: 2, 16: 1} {
		if s := newExpand(net, b, src, threads); s.bands() != bands {
			t.Errorf("%d threads: %d bands of %d rows, want %d", threads, s.bands(), s.band, bands)
		}
	}
}
