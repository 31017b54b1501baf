package train

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestLanes has the lanes of a batch hold all its images, in order, and be as many as
// threads that want work.
func TestLanes(t *testing.T) {
	for images := 1; images <= 300; images++ {
		n := &network{images: images}
		next := 0
		for lane := range n.lanes() {
			begin, end := n.share(lane)
			if begin != next || end <= begin {
				t.Fatalf("%d images: lane %d of %d is [%d,%d) after %d", images, lane, n.lanes(), begin, end, next)
			}
			next = end
		}
		if next != images {
			t.Fatalf("%d images: the lanes hold %d", images, next)
		}
		if before := lanesOf(max(1, images-1)); n.lanes() < before {
			t.Fatalf("%d images have %d lanes, one fewer %d", images, n.lanes(), before)
		}
	}
	for images, want := range map[int]int{1: 1, 8: 8, 17: 8, 32: 16, 64: 16, 128: 32, 256: 64, 1000: 64} {
		if got := lanesOf(images); got != want {
			t.Errorf("%d images: %d lanes, want %d", images, got, want)
		}
	}
}

// small is a network of a few thousand weights that has layers of all kinds.
func small(t *testing.T) *model.Model {
	t.Helper()
	c := model.Default()
	c.Width, c.Classes, c.Resolution, c.LastChannels = 0.1, 3, 32, 40
	c.Table = []model.Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 6, C: 240, N: 2, S: 2}}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTurns has every image done once, behind those of its lane before it, which are in
// tasks that have been begun.
func TestTurns(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8, 32} {
		for images := 1; images <= 300; images++ {
			n := &network{images: images, threads: threads}
			next, done := make([]int, n.lanes()), 0
			for lane := range next {
				next[lane], _ = n.share(lane)
			}
			turns := n.turns()
			for i := range turns.count() {
				lane, image, m := turns.at(i)
				if m > 0 && image != next[lane] {
					t.Fatalf("%d images on %d threads: task %d is image %d of lane %d, want %d", images, threads, i, image, lane, next[lane])
				}
				next[lane] += m
				done += m
			}
			for lane, image := range next {
				if _, end := n.share(lane); image != end || done != images {
					t.Fatalf("%d images on %d threads: %d done, and lane %d ends at %d, not %d", images, threads, done, lane, image, end)
				}
			}
			if _, image, m := turns.at(turns.count()); image != images || m != 0 {
				t.Fatalf("%d images on %d threads: image %d behind the last", images, threads, image)
			}
		}
	}
}

// TestThreads has steps give the same bits on any number of threads.
func TestThreads(t *testing.T) {
	for _, images := range []int{9, 130, 256} {
		var want []byte
		for _, threads := range []int{1, 2, 3, 16, 32, 64} {
			m := small(t)
			n, err := newNetwork(m, threads, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			o, err := newOptimizer(hyper{rule: AdamW, beta1: 0.9, beta2: 0.999, eps: 1e-8}, n.params)
			if err != nil {
				t.Fatal(err)
			}
			a := newAverage(m, 0.9)
			input := make([]float32, images*32*32*3)
			for i := range input {
				input[i] = float32(i*7919%1000)/500 - 1
			}
			target := make([]float32, images*3)
			for i := range images {
				oneHot(target[3*i:][:3], i%3, 0)
			}
			for range 2 {
				step(t, n, input, target, nil)
				o.step(threads, 0.01, min(1, 1/gradNorm(threads, n.params)))
				a.update(threads, m, o.steps)
			}
			var got bytes.Buffer
			for _, d := range []model.StateDict{m.Dict, a.model.Dict} {
				for _, name := range a.names {
					for _, v := range d[name].Data {
						binary.Write(&got, binary.LittleEndian, math.Float32bits(v))
					}
				}
			}
			if want == nil {
				want = got.Bytes()
			} else if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d images: other weights on %d threads than on one", images, threads)
			}
		}
	}
}

// TestThreadsHaveWork holds every lane back until as many are under way as there are
// threads.
func TestThreadsHaveWork(t *testing.T) {
	for images, threads := range map[int]int{16: 8, 32: 16, 128: 32, 256: 64} {
		n := &network{images: images, threads: threads, scratch: make([]scratch, threads)}
		var under sync.WaitGroup
		under.Add(threads)
		all := make(chan struct{})
		go func() { under.Wait(); close(all) }()
		var mu sync.Mutex
		began := map[int]bool{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.eachImage(func(lane lane, _ int) {
				mu.Lock()
				first := !began[lane.number]
				began[lane.number] = true
				mu.Unlock()
				if first {
					under.Done()
				}
				<-all
			})
		}()
		select {
		case <-done:
		case <-time.After(3 * time.Minute):
			mu.Lock()
			defer mu.Unlock()
			t.Fatalf("%d images on %d threads: only %d are under way", images, threads, len(began))
		}
	}
}
