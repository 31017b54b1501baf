package hdf5

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// A Group is one to write.
type Group struct {
	Name   string            // "" for the file's own
	Text   map[string]string // attributes
	Groups []Group
	Arrays []Array
}

// An Array is a dataset of float32 to write.
type Array struct {
	Name  string
	Shape []int
	Data  []float32
}

// Marshal returns a file with root's content, in the oldest form of the format, which
// every version of the library reads: superblock 0, symbol tables, contiguous arrays.
func Marshal(root Group) []byte {
	w := writer{nodes: 1}
	w.count(root)
	w.data = make([]byte, superblockSize)
	w.texts(&root)
	address, tree, heap := w.group(&root)
	w.superblock(address, tree, heap)
	return w.data
}

const (
	superblockSize = 96
	perNode        = 8 // names in a symbol node: twice the superblock's K of leaves
)

type writer struct {
	data  []byte
	nodes int // children that a B-tree's node has room for, an even number
	heap  uint64
	next  uint16 // object of the heap of texts
}

// count finds the largest group.
func (w *writer) count(g Group) {
	w.nodes = max(w.nodes, (len(g.Groups)+len(g.Arrays)+perNode-1)/perNode)
	w.nodes += w.nodes % 2
	for _, below := range g.Groups {
		w.count(below)
	}
}

func (w *writer) at() uint64      { return uint64(len(w.data)) }
func (w *writer) raw(s string)    { w.data = append(w.data, s...) }
func (w *writer) u8(v ...uint8)   { w.data = append(w.data, v...) }
func (w *writer) u16(v uint16)    { w.data = binary.LittleEndian.AppendUint16(w.data, v) }
func (w *writer) u32(v uint32)    { w.data = binary.LittleEndian.AppendUint32(w.data, v) }
func (w *writer) u64(v ...uint64) { w.data = appendUint64(w.data, v...) }
func (w *writer) zeros(n int)     { w.data = append(w.data, make([]byte, n)...) }
func (w *writer) align()          { w.zeros(padding(len(w.data))) }

func appendUint64(b []byte, v ...uint64) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

// padding is how many bytes are missing to a multiple of 8.
func padding(n int) int { return (8 - n%8) % 8 }

// superblock fills in the head of the file.
func (w *writer) superblock(root, tree, heap uint64) {
	end := w.at()
	h := writer{}
	h.raw(Signature)
	h.u8(0, 0, 0, 0, 0, 8, 8, 0)
	h.u16(perNode / 2)
	h.u16(uint16(w.nodes / 2))
	h.u32(0)
	h.u64(0, undefined, end, undefined)
	h.u64(0, root) // the root's entry, with its symbol table
	h.u32(1)
	h.u32(0)
	h.u64(tree, heap)
	copy(w.data, h.data)
}

