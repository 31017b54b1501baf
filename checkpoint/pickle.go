package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/fault"
)

// The reader below understands the pickle opcodes of protocols 2 to 5, which are
// those that torch.save accepts, and calls nothing: a class or function in the file
// is only a name. What torch writes is rebuilt by build, and of any other object there
// is what it was made of: a module's tensors are in its attributes.
//
// Every opcode takes at least a byte and makes at most one value, so a file can
// make no more values than it has bytes. But values may hold the same value many
// times over, or themselves: nothing here walks or prints them to the end.

type (
	// global is the name of a class or function.
	global struct{ module, name string }
	// tuple is immutable, list is not.
	tuple []any
	list  struct{ items []any }
	// dict keeps its items in order; keys are whatever the file says.
	dict struct{ keys, values []any }
	// object is an instance of a class.
	object struct {
		class global
		args  tuple // what it was made of, of some classes: see build
		state any   // what BUILD gives it: its attributes, in a dict
		items *dict // of a subclass of dict
	}
	// persistent is what a persistent id stands for: in torch files a storage.
	persistent struct{ id any }
)

func (g global) String() string { return g.module + "." + g.name }

// mark separates the arguments of an opcode on the stack.
type mark struct{}

// maxPickle bounds a pickle: the one of a MobileNetV2 with an optimiser has
// about 200 KB. A hostile one can take 70 times its size in memory. Long strings, which
// numpy's arrays are, take no more than they have bytes, and are not counted.
const (
	maxPickle  = 4 << 20
	longString = 4 << 10
)

// unpickler is a machine with a stack and a memo.
type unpickler struct {
	data  []byte
	at    int
	stack []any
	memo  map[int]any
	base  int64 // offset of data in the file, for errors
	short int   // bytes so far that count towards maxPickle

	// storages are the element types of all storages that the pickle names,
	// whatever became of the tensors in them.
	storages map[string]dtype
}

func (u *unpickler) fail(format string, args ...any) error {
	return fault.At(u.base+int64(u.at), "pickle: "+format, args...)
}

// A pickled is what a pickle holds.
type pickled struct {
	value    any
	size     int              // bytes
	storages map[string]dtype // see unpickler
}

// unpickle reads one pickle from the start of data.
func unpickle(data []byte, base int64) (pickled, error) {
	u := &unpickler{data: data, base: base, memo: map[int]any{}, storages: map[string]dtype{}}
	for {
		op, err := u.byte()
		if err != nil {
			return pickled{}, err
		}
		if op == '.' {
			v, err := u.pop()
			return pickled{v, u.at, u.storages}, err
		}
		if err := u.step(op); err != nil {
			return pickled{}, err
		}
	}
}

func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		_, err := u.take(1)
		return err
	case 0x95: // FRAME
		_, err := u.take(8)
		return err
	case '(':
		u.push(mark{})
	case '0':
		_, err := u.pop()
		return err
	case '1':
		_, err := u.popMark()
		return err
	case '2':
		v, err := u.top()
		u.push(v)
		return err
	case 'N':
		u.push(nil)
	case 0x88:
		u.push(true)
	case 0x89:
		u.push(false)
	case 'q', 'r', 0x94, 'h', 'j':
		return u.remember(op)
	case 'I', 'c':
		return u.text(op)
	case 'J', 'K', 'M', 0x8a, 0x8b, 'G':
		return u.number(op)
	case 'T', 'U', 'X', 0x8c, 0x8d, 'B', 'C', 0x8e, 0x96:
		return u.bytes(op)
	case ']':
		u.push(&list{})
	case '}':
		u.push(&dict{})
	case ')':
		u.push(tuple{})
	case 0x8f: // EMPTY_SET
		u.push(&list{})
	default:
		return u.compose(op)
	}
	return nil
}

// byte reads an opcode or one byte of its argument.
func (u *unpickler) byte() (byte, error) {
	b, err := u.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.data)-u.at) {
		return nil, u.fail("unexpected end")
	}
	if n < longString {
		u.short += int(n)
	}
	if u.short > maxPickle {
		return nil, u.fail("more than the limit of %d bytes", maxPickle)
	}
	b := u.data[u.at : u.at+int(n)]
	u.at += int(n)
	return b, nil
}

// line reads up to a newline.
func (u *unpickler) line() (string, error) {
	i := bytes.IndexByte(u.data[u.at:], '\n')
	if i < 0 {
		return "", u.fail("unexpected end")
	}
	b, err := u.take(uint64(i) + 1)
	return string(b[:i]), err
}

// uint reads a little-endian number of size bytes.
func (u *unpickler) uint(size uint64) (uint64, error) {
	b, err := u.take(size)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

func (u *unpickler) top() (any, error) {
	if len(u.stack) == 0 {
		return nil, u.fail("the stack is empty")
	}
	return u.stack[len(u.stack)-1], nil
}

func (u *unpickler) pop() (any, error) {
	v, err := u.top()
	if err == nil {
		u.stack = u.stack[:len(u.stack)-1]
	}
	return v, err
}

// popN pops n values and returns them in the order they were pushed.
func (u *unpickler) popN(n int) (tuple, error) {
	if n > len(u.stack) {
		return nil, u.fail("the stack is empty")
	}
	at := len(u.stack) - n
	items := append(tuple{}, u.stack[at:]...)
	u.stack = u.stack[:at]
	return items, nil
}

// popMark pops the values behind the last mark, and the mark.
func (u *unpickler) popMark() (tuple, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(mark); ok {
			items, err := u.popN(len(u.stack) - i)
			return items[1:], err
		}
	}
	return nil, u.fail("no mark on the stack")
}

