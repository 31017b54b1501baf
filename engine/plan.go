package engine

import (
	"context"
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A plan is how images of one size run, so many at a time: the steps, and what
// memory they need. The steps up to tail take one image after the other, those
// from there on, where the maps are small and the weights are many, take all.
type plan struct {
	images  int
	steps   []step
	tail    int
	act     int // bytes of activations
	scratch int // bytes a participant works in
	threads int

	mu    sync.Mutex
	spare []*workspace
}

// A step is a layer, or layers that run as one. Its tasks write to disjoint
// parts of the activations and may run at the same time.
type step interface {
	tasks() int
	scratch() int // bytes that a participant works in
	run(x *exec, task int)
	describe() Step // name, output and MACs
}

// exec is what a participant computes with.
type exec struct {
	first    int       // the job's image that the plan's first one is
	image    int       // which of the plan's images; 0 for steps that take all
	pixels   []uint8   // the image, [H][W][3], or
	data     []float32 // the same normalised
	act      arena     // activations: own, or those that all participants share
	own      arena     // the participant's own activations, nil until it needs them
	scratch  arena     // the participant's own, nil until it takes part
	rows     [tableRows][]float32
	logits   []float32   // of the plan's images, nil if not wanted
	features []float32   // of the plan's images, nil if not wanted
	taps     [][]float32 // what modules put out, each of all the job's images
}

// tableRows is how many input rows a call of a depthwise convolution gets at most:
// those of a map of 28 rows and more, all in one call.
const tableRows = 32

// A tensor is a place in the activations: blocks of channels, each
// [images][h][w][32]. A tensor of one image serves each image in turn.
type tensor struct {
	at                   int // in bytes
	value                int // bytes of one
	images, h, w, blocks int
	wide                 *tensor // the same in float32 beside 8-bit integers, or nil
}

// f32Bytes is the size of a float32.
const f32Bytes = 4

// f32Tensor returns a tensor of float32, without a place yet.
func f32Tensor(images int, s size, blocks int) *tensor {
	return &tensor{value: f32Bytes, images: images, h: s.h, w: s.w, blocks: blocks}
}

// u8Tensor is f32Tensor for 8-bit integers.
func u8Tensor(images int, s size, blocks int) *tensor {
	return &tensor{value: 1, images: images, h: s.h, w: s.w, blocks: blocks}
}

func (t *tensor) pixels() int { return t.images * t.h * t.w }
func (t *tensor) stride() int { return t.pixels() * kernel.Block } // values of a block
func (t *tensor) bytes() int  { return t.blocks * t.stride() * t.value }

// place gives t its place and returns where that ends.
func (t *tensor) place(at int) (end int) {
	t.at = at
	end = at + int(wholeLines(t.bytes()))
	if t.wide != nil {
		end = t.wide.place(end)
	}
	return end
}

// collect gives t room for so many images.
func (t *tensor) collect(images int) {
	t.images = images
	if t.wide != nil {
		t.wide.images = images
	}
}

// block returns block b from pixel p of x's image on, of a tensor of float32.
func (t *tensor) block(x *exec, b, p int) []float32 {
	p += x.image % t.images * t.h * t.w
	start := t.at/f32Bytes + b*t.stride()
	return x.act.f32()[start+p*kernel.Block : start+t.stride()]
}

// from returns all blocks from pixel p of x's image in the first one on.
func (t *tensor) from(x *exec, p int) []float32 {
	p += x.image % t.images * t.h * t.w
	start := t.at / f32Bytes
	return x.act.f32()[start+p*kernel.Block : start+t.blocks*t.stride()]
}

// block8 is block of a tensor of 8-bit integers.
func (t *tensor) block8(x *exec, b, p int) []uint8 {
	p += x.image % t.images * t.h * t.w
	start := t.at + b*t.stride()
	return x.act[start+p*kernel.Block : start+t.stride()]
}

// from8 is from of a tensor of 8-bit integers.
func (t *tensor) from8(x *exec, p int) []uint8 {
	p += x.image % t.images * t.h * t.w
	return x.act[t.at+p*kernel.Block : t.at+t.bytes()]
}

// A job is a batch to run.
type job struct {
	ctx               context.Context
	in                Input
	out               Output
	taps              [][]float32 // of out, in the plan's order
	classes, features int         // per image
}

// input points x at image i.
func (j *job) input(x *exec, i int) {
	n := j.in.H * j.in.W * 3
	if j.in.Pixels != nil {
		x.pixels = j.in.Pixels[i*n : (i+1)*n]
	} else {
		x.data = j.in.Data[i*n : (i+1)*n]
	}
}

// output points x at the results of images i to i+n.
func (j *job) output(x *exec, i, n int) {
	x.first, x.taps = i, j.taps
	if j.out.Logits != nil {
		x.logits = j.out.Logits[i*j.classes : (i+n)*j.classes]
	}
	if j.out.Features != nil {
		x.features = j.out.Features[i*j.features : (i+n)*j.features]
	}
}

// A workspace is the memory and the state of one run.
type workspace struct {
	job    job
	at     int    // the first image of the job to run
	execs  []exec // one a participant
	steps  *run   // one image, a phase per step
	groups *run   // groups of images, in one phase
}

// workspace returns one that nobody uses.
func (p *plan) workspace() *workspace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		ws := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return ws
	}
	ws := &workspace{execs: make([]exec, p.threads)}
	free := func() {
		ws.release()
		p.mu.Lock()
		p.spare = append(p.spare, ws)
		p.mu.Unlock()
	}
	ws.steps = newRun(len(p.steps), func(slot, phase, task int) {
		p.steps[phase].run(&ws.execs[slot], task)
	}, free)
	for i, s := range p.steps {
		tasks := s.tasks()
		ws.steps.tasks[i], ws.steps.grain[i] = tasks, grain(tasks, s.describe().MACs, p.threads)
	}
	ws.groups = newRun(1, func(slot, _, group int) { p.group(ws, slot, ws.at+group*p.images) }, free)
	ws.groups.grain[0] = 1
	return ws
}

