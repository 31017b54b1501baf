package hdf5

import (
	"cmp"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A link is a name in a group and the object that it stands for.
type link struct {
	name    string
	address uint64
	order   uint64 // of creation
}

// links returns what is in a group, of the older kind (a symbol table) or the newer one
// (messages, or a heap of them where they are many).
func (r *reader) links(h header) ([]link, error) {
	if m, ok := h.find(messageSymbols); ok {
		return r.symbols(m)
	}
	var links []link
	for _, m := range h.messages {
		switch m.kind {
		case messageLink:
			l, ok, err := r.link(m)
			if err != nil {
				return nil, err
			}
			if ok {
				links = append(links, l)
			}
		case messageLinkInfo:
			c := r.in(m.data, m.base)
			c.version("link information", 0)
			if c.uint(1)&1 != 0 {
				c.skip(8)
			}
			heap, index := c.address(), c.address()
			if c.err != nil {
				return nil, c.err
			}
			if heap == undefined || index == undefined {
				continue
			}
			const byName, hash = 5, 4
			err := r.dense(heap, index, byName, hash, func(b []byte, base int) error {
				l, ok, err := r.link(message{data: b, base: base})
				if ok {
					links = append(links, l)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(links, func(a, b link) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
	})
	return links, nil
}

// link reads a link message. ok is false for a soft or an external link, which Keras
// does not write.
func (r *reader) link(m message) (l link, ok bool, err error) {
	c := r.in(m.data, m.base)
	c.version("link", 1)
	flags := c.uint(1)
	hard := true
	if flags&8 != 0 {
		hard = c.uint(1) == 0
	}
	if flags&4 != 0 {
		l.order = c.uint(8)
	}
	if flags&16 != 0 {
		c.skip(1) // the name's character set
	}
	l.name = string(c.take(c.uint(1 << (flags & 3))))
	if hard {
		l.address = c.address()
	}
	return l, hard, c.err
}

// symbols reads a symbol table: a B-tree of nodes of names, which lie in a heap.
func (r *reader) symbols(m message) ([]link, error) {
	c := r.in(m.data, m.base)
	tree, heap := c.address(), c.address()
	if c.err != nil {
		return nil, c.err
	}
	h := r.at(heap)
	h.magic("HEAP")
	h.version("heap", 0)
	h.skip(3)
	size := h.size()
	h.size()
	names := r.at(h.address()).take(size)
	if h.err != nil {
		return nil, h.err
	}
	if names == nil && size > 0 {
		return nil, fault.At(int64(h.pos), "names outside of the file")
	}
	var links []link
	err := r.walk(tree, 0, r.length, -1, func(_ *cursor, child uint64) error {
		if err := r.once(child, "node of names"); err != nil {
			return err
		}
		c := r.at(child)
		c.magic("SNOD")
		c.version("symbol node", 1)
		c.skip(1)
		for range c.uint(2) {
			at, address := c.address(), c.address()
			kind := c.uint(4)
			c.skip(4 + 16)
			if c.err != nil {
				return c.err
			}
			if at >= uint64(len(names)) {
				return fault.At(int64(c.pos), "a name at byte %d of %d", at, len(names))
			}
			if soft := kind == 2; !soft {
				links = append(links, link{name: text(names[at:]), address: address})
				if len(links) > maxObjects {
					return fault.TooLargef("more than %d names in a group", maxObjects)
				}
			}
		}
		return c.err
	})
	return links, err
}

// walk visits the leaves' children of a B-tree of version 1, each with a cursor at its
// key, which has so many bytes. level is that of the node, -1 for whatever the root's is.
func (r *reader) walk(address, kind uint64, key, level int, visit func(key *cursor, child uint64) error) error {
	if err := r.once(address, "node of a B-tree"); err != nil {
		return err
	}
	c := r.at(address)
	c.magic("TREE")
	if k := c.uint(1); k != kind {
		c.fail("a node of kind %d", k)
	}
	l := int(c.uint(1))
	if level >= 0 && l != level {
		c.fail("a node of level %d, want %d", l, level)
	}
	n := int(c.uint(2))
	c.address()
	c.address()
	for range n {
		begin := c.pos
		k := r.in(c.take(uint64(key)), begin)
		child := c.address()
		if c.err != nil {
			return c.err
		}
		var err error
		if l > 0 {
			err = r.walk(child, kind, key, l-1, visit)
		} else {
			err = visit(k, child)
		}
		if err != nil {
			return err
		}
	}
	return c.err
}
