package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
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

	until time.Time // when JSON is not read any further; zero for never
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

// floats returns the values of an FP32 tensor.
func (t *tensor) floats() ([]float32, error) {
	n, err := t.elements()
	if err != nil {
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
	v := make([]float32, 0, min(n, len(t.Data))) // a value has a byte at least
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
	v := make([]byte, 0, min(n, len(t.Data)))
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
	if t.bin {
		rest := t.raw
		for len(rest) > 0 {
			if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return nil, t.fail("an element that is longer than the data")
			}
			size := int(binary.LittleEndian.Uint32(rest))
			v = append(v, rest[4:4+size])
			rest = rest[4+size:]
		}
	} else if err := t.flatten(n, func(text string) error {
		b, err := base64.StdEncoding.DecodeString(text)
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

// maxDepth is how deep arrays may lie in arrays: a tensor has four dimensions.
const maxDepth = 16

func (t *tensor) late() bool { return !t.until.IsZero() && time.Now().After(t.until) }

// tooSlow says that the deadline passed while JSON was read, which binary data isn't slow at.
func (t *tensor) tooSlow() error {
	return &refusal{"expired", fmt.Sprintf("tensor %q: its deadline passed while it was read as JSON: send it in binary (binary_data_size)", t.Name), 0}
}

// numbers calls f for the numbers of nested arrays, of which there must be n. The data is
// JSON that encoding/json has checked; to have its tokens one by one, 150,528 for an
// image, takes ten times as long.
func (t *tensor) numbers(n int, f func(float64) error) error {
	depth, seen := 0, 0
	for i, end, step := 0, 0, 0; i < len(t.Data); i, step = end, step+1 {
		if step%4096 == 0 && t.late() {
			return t.tooSlow()
		}
		end = i + 1
		switch c := t.Data[i]; {
		case c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
		case c == ']':
			depth--
		case c == '[':
			if depth++; depth > maxDepth {
				return t.fail("arrays in arrays in arrays")
			}
		case c == '-' || '0' <= c && c <= '9':
			for end < len(t.Data) && t.Data[end] != ',' && t.Data[end] != ']' && t.Data[end] > ' ' {
				end++
			}
			if seen++; seen > n || depth == 0 {
				return t.fail("other than %d values for the shape %v", n, t.Shape)
			}
			x, err := strconv.ParseFloat(string(t.Data[i:end]), 64)
			if err != nil {
				return t.fail("data: %v", err)
			}
			if err := f(x); err != nil {
				return err
			}
		default:
			return t.fail("%.20q in place of numbers", t.Data[i:])
		}
	}
	if seen != n || len(t.Data) == 0 {
		return t.fail("%d values for the shape %v", seen, t.Shape)
	}
	return nil
}

// flatten calls f for the texts of nested arrays, of which there must be n.
func (t *tensor) flatten(n int, f func(string) error) error {
	d := json.NewDecoder(bytes.NewReader(t.Data))
	depth, seen := 0, 0
	for step := 0; ; step++ {
		if step%4096 == 0 && t.late() {
			return t.tooSlow()
		}
		tok, err := d.Token()
		if err != nil {
			return t.fail("data: %v", err)
		}
		switch tok {
		case json.Delim('['):
			if depth++; depth > maxDepth {
				return t.fail("arrays in arrays in arrays")
			}
		case json.Delim(']'):
			depth--
		case json.Delim('{'):
			return t.fail("an object in place of an array")
		default:
			if seen++; seen > n || depth == 0 {
				return t.fail("other than %d values for the shape %v", n, t.Shape)
			}
			text, ok := tok.(string)
			if !ok {
				return t.fail("%v in place of base64", tok)
			}
			if err := f(text); err != nil {
				return err
			}
		}
		if depth == 0 {
			break
		}
	}
	if seen != n {
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
