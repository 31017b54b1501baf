package engine

import (
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A plan is how images of one size run: the steps, and what memory they need.
type plan struct {
	steps   []step
	act     int // floats of activations an image
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
	pixels   []uint8   // the image, [H][W][3], or
	data     []float32 // the same normalised
	act      []float32 // its activations
	scratch  []float32 // the participant's own
	logits   []float32 // nil if not wanted
	features []float32 // nil if not wanted
}

// newPlan runs the first convolution and the blocks on wide inputs in strips,
// and the others layer by layer.
func newPlan(net *network, s size, threads int) *plan {
	p := &plan{threads: threads}
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
		e := newExpand(net, &blocks[i], src, threads)
		j := newProject(net, &blocks[i], e.dst, src, threads)
		p.steps = append(p.steps, e, j)
		hidden, chain = append(hidden, e.dst), append(chain, j.dst)
		src = j.dst
	}
	features := &tensor{h: 1, w: 1, blocks: net.last.blocks()}
	p.steps = append(p.steps, &lastPool{net: net, src: src, dst: features}, &classifier{net: net, src: features})
	p.layout(chain, append(hidden, features))
	return p
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

// layout places the tensors of an image: those of the chain take turns in two
// regions, the hidden ones share the third.
func (p *plan) layout(chain, hidden []*tensor) {
	var regions [3][]*tensor
	for i, t := range chain {
		regions[i%2] = append(regions[i%2], t)
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

// A tensor is a place in the activations: blocks of channels, each [h][w][32].
type tensor struct {
	at, h, w, blocks int
}

func (t *tensor) stride() int { return t.h * t.w * kernel.Block }
func (t *tensor) floats() int { return t.blocks * t.stride() }

// block returns block b from pixel p on.
func (t *tensor) block(act []float32, b, p int) []float32 {
	start := t.at + b*t.stride()
	return act[start+p*kernel.Block : start+t.stride()]
}

// from returns all blocks from pixel p of the first one on.
func (t *tensor) from(act []float32, p int) []float32 {
	return act[t.at+p*kernel.Block : t.at+t.floats()]
}

// A job is a batch to run.
type job struct {
	in                Input
	out               Output
	classes, features int // per image
}

// image points x at image i.
func (j *job) image(x *exec, i int) {
	n := j.in.H * j.in.W * 3
	*x = exec{act: x.act, scratch: x.scratch}
	if j.in.Pixels != nil {
		x.pixels = j.in.Pixels[i*n : (i+1)*n]
	} else {
		x.data = j.in.Data[i*n : (i+1)*n]
	}
	if j.out.Logits != nil {
		x.logits = j.out.Logits[i*j.classes : (i+1)*j.classes]
	}
	if j.out.Features != nil {
		x.features = j.out.Features[i*j.features : (i+1)*j.features]
	}
}

// A workspace is the memory and the state of one run.
type workspace struct {
	job    job
	acts   [][]float32 // activations of the image that a participant has to itself
	execs  []exec      // one a participant
	steps  *run        // one image, a phase per step
	images *run        // whole images, in one phase
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
	ws.images = newRun(1, func(slot, _, image int) { p.whole(ws, slot, image) }, free)
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

// runImage runs image i with all threads on it.
func (p *plan) runImage(t *team, j job, i int) {
	ws := p.workspace()
	act := p.own(ws, 0)
	for slot := range ws.execs {
		j.image(&ws.execs[slot], i)
		ws.execs[slot].act = act
	}
	ws.steps.start(t)
}

// runImages runs the first n images, each on one thread.
func (p *plan) runImages(t *team, j job, n int) {
	ws := p.workspace()
	ws.job = j
	ws.images.tasks[0] = n
	ws.images.start(t)
}

// whole runs all steps of one image on one participant.
func (p *plan) whole(ws *workspace, slot, image int) {
	x := &ws.execs[slot]
	x.act = p.own(ws, slot)
	ws.job.image(x, image)
	for _, s := range p.steps {
		for task := range s.tasks() {
			s.run(x, task)
		}
	}
}