// remember puts the top of the stack in the memo or pushes what is there.
func (u *unpickler) remember(op byte) error {
	index := uint64(len(u.memo)) // MEMOIZE
	var err error
	switch op {
	case 'q', 'h':
		index, err = u.uint(1)
	case 'r', 'j':
		index, err = u.uint(4)
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := u.memo[int(index)]
		if !ok {
			return u.fail("nothing in memo %d", index)
		}
		u.push(v)
		return nil
	}
	v, err := u.top()
	u.memo[int(index)] = v
	return err
}

// text handles the opcodes whose argument is a line.
func (u *unpickler) text(op byte) error {
	s, err := u.line()
	if err != nil {
		return err
	}
	if op == 'I' { // an int of more than 32 bits in Python 2
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return u.fail("integer %.20q", s)
		}
		u.push(n)
		return nil
	}
	name, err := u.line()
	u.push(global{s, name})
	return err
}

// number handles the opcodes with a binary number.
func (u *unpickler) number(op byte) error {
	switch op {
	case 'J':
		n, err := u.uint(4)
		u.push(int64(int32(n)))
		return err
	case 'K':
		n, err := u.uint(1)
		u.push(int64(n))
		return err
	case 'M':
		n, err := u.uint(2)
		u.push(int64(n))
		return err
	case 'G':
		b, err := u.take(8)
		if err == nil {
			u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
		}
		return err
	}
	size := uint64(1) // LONG1
	if op == 0x8b {
		size = 4
	}
	n, err := u.uint(size)
	if err != nil {
		return err
	}
	b, err := u.take(n)
	u.push(long(b))
	return err
}

// long decodes a little-endian two's complement integer; one that does not fit
// int64 is returned as its bytes.
func long(b []byte) any {
	if len(b) > 8 {
		return string(b)
	}
	var full [8]byte
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		full = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
	}
	copy(full[:], b)
	return int64(binary.LittleEndian.Uint64(full[:]))
}

// bytes handles the opcodes with a counted string.
func (u *unpickler) bytes(op byte) error {
	size := uint64(4)
	switch op {
	case 'U', 0x8c, 'C':
		size = 1
	case 0x8d, 0x8e, 0x96:
		size = 8
	}
	n, err := u.uint(size)
	if err != nil {
		return err
	}
	b, err := u.take(n)
	if n < longString || err != nil {
		u.push(string(b))
	} else { // not copied: what the file holds stays as it is
		u.push(unsafe.String(&b[0], len(b)))
	}
	return err
}

// compose handles the opcodes that make values of others on the stack.
func (u *unpickler) compose(op byte) error {
	switch op {
	case 't', 'e', 'u', 0x90, 0x91:
		items, err := u.popMark()
		if err != nil {
			return err
		}
		return u.collect(op, items)
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		items, err := u.popN(int(op) - 0x84)
		u.push(items)
		return err
	case 'a', 's':
		n := 1
		if op == 's' {
			n = 2
		}
		items, err := u.popN(n)
		if err != nil {
			return err
		}
		return u.collect(op, items)
	case 'Q':
		id, err := u.pop()
		if t, _ := id.(tuple); len(t) > 1 && t[0] == "module" { // a class with its source text, in the older format
			u.push(t[1])
			return err
		}
		p := persistent{id}
		if s, err := buildStorage(p); err == nil {
			u.storages[s.key] = s.dtype
		}
		u.push(p)
		return err
	case 0x93: // STACK_GLOBAL
		a, err := u.popN(2)
		if err != nil {
			return err
		}
		module, _ := a[0].(string)
		name, _ := a[1].(string)
		u.push(global{module, name})
	case 'R', 0x81: // REDUCE, NEWOBJ
		a, err := u.popN(2)
		if err != nil {
			return err
		}
		v, err := build(a[0], a[1])
		if err != nil {
			return u.fail("%v", err)
		}
		u.push(v)
	case 0x92: // NEWOBJ_EX
		a, err := u.popN(3)
		if err != nil {
			return err
		}
		class, _ := a[0].(global)
		u.push(&object{class: class})
	case 'b': // BUILD: torch's dicts and tensors take attributes that don't matter here
		state, err := u.pop()
		if err != nil {
			return err
		}
		v, err := u.top()
		if o, ok := v.(*object); ok {
			o.state = state
		}
		return err
	default:
		u.at--
		return u.fail("unknown opcode 0x%02x", op)
	}
	return nil
}

// collect makes a container of items or adds them to the one below.
func (u *unpickler) collect(op byte, items tuple) error {
	switch op {
	case 't':
		u.push(items)
	case 0x91: // FROZENSET
		u.push(&list{items})
	default: // add to what is on the stack now
		v, err := u.top()
		if err != nil {
			return err
		}
		switch c := v.(type) {
		case *list:
			c.items = append(c.items, items...)
		case *dict:
			return u.set(c, items)
		case *object: // a subclass of list or dict
			if op != 'u' && op != 's' {
				return nil
			}
			if c.items == nil {
				c.items = &dict{}
			}
			return u.set(c.items, items)
		default:
			return u.fail("items for a value that holds none")
		}
	}
	return nil
}

func (u *unpickler) set(d *dict, items tuple) error {
	if len(items)%2 != 0 {
		return u.fail("a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		d.keys = append(d.keys, items[i])
		d.values = append(d.values, items[i+1])
	}
	return nil
}

// get returns the last value under key.
func (d *dict) get(key string) any {
	for i := len(d.keys) - 1; i >= 0; i-- {
		if d.keys[i] == key {
			return d.values[i]
		}
	}
	return nil
}