// texts writes all attributes into one global heap, in the order that they are written
// in later.
func (w *writer) texts(root *Group) {
	h := writer{}
	var collect func(g *Group)
	collect = func(g *Group) {
		for i := range g.Groups {
			collect(&g.Groups[i])
		}
		for _, name := range sortedKeys(g.Text) {
			w.next++
			h.u16(w.next)
			h.u16(1) // reference
			h.u32(0)
			h.u64(uint64(len(g.Text[name])))
			h.raw(g.Text[name])
			h.align()
		}
	}
	collect(root)
	w.next = 0
	if len(h.data) == 0 {
		return
	}
	const head, least = 16, 4096 // of a heap
	free := max(head, least-head-len(h.data))
	h.zeros(8) // object 0 is free space
	h.u64(uint64(free))
	h.zeros(free - head)
	w.heap = w.at()
	w.raw("GCOL\x01\x00\x00\x00")
	w.u64(uint64(head + len(h.data)))
	w.data = append(w.data, h.data...)
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A written message of a header: its kind and content.
type written struct {
	kind uint16
	data []byte
}

// header writes an object's header of version 1 and returns its address.
func (w *writer) header(messages []written) uint64 {
	at := w.at()
	size := 0
	for _, m := range messages {
		size += 8 + len(m.data) + padding(len(m.data))
	}
	w.u8(1, 0)
	w.u16(uint16(len(messages)))
	w.u32(1)
	w.u32(uint32(size))
	w.u32(0)
	for _, m := range messages {
		w.u16(m.kind)
		w.u16(uint16(len(m.data) + padding(len(m.data))))
		w.u32(0)
		w.data = append(w.data, m.data...)
		w.align()
	}
	return at
}

// group writes a group, what is in it first.
func (w *writer) group(g *Group) (address, tree, heap uint64) {
	var links []link
	for i := range g.Groups {
		below, _, _ := w.group(&g.Groups[i])
		links = append(links, link{name: g.Groups[i].Name, address: below})
	}
	for _, a := range g.Arrays {
		links = append(links, link{name: a.Name, address: w.array(a)})
	}
	slices.SortFunc(links, func(a, b link) int { return cmp.Compare(a.name, b.name) })
	tree, heap = w.symbols(links)
	messages := []written{{messageSymbols, appendUint64(nil, tree, heap)}}
	for _, name := range sortedKeys(g.Text) {
		w.next++
		messages = append(messages, w.attribute(name, g.Text[name]))
	}
	return w.header(messages), tree, heap
}

// symbols writes the names of a group, which are sorted: a heap of them, nodes of up to
// eight, and a B-tree of one node over these.
func (w *writer) symbols(links []link) (tree, heap uint64) {
	names := make([]byte, 8) // the empty name comes first
	offsets := make([]uint64, len(links))
	for i, l := range links {
		offsets[i] = uint64(len(names))
		names = append(names, l.name...)
		names = append(names, make([]byte, 1+padding(len(names)+1))...)
	}
	heap = w.at()
	const noneFree = 1
	w.raw("HEAP\x00\x00\x00\x00")
	w.u64(uint64(len(names)), noneFree, heap+32)
	w.data = append(w.data, names...)

	var nodes, last []uint64 // addresses, and their last names
	for begin := 0; begin < len(links); begin += perNode {
		end := min(begin+perNode, len(links))
		nodes = append(nodes, w.at())
		last = append(last, offsets[end-1])
		w.raw("SNOD\x01\x00")
		w.u16(uint16(end - begin))
		for i := begin; i < end; i++ {
			w.u64(offsets[i], links[i].address)
			w.zeros(24)
		}
		w.zeros((perNode - (end - begin)) * 40)
	}
	tree = w.at()
	w.raw("TREE\x00\x00")
	w.u16(uint16(len(nodes)))
	w.u64(undefined, undefined, 0)
	for i, node := range nodes {
		w.u64(node, last[i])
	}
	w.zeros((w.nodes - len(nodes)) * 16)
	return tree, heap
}

// attribute is text of varying length, UTF-8, that is the next object of the heap.
func (w *writer) attribute(name, value string) written {
	a := writer{}
	a.u8(1, 0)
	a.u16(uint16(len(name) + 1))
	a.u16(16) // the type, and that of a character
	a.u16(8)
	a.raw(name + "\x00")
	a.align()
	a.u8(0x19, 1, 1, 0)
	a.u32(16)
	a.u8(0x13, 0x10, 0, 0)
	a.u32(1)
	a.u8(1, 0, 0, 0, 0, 0, 0, 0) // a scalar
	a.u32(uint32(len(value)))
	a.u64(w.heap)
	a.u32(uint32(w.next))
	return written{messageAttribute, a.data}
}

// array writes a dataset.
func (w *writer) array(a Array) uint64 {
	w.align()
	begin := w.at()
	if len(a.Data) == 0 {
		begin = undefined
	}
	for _, v := range a.Data {
		w.u32(math.Float32bits(v))
	}
	w.align()
	space := []byte{1, byte(len(a.Shape)), 0, 0, 0, 0, 0, 0}
	for _, n := range a.Shape {
		space = appendUint64(space, uint64(n))
	}
	float32le := []byte{0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0}
	const late, ifSet = 2, 2
	layout := appendUint64([]byte{3, layoutContiguous}, begin, uint64(4*len(a.Data)))
	return w.header([]written{
		{messageDataspace, space}, {messageDatatype, float32le},
		{messageFillValue, []byte{2, late, ifSet, 0}}, {messageLayout, layout},
	})
}
