package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// Options are the choices of [Compile].
type Options struct {
	Threads int // cores to use; 0 means all

	// CPU names the kernels: "avx512", "avx2", "avx2+avx512", which is some of either,
	// "neon" or "generic", which is plain Go and runs everywhere; for 8-bit networks
	// also "avx512vnni", "avxvnni" and "dotprod". A name without kernels for the
	// network means the fastest without instructions beyond those. Empty means what
	// the environment variable MOBILENET_CPU says, or else the fastest that this CPU
	// can run: see [Engine.Kernels].
	CPU string
}

// An Engine is a model compiled for this CPU. It is safe for concurrent use. The
// zero Engine is a closed one.
type Engine struct {
	program  program
	modules  []Module
	features int    // per image
	named    string // the kernels that were asked for, if any
	threads  int
	team     *team
	cleanup  runtime.Cleanup // stops the team where nobody calls Close

	open   sync.RWMutex // held by runs for reading, by Close for writing
	opened bool

	mu    sync.Mutex
	plans map[planKey]*plan
}

// ErrClosed is the error of using an engine after [Engine.Close].
var ErrClosed = errors.New("the engine is closed")

type size struct{ h, w int }

// A planKey is what a plan is for.
type planKey struct {
	size
	images  int
	taps    string // names of modules, in the network's order with spaces between
	results bool   // features or logits are wanted, too
}

const (
	// maxPlans is how many plans an engine keeps memory for at a time.
	maxPlans = 16
	// maxGroup is how many images a thread takes at once: enough for the weights
	// of the last bottlenecks to be worth fetching, few enough for the caches.
	maxGroup = 4
)

// maxThreads bounds the helpers that a wrong option could start.
const maxThreads = 1024

// Compile prepares m for running. Later changes to m don't reach the engine. It is
// an error if the model's config or state dict is wrong (see [model.Network.Check])
// or if the options name kernels that this machine can't run.
func Compile(m *model.Model, o Options) (*Engine, error) { return Source{Model: m}.Compile(o) }

// CompileQuantized is [Compile] for a network of 8-bit integers. It is an error if q is
// wrong (see [model.Quantized.Validate]). What a run puts out is float32 all the same:
// logits, features and taps are the numbers that the bytes stand for. All kernels
// give the same bits.
func CompileQuantized(q *model.Quantized, o Options) (*Engine, error) {
	return Source{Quantized: q}.Compile(o)
}

// Compile is [Compile] or [CompileQuantized].
func (s Source) Compile(o Options) (*Engine, error) {
	k, err := chooseKernels(o.CPU)
	if err != nil {
		return nil, err
	}
	net, err := s.pack(k)
	if err != nil {
		return nil, err
	}
	return start(net.program(), o)
}

// start returns an engine that runs p.
func start(p program, o Options) (*Engine, error) {
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if threads < 1 || threads > maxThreads {
		return nil, fmt.Errorf("%d threads: want 1 to %d, or 0 for all cores", threads, maxThreads)
	}
	n := p.config.Network()
	e := &Engine{
		program: p, modules: modulesOf(n), features: n.Features(), named: cmp.Or(o.CPU, os.Getenv("MOBILENET_CPU")),
		threads: threads, team: newTeam(threads), opened: true, plans: map[planKey]*plan{},
	}
	// The helpers know the team only, so that they don't keep e alive.
	e.cleanup = runtime.AddCleanup(e, (*team).stop, e.team)
	return e, nil
}

// WithThreads returns an engine of the same network for runs on so many threads. Both
// have the same weights in memory, and each is closed by itself.
func (e *Engine) WithThreads(threads int) (*Engine, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.open.RUnlock()
	return start(e.program, Options{Threads: threads, CPU: e.named})
}

// Close waits for the runs at work, ends the engine's threads and lets go of its
// memory. Later runs fail with [ErrClosed]; closing again does nothing. The threads
// of an engine that was forgotten end, too, once the garbage collector finds it.
// The error is always nil.
func (e *Engine) Close() error {
	e.open.Lock()
	defer e.open.Unlock()
	if e.opened {
		e.opened = false
		e.cleanup.Stop()
		e.team.stop()
		e.program.weights, e.program.plan, e.program.row, e.program.gradient, e.plans = nil, nil, nil, nil, nil
	}
	return nil
}

// enter begins a use of the engine, which must end with e.open.RUnlock.
func (e *Engine) enter() error {
	e.open.RLock()
	if !e.opened {
		e.open.RUnlock()
		return ErrClosed
	}
	return nil
}

// Precision is that of weights and activations: "float32" or "int8".
func (e *Engine) Precision() string { return e.program.precision }

// CPU names the instruction set of the kernels in use, as in MOBILENET_CPU.
func (e *Engine) CPU() string { return e.program.cpu }

