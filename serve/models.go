package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
)

// A Model is a model to serve.
type Model struct {
	// Name is its part of URLs: letters, digits, and any of "_.-".
	Name string

	// Open opens it for runs on so many threads. It is called when the server starts,
	// and again whenever it is to load the model anew: the file may be another then.
	Open func(ctx context.Context, threads int) (*mobilenet.Classifier, error)

	// Index opens an index of photos, in which those most like a photo are looked up, behind
	// each Open; nil means none. c is what Open has opened. That the index is of the same
	// precision, preprocessing and number of features is seen to; that it is of the same
	// file only the caller can tell, by [mobilenet.Digest] and [search.Meta.Same]. The server
	// closes the index.
	Index func(ctx context.Context, c *mobilenet.Classifier) (*search.Index, error)
}

// version is that of every model: a server has one version of each, the newest.
const version = "1"

// tensorSuffix makes the name of a model's twin that takes tensors.
const tensorSuffix = "-tensor"

// A loaded model answers requests. It stays as it is: a model that is loaded anew is
// another one, and requests end with the one that they began with.
type loaded struct {
	name string
	one  *mobilenet.Classifier // for a core
	all  *mobilenet.Classifier // for all cores

	index *search.Index // nil if there is none
	takes time.Duration // a photo, on all cores
}

// on returns the classifier for a job.
func (m *loaded) on(alone bool) *mobilenet.Classifier {
	if alone {
		return m.all
	}
	return m.one
}

// A slot is a place for a model.
type slot struct {
	Model
	loading sync.Mutex // one load at a time
	now     atomic.Pointer[loaded]
	reason  atomic.Pointer[string] // why there is none
}

// models are the models of a server, by name.
type models struct {
	slots   []*slot
	workers int
}

// CheckNames returns an error if models can't be served by these names: one that is no
// [Model.Name], that two have, or that is of a twin that takes tensors. [New] checks it, too.
func CheckNames(names []string) error {
	for i, name := range names {
		switch {
		case !goodName(name):
			return fmt.Errorf("a model called %q: want letters, digits, '_', '.' and '-'", name)
		case slices.Contains(names[:i], name):
			return fmt.Errorf("two models called %s", name)
		case strings.HasSuffix(name, tensorSuffix):
			return fmt.Errorf("a model called %s: names with %s are for those that take tensors", name, tensorSuffix)
		}
	}
	return nil
}

func newModels(list []Model, workers int) (*models, error) {
	m := &models{workers: workers}
	var names []string
	for _, one := range list {
		names = append(names, one.Name)
	}
	if err := CheckNames(names); err != nil {
		return nil, err
	}
	for _, one := range list {
		if one.Open == nil {
			return nil, fmt.Errorf("model %s: no Open", one.Name)
		}
		s := &slot{Model: one}
		s.explain("not loaded")
		m.slots = append(m.slots, s)
	}
	if len(m.slots) == 0 {
		return nil, fmt.Errorf("no models to serve")
	}
	return m, nil
}

func goodName(name string) bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r)
	}
	return name != "" && len(name) <= 128 && strings.Trim(name, ".") != "" && !strings.ContainsFunc(name, func(r rune) bool { return !ok(r) })
}

func (m *models) slot(name string) *slot {
	i := slices.IndexFunc(m.slots, func(s *slot) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return m.slots[i]
}

func (s *slot) explain(reason string) { s.reason.Store(&reason) }

// load opens the model, runs it once, and then puts it in the place of what was
// there. On an error the old one stays.
func (s *slot) load(ctx context.Context, workers int) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	next := &loaded{name: s.Name}
	var err error
	if next.all, err = s.Open(ctx, workers); err != nil {
		return s.failed(err)
	}
	if next.all == nil {
		return s.failed(errors.New("its Open returned no classifier"))
	}
	if next.one = next.all; workers > 1 {
		if next.one, err = next.all.OnThreads(1); err != nil {
			return s.failed(err)
		}
	}
	for _, c := range []*mobilenet.Classifier{next.one, next.all} {
		start := time.Now()
		if err := warm(ctx, c); err != nil {
			return s.failed(err)
		}
		next.takes = time.Since(start)
	}
	if err := s.index(ctx, next); err != nil {
		return s.failed(err)
	}
	s.now.Store(next)
	s.explain("")
	return nil
}

