package hdf5

import "github.com/mobilenet-go/mobilenet/fault"

// The kinds of messages that are of use.
const (
	messageDataspace    = 0x01
	messageLinkInfo     = 0x02
	messageDatatype     = 0x03
	messageFillValue    = 0x05
	messageLink         = 0x06
	messageLayout       = 0x08
	messageFilters      = 0x0b
	messageAttribute    = 0x0c
	messageContinuation = 0x10
	messageSymbols      = 0x11
	messageAttributes   = 0x15
)

// A message is a part of an object's header.
type message struct {
	kind   uint64
	shared bool // the content lies elsewhere
	data   []byte
	base   int // of data in the file
}

// A header is what says what an object is.
type header struct {
	address  uint64
	messages []message
}

func (h header) has(kind uint64) bool {
	_, ok := h.find(kind)
	return ok
}

// find returns the first message of a kind.
func (h header) find(kind uint64) (message, bool) {
	for _, m := range h.messages {
		if m.kind == kind {
			return m, true
		}
	}
	return message{}, false
}

// maxMessages bounds an object's header: a group of the older kind has two, one of the
// newer kind a message for each of up to 8 links and as many attributes.
const maxMessages = 4096

// header reads the header of an object, in either version.
func (r *reader) header(address uint64) (header, error) {
	h := header{address: address}
	c := r.at(address)
	if c.left() >= 4 && string(c.data[c.pos:][:4]) == "OHDR" {
		return h, r.newHeader(&h, c)
	}
	c.version("object header", 1)
	c.skip(1 + 2 + 4) // reserved, number of messages, references
	size := c.uint(4)
	c.skip(4)
	if c.err != nil {
		return h, c.err
	}
	blocks := []*cursor{r.in(c.take(size), c.pos-int(min(size, uint64(c.pos))))}
	for i := 0; i < len(blocks); i++ {
		if c.err != nil {
			return h, c.err
		}
		b := blocks[i]
		for b.left() >= 8 && b.err == nil {
			m := message{kind: b.uint(2)}
			n := b.uint(2)
			m.shared = b.uint(1)&2 != 0
			b.skip(3)
			m.base = b.base + b.pos
			m.data = b.take(n)
			if err := r.keep(&h, m, &blocks, 0); err != nil {
				return h, err
			}
		}
		if b.err != nil {
			return h, b.err
		}
	}
	return h, nil
}

// newHeader reads a header of version 2, all of whose blocks end with a checksum.
func (r *reader) newHeader(h *header, c *cursor) error {
	c.magic("OHDR")
	c.version("object header", 2)
	flags := c.uint(1)
	if flags&0x20 != 0 {
		c.skip(16) // times
	}
	if flags&0x10 != 0 {
		c.skip(4) // when attributes move out
	}
	size := c.uint(1 << (flags & 3))
	begin := c.pos
	blocks := []*cursor{r.in(c.take(size), begin)}
	if c.err != nil {
		return c.err
	}
	for i := 0; i < len(blocks); i++ {
		b := blocks[i]
		start := 4
		if flags&4 != 0 {
			start = 6 // with the order of creation
		}
		for b.left() >= start && b.err == nil {
			m := message{kind: b.uint(1)}
			n := b.uint(2)
			m.shared = b.uint(1)&2 != 0
			b.skip(start - 4)
			m.base = b.base + b.pos
			m.data = b.take(n)
			if err := r.keep(h, m, &blocks, 8); err != nil {
				return err
			}
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// keep adds a message to a header, or the block that a continuation points to, which has
// so many bytes around its messages.
func (r *reader) keep(h *header, m message, blocks *[]*cursor, around uint64) error {
	if m.kind != messageContinuation {
		if h.messages = append(h.messages, m); len(h.messages) > maxMessages {
			return fault.TooLargef("more than %d messages in a header", maxMessages)
		}
		return nil
	}
	c := r.in(m.data, m.base)
	address, size := c.address(), c.size()
	if c.err != nil {
		return c.err
	}
	if err := r.once(address, "block of a header"); err != nil {
		return err
	}
	if size < around {
		return fault.At(int64(m.base), "a block of %d bytes", size)
	}
	b := r.at(address)
	if around > 0 {
		b.magic("OCHK")
	}
	begin := b.pos
	*blocks = append(*blocks, r.in(b.take(size-around), begin))
	return b.err
}
