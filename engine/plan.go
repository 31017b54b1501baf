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
	act     int // floats of activations
	scratch int // floats a participant works in
	threads int

	mu    sync.Mutex
	spare []*workspace
}

// A step is a layer, or layers that run as one. Its tasks write to disjoint
// parts of the activations and may run at the same time.
type step interface {
	tasks() int
	scratch() int // floats that a participant works in
	run(x *exec, task int)
	describe() Step // name, output and MACs
}

// exec is what a participant computes with.
type exec struct {
	image    int       // which of the plan's images; 0 for steps that take all
	pixels   []uint8   // the image, [H][W][3], or
	data     []float32 // the same normalised
	act      []float32 // activations
	scratch  []float32 // the participant's own
	logits   []float32 // of all images, nil if not wanted
	features []float32 // of all images, nil if not wanted
}

// tailPixels is the largest map, in pixels, of a block that takes all images of
// a plan at once: at 224x224 the 7x7 maps, where a thread spends as long on
// fetching weights as on using them for one image.
const tailPixels = 100

// newPlan runs the first convolution and the blocks on wide inputs in strips,
// and the others layer by layer.
func newPlan(net *network, s size, images, threads int) *plan {
	p := &plan{images: images, threads: threads}
	var chain, hidden []*tensor // what goes from step to step, and within a block
	blocks, in := net.blocks, size{(s.h + 1) / 2, (s.w + 1) / 2}
	n := net.countWide(blocks, in, maxLevels-1)
	st := newStrip(net, s, nil, blocks[:n], threads)
	for {
		p.steps = append(p.steps, st)
		chain = append(chain, st.dst)
		blocks, in = blocks[n:], size{st.dst.h, st.dst.w}
		if n = net.countWide(blocks, in, maxLevels); n == 0 {
			break
		}
		st = newStrip(net, in, st.dst, blocks[:n], threads)
	}
	src := st.dst
	for i := range blocks {
		p.startTail(src)
		e := newExpand(net, &blocks[i], src, threads)
		j := newProject(net, &blocks[i], e.dst, src, threads)
		p.steps = append(p.steps, e, j)
		hidden, chain = append(hidden, e.dst), append(chain, j.dst)
		src = j.dst
	}
	if p.tail == 0 { // the last convolution takes all in any case
		p.tail = len(p.steps)
		src.images = images
	}
	features := &tensor{images: images, h: 1, w: 1, blocks: net.last.blocks()}
	p.steps = append(p.steps, &lastPool{net: net, src: src, dst: features}, &classifier{net: net, src: features})
	p.layout(chain, append(hidden, features))
	return p
}

// startTail has the steps from here on take all images, if the maps are small
// enough: src then has room for them all.
func (p *plan) startTail(src *tensor) {
	if p.tail == 0 && src.h*src.w <= tailPixels {
		p.tail = len(p.steps)
		src.images = p.images
	}
}

// countWide returns how many of the blocks, at most limit, form a strip on an
// input of size in.
func (net *network) countWide(blocks []block, in size, limit int) int {
	n := 0
	for n < min(len(blocks), limit) && in.w >= net.stripWidth {
		in.w = blocks[n].Depthwise.OutSize(in.w)
		n++
	}
	return n
}

// layout places the tensors: those of the chain take turns in two regions, the
// hidden ones share the third. What the tail begins with collects the images
// while the steps before it run again for the next, so that it has the fourth to
// itself.
func (p *plan) layout(chain, hidden []*tensor) {
	var regions [4][]*tensor
	for i, t := range chain {
		r := i % 2
		if t.images > 1 && regions[3] == nil {
			r = 3
		}
		regions[r] = append(regions[r], t)
	}
	regions[2] = hidden
	for _, tensors := range regions {
		most := 0
		for _, t := range tensors {
			t.at = p.act
			most = max(most, t.floats())
		}
		p.act += most
	}
	for _, s := range p.steps {
		p.scratch = max(p.scratch, s.scratch())
	}
}

// A tensor is a place in the activations: blocks of channels, each
// [images][h][w][32]. A tensor of one image serves each image in turn.
type tensor struct {
	at, images, h, w, blocks int
}

func (t *tensor) pixels() int { return t.images * t.h * t.w }
func (t *tensor) stride() int { return t.pixels() * kernel.Block }
func (t *tensor) floats() int { return t.blocks * t.stride() }

// block returns block b from pixel p of x's image on.
func (t *tensor) block(x *exec, b, p int) []float32 {
	p += x.image % t.images * t.h * t.w
	start := t.at + b*t.stride()
	return x.act[start+p*kernel.Block : start+t.stride()]
}

// from returns all blocks from pixel p of x's image in the first one on.
func (t *tensor) from(x *exec, p int) []float32 {
	p += x.image % t.images * t.h * t.w
	return x.act[t.at+p*kernel.Block : t.at+t.floats()]
}

// A job is a batch to run.
type job struct {
	ctx               context.Context
	in                Input
	out               Output
	classes, features int // per image
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
	at     int         // the first image of the job to run
	acts   [][]float32 // activations of the images that a participant has to itself
	execs  []exec      // one a participant
	steps  *run        // one image, a phase per step
	groups *run        // groups of images, in one phase
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
	ws := &workspace{acts: make([][]float32, p.threads), execs: make([]exec, p.threads)}
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
		ws.steps.tasks[i] = s.tasks()
	}
	ws.groups = newRun(1, func(slot, _, group int) { p.group(ws, slot, ws.at+group*p.images) }, free)
	for i := range ws.execs {
		ws.execs[i].scratch = kernel.Aligned(p.scratch)
	}
	return ws
}

// release forgets the caller's slices.
func (ws *workspace) release() {
	ws.job = job{}
	for i := range ws.execs {
		x := &ws.execs[i]
		*x = exec{act: x.act, scratch: x.scratch}
	}
}

// own returns the participant's own activations. A participant calls it for
// its own slot only, so that it needs no lock.
func (p *plan) own(ws *workspace, slot int) []float32 {
	if ws.acts[slot] == nil {
		ws.acts[slot] = kernel.Aligned(p.act)
	}
	return ws.acts[slot]
}

// runImage runs image i with all threads on it. The plan is one for one image.
func (p *plan) runImage(t *team, j job, i int) {
	ws := p.workspace()
	act := p.own(ws, 0)
	for slot := range ws.execs {
		x := &ws.execs[slot]
		x.act = act
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

// group runs all steps of the images from image at on, on one participant. It
// does nothing once the job's context has ended.
func (p *plan) group(ws *workspace, slot, at int) {
	if ws.job.ctx.Err() != nil {
		return
	}
	x := &ws.execs[slot]
	x.act = p.own(ws, slot)
	for x.image = range p.images {
		ws.job.input(x, at+x.image)
		x.run(p.steps[:p.tail])
	}
	x.image = 0
	ws.job.output(x, at, p.images)
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
