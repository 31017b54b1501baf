//go:build linux && !purego

package kernel

import (
	"bytes"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestAVX512Emulated runs the machine code of the AVX-512 kernels in bochs, on a
// bare machine, and compares memory with what the AVX2 kernels leave: they add
// and multiply in the same order, so every bit is the same. It is for machines
// without AVX-512, and says nothing about speed.
func TestAVX512Emulated(t *testing.T) {
	if !slices.Contains(Available(), &avx2) {
		testenv.Skip(t, "avx2", "not in this machine")
	}
	g := newGuest(t, "avx512_amd64.s")
	for nr := 8; nr <= Block; nr += 8 {
		for pixels := 1; pixels <= 30; pixels++ {
			for _, k := range []int{1, 35, 64} {
				a := newPointwise(g.m, pixels, k, nr, residual((pixels+k)%3))
				a.ReLU6 = pixels%2 == 0
				a.Src[0] = [...]float32{1, float32(math.NaN()), float32(math.Inf(1))}[pixels%3]
				if a.Add != nil && k == 64 {
					a.Bias = nil // a later chunk of K
				}
				g.call(fmt.Sprintf("pointwise%dAVX512", nr), unsafe.Pointer(&a), unsafe.Sizeof(a), func() { pointwiseAVX2(&a) })
			}
			b := newFirst(g.m, pixels, nr)
			g.call(fmt.Sprintf("first%dAVX512", nr), unsafe.Pointer(&b), unsafe.Sizeof(b), func() { avx2.First(b) })
			for _, s := range strides {
				g.callDepthwise(newDepthwise(g.m, 1+pixels%4, pixels, s.stride, s.left, nr))
			}
		}
	}
	for nr := 8; nr <= Block; nr += 8 {
		for pixels := 1; pixels <= 5; pixels++ {
			g.callTraining(pixels, nr)
		}
	}
	p := newPool(g.m, 49)
	g.call("poolAVX512", unsafe.Pointer(&p), unsafe.Sizeof(p), func() { poolAVX2(&p) })
	g.run(t)
}

// callDepthwise adds a call of a depthwise kernel, whose rows are slices in memory.
func (g *guest) callDepthwise(a Depthwise) {
	a.short()
	host := a
	rows := g.put(unsafe.Pointer(&a.Rows[0]), uintptr(len(a.Rows))*unsafe.Sizeof(a.Rows[0]))
	*(*uint64)(unsafe.Pointer(&a.Rows)) = rows // the header's pointer
	g.call(fmt.Sprintf("depthwise%dAVX512", a.Stride), unsafe.Pointer(&a), unsafe.Sizeof(a), func() { depthwiseAVX2(&host) })
}

// callTraining adds calls of the kernels for training.
func (g *guest) callTraining(pixels, nr int) {
	for _, relu6 := range []bool{false, true} {
		a := newAffine(g.m, pixels, nr, relu6, false)
		g.call("affineAVX512", unsafe.Pointer(&a), unsafe.Sizeof(a), func() { affineAVX2(&a) })
		b := newAffine(g.m, pixels, nr, relu6, true)
		g.call("affineAddAVX512", unsafe.Pointer(&b), unsafe.Sizeof(b), func() { affineAddAVX2(&b) })
	}
	m := newMoments(g.m, pixels, nr)
	g.call("momentsAVX512", unsafe.Pointer(&m), unsafe.Sizeof(m), func() { momentsAVX2(&m) })
	l := newAffineGrad(g.m, pixels, nr, false, false)
	g.call("linearGradAVX512", unsafe.Pointer(&l), unsafe.Sizeof(l), func() { linearGradAVX2(&l) })
	c := newAffineGrad(g.m, pixels, nr, true, false)
	c.Src[0] = float32(math.NaN())
	g.call("affineGradAVX512", unsafe.Pointer(&c), unsafe.Sizeof(c), func() { affineGradAVX2(&c) })
	f := newAffineGrad(g.m, pixels, nr, true, true)
	f.Src[0] = float32(math.NaN())
	g.call("activationGradAVX512", unsafe.Pointer(&f), unsafe.Sizeof(f), func() { activationGradAVX2(&f) })
	n := newNormGrad(g.m, pixels, nr)
	g.call("normGradAVX512", unsafe.Pointer(&n), unsafe.Sizeof(n), func() { normGradAVX2(&n) })
	for _, k := range []int{8, 24, 32} { // of others the sets do more or less beyond K
		w := newPointwiseGrad(g.m, pixels, k, nr)
		w.First = pixels%2 == 0
		g.call(fmt.Sprintf("pointwiseGrad%dAVX512", nr), unsafe.Pointer(&w), unsafe.Sizeof(w), func() { pointwiseGradAVX2Set(w) })
	}
	for _, s := range strides {
		width := 1 + pixels
		if s.left == 0 {
			width = 2 * pixels
		}
		d := newDepthwiseGrad(g.m, 1+pixels%3, width, s.stride, s.left, nr)
		d.cut = d.columns()
		host := d
		rows := g.put(unsafe.Pointer(&d.Rows[0]), uintptr(len(d.Rows))*unsafe.Sizeof(d.Rows[0]))
		*(*uint64)(unsafe.Pointer(&d.Rows)) = rows // the header's pointer
		g.call("depthwiseGradAVX512", unsafe.Pointer(&d), unsafe.Sizeof(d), func() { depthwiseGradAVX2(&host) })
	}
	t := newDepthwiseTransposed(g.m, pixels, nr)
	g.call("depthwiseTransposedAVX512", unsafe.Pointer(&t), unsafe.Sizeof(t), func() { depthwiseTransposedAVX2(&t) })
	w := newTurn(g.m, nr, 8*pixels)
	g.call("turnAVX512", unsafe.Pointer(&w), unsafe.Sizeof(w), func() { turnAVX2(&w) })
}

// A guest is the memory of the bare machine: an image at guestImage that begins
// with where its data, the expected data and the calls are.
type guest struct {
	m     *memory
	arena []float32 // the data, canaries where nothing else is
	used  int
	code  map[string]uint64
	image []byte
	calls []uint64
	want  []func()
}

const (
	guestImage = 0x400000
	guestCode  = guestImage + 0x20000
	guestData  = guestImage + 0x100000
	guestBytes = 0x1000000 // of data
)

func newGuest(t *testing.T, file string) *guest {
	for _, tool := range []string{"bochs", "gcc", "ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			testenv.Skip(t, "bochs", err.Error())
		}
	}
	g := &guest{
		m:     &memory{rng: rand.New(rand.NewPCG(1, 3))},
		arena: slices.Repeat([]float32{canary}, guestBytes/4),
		code:  map[string]uint64{},
		image: make([]byte, guestData-guestImage),
	}
	g.m.alloc = func(n int) []float32 {
		g.used += canaries/2 + g.m.rng.IntN(canaries)
		return g.take(n)
	}
	at := uint64(guestCode)
	for name, code := range machineCode(t, file) {
		g.code[name] = at
		at += uint64(copy(g.image[at-guestImage:], code))
	}
	return g
}

