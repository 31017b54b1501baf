package vision

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
)

// DefaultBudget is how many bytes the decodes of a program may take together if
// DecodeOptions say nothing: 1 GB.
const DefaultBudget = 1_000_000_000

// A Budget bounds the memory of photos in flight: of decodes that run at the same
// time, and of the images they returned, until these are garbage and collected.
//
// A decode waits for room as long as another one runs, the first come first. It
// doesn't wait for images that a caller keeps, which might be for ever. One that
// takes more than all the room there is is an error.
type Budget struct {
	limit int64
	turn  chan struct{} // held by who is next

	mu            sync.Mutex
	running, kept int64         // bytes of decodes, and of images that were returned
	freed         chan struct{} // closed when there is more room
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{limit: bytes, turn: make(chan struct{}, 1), freed: make(chan struct{})}
}

// shared is the budget of who brings none.
var shared = NewBudget(DefaultBudget)

// Used returns how many bytes count now: of decodes that run, and of large images that were
// returned and not collected yet.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running + b.kept
}

// large is how many bytes of an image are counted until they are collected: those
// of 20 megapixels, whose decoding takes much longer than the collection that is
// asked for before the next image of that size. Without one, garbage would stay
// until the heap has doubled.
const large = 64 << 20

// acquire waits for room for n bytes until ctx is done. Where alone says so, more
// than there are are what there is.
func (b *Budget) acquire(ctx context.Context, n int64, alone bool) error {
	if n > b.limit && !alone {
		return fault.TooLargef("a size that takes %d MB of memory to decode, more than the %d MB of all photos together (DecodeOptions.Budget)", n/1e6, b.limit/1e6)
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if n >= large {
		b.collect()
	}
	for patient := false; ; {
		freed, idle, ok := b.take(n, patient)
		if ok {
			return nil
		}
		b.collect()
		var timer <-chan time.Time
		if idle { // what was collected is counted a moment later
			timer = time.After(10 * time.Millisecond)
		}
		select {
		case <-freed:
			patient = false
		case <-timer:
			patient = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes n bytes if there is room, or if no decode runs and it was waited for
// images in vain. Else freed is closed when there is more room; idle is whether no
// decode runs.
func (b *Budget) take(n int64, patient bool) (freed chan struct{}, idle, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	idle = b.running == 0
	if ok = b.running+b.kept+n <= b.limit || idle && (patient || b.kept == 0); ok {
		b.running += n
	}
	return b.freed, idle, ok
}

// collect collects garbage if an image may be among it, and gives its memory back,
// as the next one may not fit there.
func (b *Budget) collect() {
	b.mu.Lock()
	kept := b.kept
	b.mu.Unlock()
	if kept > 0 {
		debug.FreeOSMemory()
	}
}

// release ends a decode of n bytes. Its image, if it has one, counts on.
func (b *Budget) release(n int64, img *Image) {
	var size int64
	if img != nil && len(img.Pix) >= large {
		size = int64(len(img.Pix))
		runtime.AddCleanup(img, func(size int64) { b.add(0, -size) }, size)
	}
	b.add(-n, size)
}

// discard ends a decode of n bytes whose image, of size bytes, nobody has any more. A large
// one makes room when it is collected, not before.
func (b *Budget) discard(n int64, size int) {
	if size >= large {
		debug.FreeOSMemory()
	}
	b.add(-n, 0)
}

func (b *Budget) add(running, kept int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running += running
	b.kept += kept
	close(b.freed)
	b.freed = make(chan struct{})
}
