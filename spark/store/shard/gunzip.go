package shard

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Gunzip reads what gzip packed, members one after another and zeros behind them, as gzip
// does. What else lies behind them ends it with ErrTrailing, where compress/gzip finds an end
// that comes too early, or a header that is wrong.
type Gunzip struct {
	packed *bufio.Reader
	z      *gzip.Reader
}

// NewGunzip reads the first member's header.
func NewGunzip(packed *bufio.Reader) (*Gunzip, error) {
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &Gunzip{packed, z}, nil
}

// ErrTrailing is about what was added to a packed file, or replaced its end.
var ErrTrailing error = fault.Brokenf("what lies behind the end of what gzip packed is something else")

func (g *Gunzip) Read(b []byte) (int, error) {
	for len(b) > 0 {
		n, err := g.z.Read(b)
		if err == io.EOF && n > 0 { // of a member: the next call finds it again
			err = nil
		}
		if err == io.EOF { // members may be empty
			if err = g.next(); err == nil {
				continue
			}
		}
		return n, err
	}
	return 0, nil
}

// next begins with the next member, or ends.
func (g *Gunzip) next() error {
	if begins(g.packed) {
		if err := g.z.Reset(g.packed); err != nil {
			return err
		}
		g.z.Multistream(false)
		return nil
	}
	for {
		c, err := g.packed.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			return ErrTrailing
		}
	}
}

// begins reports whether packed goes on as gzip begins.
func begins(packed *bufio.Reader) bool {
	head, _ := packed.Peek(2)
	return bytes.Equal(head, []byte{0x1f, 0x8b})
}