func (s *slot) failed(err error) error {
	if s.now.Load() == nil {
		s.explain(err.Error())
	}
	return err
}

// warm runs a black photo, so that the first request finds memory and threads, and
// weights that give no numbers are noticed now.
func warm(ctx context.Context, c *mobilenet.Classifier) error {
	if c.Config().Classes == 0 {
		return mobilenet.ErrNoClasses
	}
	h, w := c.Config().InputSize()
	out, err := c.InferTensor(ctx, make([]float32, 3*h*w), 1, mobilenet.Wanted{Logits: true})
	if err == nil {
		_, err = c.Probabilities(out.Logits)
	}
	return err
}

// unload takes the model away. Requests that have begun end with it.
func (s *slot) unload() {
	s.loading.Lock()
	defer s.loading.Unlock()
	s.explain(unloaded) // before there is none: see ready
	s.now.Store(nil)
}

// unloaded is the reason for a model that was taken away because somebody asked for it.
const unloaded = "unloaded"

// warn says in the log of a model that no photo can be answered with in time.
func (s *slot) warn(log *slog.Logger, deadline time.Duration) {
	if m := s.now.Load(); m != nil && m.takes > deadline {
		log.Warn("a photo takes longer than it may (--deadline)", "model", s.Name, "ms", ms(m.takes), "deadline", deadline.String())
	}
}

// changed warns in the log where a model takes or gives other shapes than the one that was loaded
// before it, which clients may not expect.
func (s *slot) changed(log *slog.Logger, before *loaded) {
	now := s.now.Load()
	if before == nil || now == nil {
		return
	}
	is, was := now.shapes(), before.shapes()
	if !maps.EqualFunc(is, was, slices.Equal) {
		log.Warn("the model has other shapes than the one before", "model", s.Name, "shapes", is, "before", was)
	}
}

// shapes are those of the inputs and outputs, by name.
func (m *loaded) shapes() map[string][]int64 {
	all := map[string][]int64{}
	for _, tensor := range []bool{false, true} {
		in, out := m.ports(tensor)
		for _, p := range append(in, out...) {
			all[p.Name] = p.Shape
		}
	}
	return all
}

// named returns the slot that a name means, nil if there is none, and whether it is the twin for
// tensors that is meant.
func (m *models) named(name string) (s *slot, tensor bool) {
	if s = m.slot(name); s != nil {
		return s, false
	}
	base, tensor := strings.CutSuffix(name, tensorSuffix)
	if !tensor {
		return nil, false
	}
	return m.slot(base), true
}

// find returns the model for a request, and whether it is the twin for tensors that
// is meant.
func (m *models) find(name, wantVersion string) (l *loaded, tensor bool, err error) {
	s, tensor := m.named(name)
	switch {
	case s == nil:
		return nil, false, &failure{404, fmt.Sprintf("there is no model %q", name)}
	case wantVersion != "" && wantVersion != version:
		return nil, false, &failure{404, fmt.Sprintf("model %q has no version %q, only %s", name, wantVersion, version)}
	}
	if l = s.now.Load(); l == nil {
		return nil, false, &failure{503, fmt.Sprintf("model %q is not ready: %s", name, *s.reason.Load())}
	}
	return l, tensor, nil
}

// ready is an error that says which model is still to come, or failed to. Those that were
// unloaded on purpose are not waited for, as Triton doesn't, but one at least has to answer.
func (m *models) ready() error {
	answers := false
	for _, s := range m.slots {
		now, reason := s.now.Load(), *s.reason.Load()
		if now == nil && reason == unloaded {
			continue
		}
		if now == nil && reason != "" { // "" of one that was loaded just now
			return &failure{http.StatusServiceUnavailable, fmt.Sprintf("model %q is not ready: %s", s.Name, reason)}
		}
		answers = true
	}
	if !answers {
		return &failure{http.StatusServiceUnavailable, "all models are unloaded"}
	}
	return nil
}