func (g *guest) take(n int) []float32 {
	s := g.arena[g.used:][:n:n]
	g.used += n
	return s
}

// call adds a call of a kernel with an argument of size bytes, and what does the
// same on the host.
func (g *guest) call(name string, arg unsafe.Pointer, size uintptr, want func()) {
	if g.code[name] == 0 {
		panic("there is no " + name)
	}
	g.calls = append(g.calls, g.code[name], g.put(arg, size))
	g.want = append(g.want, want)
}

// put copies a struct of size bytes to the guest, its pointers to what the guest
// has, and returns where.
func (g *guest) put(arg unsafe.Pointer, size uintptr) uint64 {
	g.used += g.used % 2
	dst := g.take(int(size / 4))
	host := uint64(uintptr(unsafe.Pointer(&g.arena[0])))
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&dst[0])), size/8)
	for i, w := range unsafe.Slice((*uint64)(arg), size/8) {
		if w-host < guestBytes {
			w += guestData - host // a slice's pointer
		}
		words[i] = w
	}
	return uint64(uintptr(unsafe.Pointer(&dst[0]))) - host + guestData
}

// run runs the guest and fails unless it finds the memory that it should.
func (g *guest) run(t *testing.T) {
	data := unsafe.Slice((*byte)(unsafe.Pointer(&g.arena[0])), 4*g.used)
	header := append([]uint64{guestData, guestData + guestBytes, uint64(g.used), 0}, g.calls...)
	for i, w := range header {
		binary.LittleEndian.PutUint64(g.image[8*i:], w)
	}
	image := append(g.image, data...)
	image = append(image, make([]byte, guestBytes-len(data))...)
	for _, f := range g.want {
		f()
	}
	image = append(image, data...)

	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rom := filepath.Join(dir, "rom")
	command(t, "gcc", "-c", "-o", rom+".o", filepath.Join("testdata", "bochs", "start.S"))
	command(t, "ld", "-Ttext=0", "-e", "0", "--oformat=binary", "-o", rom, rom+".o")
	config := write("config", fmt.Appendf(nil, `display_library: rfb, options="timeout=0"
cpu: model=tigerlake, ips=200000000, reset_on_triple_fault=0
megs: 64
romimage: file=%s, address=0xffff0000
optramimage1: file=%s, address=%#x
port_e9_hack: enabled=1
sound: driver=dummy
log: %s
panic: action=fatal
`, rom, write("ram", image), guestImage, filepath.Join(dir, "log")))
	// Debian's bochs has its debugger in front, which must be told to go on.
	out := command(t, "bochs", "-q", "-f", config, "-rc", write("debugger", []byte("continue\n")))
	if !bytes.Contains(out, []byte("SAME\n")) {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Errorf("the kernels leave other memory than AVX2's, or none:\n%s\n%s", out, log)
	}
}

// command runs a program and returns its output. Bochs exits with 1 at its best.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil && name != "bochs" {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}

// machineCode returns the functions of an assembly file, as they are in this
// program. The wrappers that Go calls them by belong to no file.
func machineCode(t *testing.T, file string) map[string][]byte {
	exe, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	text := exe.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := exe.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, text.Addr))
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string][]byte{}
	for _, f := range table.Funcs {
		if path, _, _ := table.PCToLine(f.Entry); strings.HasSuffix(path, file) {
			functions[f.BaseName()] = code[f.Entry-text.Addr : f.End-text.Addr]
		}
	}
	return functions
}