// grainMACs takes some 3 microseconds. To claim a task from another core takes a
// tenth of one, and tasks on the small maps of small images less than one.
const grainMACs = 200_000

// grain returns how many tasks of a step a participant takes at a time: few enough
// for all threads to have as many turns, if that can be.
func grain(tasks, macs, threads int) int {
	most := max(1, min(grainMACs*tasks/max(1, macs), tasks/threads))
	for n := most; n > most/2; n-- {
		if turns := (tasks + n - 1) / n; tasks%n == 0 && turns%threads == 0 {
			return n
		}
	}
	return most
}

// release forgets the caller's slices.
func (ws *workspace) release() {
	ws.job = job{}
	for i := range ws.execs {
		x := &ws.execs[i]
		*x = exec{own: x.own, scratch: x.scratch}
	}
}

// own points x at activations of its own. With the scratch beside them they fill a
// huge page at 224x224. A participant calls it for itself only, so that it needs no
// lock, and the memory is near the core that touches it first.
func (p *plan) own(x *exec) {
	if x.own == nil {
		m := kernel.HugeBytes(p.act + p.scratch)
		x.own, x.scratch = m[:p.act:p.act], m[p.act:]
	}
	x.act = x.own
}

// share points all participants at the first one's activations.
func (p *plan) share(ws *workspace) {
	first := &ws.execs[0]
	p.own(first)
	for slot := range ws.execs {
		x := &ws.execs[slot]
		x.act = first.own
		if x.scratch == nil {
			x.scratch = kernel.HugeBytes(p.scratch)
		}
	}
}

// runImage runs image i with all threads on it. The plan is one for one image.
func (p *plan) runImage(t *team, j job, i int) {
	ws := p.workspace()
	p.share(ws)
	for slot := range ws.execs {
		x := &ws.execs[slot]
		j.input(x, i)
		j.output(x, i, 1)
	}
	ws.steps.start(t)
}

// runGroups runs so many groups of the plan's images from image at on, each on
// one thread.
func (p *plan) runGroups(t *team, j job, at, groups int) {
	ws := p.workspace()
	ws.job, ws.at = j, at
	ws.groups.tasks[0] = groups
	ws.groups.start(t)
}

// group runs all steps of the images from image at on, on one participant. Once
// the job's context has ended it begins with no other image.
func (p *plan) group(ws *workspace, slot, at int) {
	x := &ws.execs[slot]
	p.own(x)
	ws.job.output(x, at, p.images)
	for x.image = range p.images {
		if ws.job.ctx.Err() != nil {
			return
		}
		ws.job.input(x, at+x.image)
		x.run(p.steps[:p.tail])
	}
	x.image = 0
	x.run(p.steps[p.tail:])
}

// run runs steps one after the other, all tasks of each.
func (x *exec) run(steps []step) {
	for _, s := range steps {
		for task := range s.tasks() {
			s.run(x, task)
		}
	}
}
