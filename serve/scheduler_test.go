package serve

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestOrder: the oldest goes first, under pressure the newest every other turn, and what is too late is
// dropped as soon as somebody looks.
func TestOrder(t *testing.T) {
	const limit = 16
	for _, test := range []struct {
		name string
		jobs int   // behind one at work
		late int   // of them, whose deadlines pass meanwhile
		want []int // done, in this order
	}{
		{"few", 4, 0, []int{0, 1, 2, 3}},
		{"many", 15, 0, []int{14, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}},
		{"late", 4, 2, []int{2, 3}},
		{"all late", 3, 3, nil},
		{"many late", 8, 6, []int{6, 7}},
		{"full", 16, 0, []int{15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScheduler(1, limit, time.Hour) // in which all is done that a test has
			defer s.close()
			var mu sync.Mutex
			var done []int
			var left sync.WaitGroup
			submit := func(deadline time.Duration, work func(bool) error) *job {
				j := &job{ctx: context.Background(), deadline: time.Now().Add(deadline), work: work, done: left.Done}
				left.Add(1)
				if err := s.submit([]*job{j}); err != nil {
					t.Fatal(err)
				}
				return j
			}
			started, release := make(chan bool), make(chan bool)
			submit(time.Hour, func(bool) error { close(started); <-release; return errors.New("not counted") })
			<-started
			var jobs []*job
			for i := range test.jobs {
				deadline := time.Hour
				if i < test.late {
					deadline = time.Millisecond
				}
				jobs = append(jobs, submit(deadline, func(bool) error {
					mu.Lock()
					defer mu.Unlock()
					done = append(done, i)
					return nil
				}))
			}
			time.Sleep(5 * time.Millisecond)
			close(release)
			left.Wait()
			if !slices.Equal(done, test.want) {
				t.Errorf("done: %v, want %v", done, test.want)
			}
			for i, j := range jobs {
				if late := i < test.late; late != (shed(j.err) == "expired") {
					t.Errorf("job %d: %v", i, j.err)
				}
			}
		})
	}
}

// TestRefusals: a job is refused where the queue is full, where the deadline comes before
// its turn, and where the server goes down; not where nothing else is to do.
func TestRefusals(t *testing.T) {
	s := newScheduler(1, 4, time.Hour)
	s.mean = time.Hour // so that the time between two lines here is none
	if err := s.refuse(1, time.Now().Add(time.Millisecond)); err != nil {
		t.Errorf("an idle server: %v", err)
	}
	started, release := make(chan bool), make(chan bool)
	first := &job{ctx: context.Background(), deadline: time.Now().Add(time.Hour), done: func() {}, work: func(bool) error { close(started); <-release; return nil }}
	if err := s.submit([]*job{first}); err != nil {
		t.Fatal(err)
	}
	<-started
	for _, test := range []struct {
		n      int
		in     time.Duration
		reason string
	}{{1, 60 * time.Hour, ""}, {4, 60 * time.Hour, ""}, {5, 60 * time.Hour, "queue_full"}, {1, 90 * time.Minute, "too_late"}, {1, 150 * time.Minute, ""}, {2, 150 * time.Minute, "too_late"}} {
		if got := shed(s.refuse(test.n, time.Now().Add(test.in))); got != test.reason {
			t.Errorf("%d jobs in %v: %q, want %q", test.n, test.in, got, test.reason)
		}
	}
	close(release)
	s.close()
	if got := shed(s.refuse(1, time.Now().Add(time.Minute))); got != "closing" {
		t.Errorf("closed: %q", got)
	}
}

// TestAtOnce: a job that finds a core free is done by who brings it, alone where there is
// no other; one that finds none waits, and is done when either is free; no more are at
// work than there are workers; and closing waits for all of them.
func TestAtOnce(t *testing.T) {
	s := newScheduler(2, 8, time.Minute)
	type visit struct {
		alone   bool
		busy    int
		release chan bool
	}
	working := make(chan visit)
	results := make(chan error, 4)
	ask := func() {
		j := &job{ctx: context.Background(), deadline: time.Now().Add(time.Minute)}
		j.work = func(alone bool) error {
			_, busy := s.load()
			v := visit{alone, busy, make(chan bool)}
			working <- v
			<-v.release
			return nil
		}
		go func() { results <- s.do([]*job{j}) }()
	}
	ask()
	first := <-working
	ask()
	second := <-working
	if !first.alone || second.alone {
		t.Errorf("alone: the first %v, the second %v", first.alone, second.alone)
	}
	for range 2 {
		ask()
	}
	for waiting := 0; waiting < 2; waiting, _ = s.load() {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-working:
		t.Fatal("a third job is at work on two cores")
	case <-time.After(20 * time.Millisecond):
	}
	close(first.release) // a worker takes its core
	third := <-working
	close(second.release)
	fourth := <-working
	for _, v := range []visit{third, fourth} {
		if v.busy > 2 || v.alone {
			t.Errorf("behind others: %d at work, alone %v", v.busy, v.alone)
		}
		close(v.release)
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	ask()
	last := <-working
	closed := make(chan bool)
	go func() { s.close(); close(closed) }()
	select {
	case <-closed:
		t.Error("closed while a job was at work")
	case <-time.After(20 * time.Millisecond):
	}
	close(last.release)
	<-closed
	if err := s.do([]*job{{ctx: context.Background(), deadline: time.Now().Add(time.Minute)}}); shed(err) != "closing" {
		t.Errorf("after closing: %v", err)
	}
}

// TestRefusalLines: of a flood of refusals some have a line, and the next line says how
// many had none.
func TestRefusalLines(t *testing.T) {
	var s sampler
	now := time.Unix(1000, 0)
	for i := range refusalLines + 7 {
		if silent, ok := s.line(now); silent != 0 || ok != (i < refusalLines) {
			t.Errorf("refusal %d of a second: %d, %v", i, silent, ok)
		}
	}
	for i, want := range []int{7, 0} {
		if silent, ok := s.line(now.Add(time.Second)); silent != want || !ok {
			t.Errorf("refusal %d of the next: %d, %v, want %d", i, silent, ok, want)
		}
	}
}