// A Kernel says which instruction set computes some kinds of layers, and why.
type Kernel struct{ Layers, CPU, Why string }

// Kernels lists the kernels in use.
func (e *Engine) Kernels() []Kernel {
	var out []Kernel
	for _, c := range e.program.choices {
		out = append(out, Kernel{c.Layers, c.ISA, c.Why})
	}
	if out != nil {
		return out
	}
	why := "the fastest for " + e.program.precision + " that this CPU has"
	if e.named != "" {
		why = e.named + " was asked for"
	}
	return []Kernel{{"all layers", e.program.cpu, why}}
}

// PageBytes is the size of the memory pages that the weights are in: 2 MB where the
// system gives such, as Linux does by default. It is 0 where the system doesn't say.
func (e *Engine) PageBytes() int { return kernel.PageBytes(e.program.weights) }

// Threads is the number of cores that a run uses at most.
func (e *Engine) Threads() int { return e.threads }

// Input is a batch of RGB images, [N][H][W][3]: either Pixels, which the engine
// normalises as the model's config says while it reads them, or Data, which is
// normalised already.
type Input struct {
	Pixels  []uint8
	Data    []float32
	N, H, W int
}

// Output asks a run for results and is where they go. Any of them may be nil. The
// slices have the length of their shape and don't overlap.
type Output struct {
	Logits   []float32 // [N][classes], before the softmax
	Features []float32 // [N][last channels], after the global average pool
	Taps     []Tap     // what modules in between put out
}

// Run computes what out asks for of a batch. Height and width may be anything from
// [model.MinResolution] to 8192, whatever the model's resolution. The memory it
// takes depends on them and on the threads, not on the number of images.
//
// When ctx ends, the run stops after the images that its threads are at, and
// returns the context's error; what is in out means nothing then.
func (e *Engine) Run(ctx context.Context, in Input, out Output) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.open.RUnlock()
	if err := e.check(in, out); err != nil {
		return err
	}
	names, taps, err := e.tapped(out.Taps, in)
	if err != nil {
		return err
	}
	j := job{ctx: ctx, in: in, out: out, taps: taps, classes: e.program.config.Classes, features: e.features}
	key := planKey{size: size{in.H, in.W}, taps: names, results: taps == nil || out.Logits != nil || out.Features != nil}
	for at := 0; at < in.N; {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := in.N - at
		// Groups of whole images keep every thread busy with no waiting for each
		// other; what is left of the batch is cut up within the image.
		key.images = min(maxGroup, left/e.threads)
		if key.images == 0 || key.images == 1 && e.threads == 1 {
			key.images = 1
			e.plan(key).runImage(e.team, j, at)
			at++
			continue
		}
		groups := left / key.images / e.threads * e.threads
		e.plan(key).runGroups(e.team, j, at, groups)
		at += groups * key.images
	}
	return ctx.Err()
}

// maxSide bounds the height and width of an input, in pixels.
const maxSide = 1 << 13

func (e *Engine) check(in Input, out Output) error {
	values, classes := len(in.Pixels)+len(in.Data), e.program.config.Classes
	switch {
	case in.N < 1:
		return fmt.Errorf("a batch of %d images: want at least 1", in.N)
	case in.H < model.MinResolution || in.W < model.MinResolution || in.H > maxSide || in.W > maxSide:
		return fmt.Errorf("input of %dx%d pixels: want %d to %d a side", in.W, in.H, model.MinResolution, maxSide)
	case in.Pixels != nil && in.Data != nil:
		return errors.New("input has both pixels and normalised data")
	case values%(in.H*in.W*3) != 0 || values/(in.H*in.W*3) != in.N: // a product might overflow
		return fmt.Errorf("input has %d values, want those of %d images of shape [%d %d 3]", values, in.N, in.H, in.W)
	case e.program.precision == int8Precision && slices.ContainsFunc(in.Data, isNaN):
		return errors.New("input has NaN, for which 8-bit networks have no value")
	case out.Logits != nil && len(out.Logits) != in.N*classes:
		return fmt.Errorf("logits have room for %d values, want %d for shape [%d %d]", len(out.Logits), in.N*classes, in.N, classes)
	case out.Features != nil && len(out.Features) != in.N*e.features:
		return fmt.Errorf("features have room for %d values, want %d for shape [%d %d]", len(out.Features), in.N*e.features, in.N, e.features)
	}
	return nil
}

func isNaN(v float32) bool { return v != v }

// plan returns the plan for key, making it at the first use.
func (e *Engine) plan(key planKey) *plan {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.plans[key]; ok {
		return p
	}
	if len(e.plans) == maxPlans {
		for old := range e.plans {
			delete(e.plans, old) // any one: runs that use it keep it alive
			break
		}
	}
	p := e.program.plan(key, e.threads)
	e.plans[key] = p
	return p
}
