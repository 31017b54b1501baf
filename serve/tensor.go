package serve

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// A tensor is one of a request or an answer of the Open Inference Protocol.
type tensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`

	Data json.RawMessage `json:"data,omitempty"`
	raw  []byte          // the data as the binary extension has it
	bin  bool

	photo []byte // the only element, without its length

	until time.Time         // when JSON is not read any further; zero for never
	room  func(int64) error // takes room in memory for values; nil for as much as there is
}

// readTensor reads a tensor of a request. Its data stays where it is.
func readTensor(r *jsonReader) *tensor {
	t := &tensor{until: r.until}
	r.only(map[string]func(){
		"name":       func() { r.small(&t.Name) },
		"datatype":   func() { r.small(&t.Datatype) },
		"shape":      func() { r.small(&t.Shape) },
		"parameters": func() { t.Parameters = r.parameters() },
		"data":       func() { t.Data = r.raw() },
	})
	return t
}

func (t *tensor) fail(format string, args ...any) error {
	return badRequest(fmt.Sprintf("tensor %q: ", t.Name) + fmt.Sprintf(format, args...))
}

// elements returns how many values the shape has.
func (t *tensor) elements() (int, error) {
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d > math.MaxInt32 || n*d > math.MaxInt32 {
			return 0, t.fail("shape %v", t.Shape)
		}
		n *= d
	}
	if len(t.Shape) == 0 {
		return 0, t.fail("no shape")
	}
	return int(n), nil
}

// take takes room for so many bytes of values.
func (t *tensor) take(n int) error {
	if t.room == nil {
		return nil
	}
	return t.room(int64(n))
}

// floats returns the values of an FP32 tensor.
func (t *tensor) floats() ([]float32, error) {
	n, err := t.elements()
	if err != nil {
		return nil, err
	}
	most := min(n, len(t.raw)/4)
	if !t.bin {
		most = min(n, len(t.Data)) // a value has a byte at least
	}
	if err := t.take(4 * most); err != nil {
		return nil, err
	}
	if t.bin {
		if len(t.raw) != 4*n {
			return nil, t.fail("%d bytes for %d values", len(t.raw), n)
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
			if x := float64(v[i]); x-x != 0 {
				return nil, t.fail("value %d is %v", i, x)
			}
		}
		return v, nil
	}
	v := make([]float32, 0, most)
	err = t.numbers(n, func(x float64) error {
		if math.Abs(x) > math.MaxFloat32 {
			return t.fail("%v is no FP32 value", x)
		}
		v = append(v, float32(x))
		return nil
	})
	return v, err
}

// octets returns the values of a UINT8 tensor.
func (t *tensor) octets() ([]byte, error) {
	n, err := t.elements()
	if err != nil {
		return nil, err
	}
	if t.bin {
		if len(t.raw) != n {
			return nil, t.fail("%d bytes for %d values", len(t.raw), n)
		}
		return t.raw, nil
	}
	most := min(n, len(t.Data))
	if err := t.take(most); err != nil {
		return nil, err
	}
	v := make([]byte, 0, most)
	err = t.numbers(n, func(x float64) error {
		if x != math.Trunc(x) || x < 0 || x > 255 {
			return t.fail("%v in place of a number from 0 to 255", x)
		}
		v = append(v, byte(x))
		return nil
	})
	return v, err
}

// texts returns the values of a BYTES tensor: in JSON they are base64, as a photo's
// bytes are no text.
func (t *tensor) texts() ([][]byte, error) {
	n, err := t.elements()
	if err != nil {
		return nil, err
	}
	var v [][]byte
	if t.photo != nil {
		v = [][]byte{t.photo}
	} else if t.bin {
		rest := t.raw
		for len(rest) > 0 {
			if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return nil, t.fail("an element that is longer than the data")
			}
			size := int(binary.LittleEndian.Uint32(rest))
			v = append(v, rest[4:4+size])
			rest = rest[4+size:]
		}
	} else if err := t.flatten(n, '"', func(r *jsonReader) error {
		b, err := decodeText(r.text())
		if err != nil {
			return t.fail("%v (in JSON a photo is base64)", err)
		}
		v = append(v, b)
		return nil
	}); err != nil {
		return nil, err
	}
	if len(v) != n {
		return nil, t.fail("%d elements for the shape %v", len(v), t.Shape)
	}
	return v, nil
}

// numbers calls f for the numbers of nested arrays, of which there must be n.
func (t *tensor) numbers(n int, f func(float64) error) error {
	return t.flatten(n, '-', func(r *jsonReader) error { return f(r.number()) })
}

// flatten has read read the strings ('"') or numbers ('-') of an array, of which there must be
// n: all in one list, or in lists in lists as the shape says.
func (t *tensor) flatten(n int, kind byte, read func(*jsonReader) error) error {
	r := &jsonReader{data: t.Data, until: t.until}
	seen, flat, deep := 0, false, false // values in one list, or lists in it
	wrong := func() {
		r.stop(t.fail("data that is nested otherwise than the shape %v says: want one flat list, or lists in lists as the shape has them", t.Shape))
	}
	var one func()
	list := func() {
		depth, size := r.depth, 0 // of the lists around it, and its elements
		if depth > 0 && (flat || depth >= len(t.Shape)) {
			wrong()
			return
		}
		deep = deep || depth > 0
		r.array(func() {
			if size++; deep && int64(size) > t.Shape[depth] {
				wrong()
				return
			}
			one()
		})
		if deep && int64(size) != t.Shape[depth] {
			wrong()
		}
	}
	one = func() {
		c := r.next()
		if '0' <= c && c <= '9' {
			c = '-'
		}
		switch {
		case c == '[':
			list()
		case c != kind && r.err == nil:
			r.stop(t.fail("%.20q in place of %s", r.data[r.at:], map[byte]string{'"': "base64", '-': "numbers"}[kind]))
		case seen == n || r.depth == 0:
			r.stop(t.fail("other than %d values for the shape %v", n, t.Shape))
		case r.depth > 1 && r.depth != len(t.Shape) || r.depth == 1 && deep:
			wrong()
		default:
			flat = r.depth == 1
			seen++
			if err := read(r); err != nil {
				r.stop(err)
			}
		}
	}
	if len(t.Data) > 0 {
		one()
	}
	r.end()
	switch {
	case errors.As(r.err, new(*failure)), errors.As(r.err, new(*refusal)):
		return r.err
	case r.err != nil:
		return t.fail("data: %v", r.err)
	case seen != n || len(t.Data) == 0:
		return t.fail("%d values for the shape %v", seen, t.Shape)
	}
	return nil
}

// floatTensor returns an FP32 tensor of values.
func floatTensor(name string, shape []int64, v []float32) *tensor {
	t := &tensor{Name: name, Datatype: "FP32", Shape: shape, raw: make([]byte, 4*len(v))}
	for i, x := range v {
		binary.LittleEndian.PutUint32(t.raw[4*i:], math.Float32bits(x))
	}
	return t
}

// textTensor returns a BYTES tensor of texts.
func textTensor(name string, shape []int64, v []string) *tensor {
	t := &tensor{Name: name, Datatype: "BYTES", Shape: shape}
	for _, text := range v {
		t.raw = binary.LittleEndian.AppendUint32(t.raw, uint32(len(text)))
		t.raw = append(t.raw, text...)
	}
	return t
}

// plain turns the values into JSON.
func (t *tensor) plain() error {
	var v any
	switch t.Datatype {
	case "FP32":
		f := make([]float32, len(t.raw)/4)
		for i := range f {
			f[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
		}
		v = f
	default:
		list := []string{}
		for rest := t.raw; len(rest) > 0; {
			n := binary.LittleEndian.Uint32(rest)
			list, rest = append(list, string(rest[4:4+n])), rest[4+n:]
		}
		v = list
	}
	var err error
	t.Data, err = json.Marshal(v)
	return err
}
