package vision

import (
	"bytes"
	"context"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A pnmFile is one of Netpbm's formats, P1 to P7: bits, grey and colour, as text
// (P1 to P3) or bytes, and PAM.
type pnmFile struct {
	data     []byte
	at       int
	kind     byte // '1' to '7'
	w, h     int
	channels int
	most     int  // the value of white
	clipped  bool // see Image.Clipped
}

// isPNM wants white space or a comment behind the number, too, and then a width, or
// the first word of a PAM header: a text may begin with P1.
func isPNM(head []byte) bool {
	if len(head) < 3 || head[0] != 'P' || head[1] < '1' || head[1] > '7' || !isSpace(head[2]) && head[2] != '#' {
		return false
	}
	p := &pnmFile{data: head, at: 2}
	if head[1] == '7' {
		word, err := p.token()
		return err == nil && slices.Contains([]string{"WIDTH", "HEIGHT", "DEPTH", "MAXVAL", "TUPLTYPE"}, word)
	}
	_, err := p.number()
	return err == nil
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func openPNM(data []byte) (picture, error) {
	p := &pnmFile{data: data, at: 2, kind: data[1], channels: 1, most: 1}
	var err error
	if p.kind == '7' {
		err = p.pamHeader()
	} else {
		fields := []*int{&p.w, &p.h}
		if p.kind != '1' && p.kind != '4' {
			fields = append(fields, &p.most)
		}
		if p.kind == '3' || p.kind == '6' {
			p.channels = 3
		}
		for _, f := range fields {
			if *f, err = p.number(); err != nil {
				return picture{}, err
			}
		}
		p.at++ // one white space
	}
	if err != nil {
		return picture{}, err
	}
	if p.most < 1 || p.most > 1<<16-1 {
		return picture{}, fault.At(int64(p.at), "white is %d", p.most)
	}
	return picture{w: p.w, h: p.h, extra: 8 * int64(p.w), decode: p.decode}, nil
}

// token returns the next word of the header, over white space and comments.
func (p *pnmFile) token() (string, error) {
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case isSpace(c):
			p.at++
		case c == '#':
			n := bytes.IndexAny(p.data[p.at:], "\r\n")
			if n < 0 {
				return "", io.ErrUnexpectedEOF
			}
			p.at += n
		default:
			rest := p.data[p.at:]
			n := bytes.IndexAny(rest[:min(len(rest), 32)], " \t\r\n\v\f#")
			if n < 0 {
				return "", fault.At(int64(p.at), "a header that isn't one")
			}
			p.at += n
			return string(rest[:n]), nil
		}
	}
	return "", io.ErrUnexpectedEOF
}

func (p *pnmFile) number() (int, error) {
	at := p.at
	s, err := p.token()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fault.At(int64(at), "want a number in place of %q", s)
	}
	return int(n), nil
}

// pamHeader reads a header of names and values.
func (p *pnmFile) pamHeader() error {
	for {
		at := p.at
		name, err := p.token()
		if err != nil {
			return err
		}
		switch name {
		case "WIDTH":
			p.w, err = p.number()
		case "HEIGHT":
			p.h, err = p.number()
		case "DEPTH":
			p.channels, err = p.number()
		case "MAXVAL":
			p.most, err = p.number()
		case "TUPLTYPE":
			_, err = p.token()
		case "ENDHDR":
			p.at++
			if p.channels < 1 || p.channels > 4 {
				return fault.Unsupportedf("%d channels", p.channels)
			}
			return nil
		default:
			return fault.At(int64(at), "header with %q", name)
		}
		if err != nil {
			return err
		}
	}
}

func (p *pnmFile) decode(ctx context.Context, c *canvas) error {
	defer func() { c.clipped = p.clipped }()
	row := make([]int, p.w*p.channels)
	colour := 0 // how far green is from red
	if p.channels >= 3 {
		colour = 1
	}
	for y := range p.h {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.readRow(row); err != nil {
			return err
		}
		dst := c.row(y)
		for x := range p.w {
			s := row[x*p.channels:]
			put(dst, x, p.level(s[0]), p.level(s[colour]), p.level(s[2*colour]))
		}
		c.done(y)
	}
	return nil
}

// readRow reads the samples of a row.
func (p *pnmFile) readRow(row []int) error {
	if p.kind <= '3' {
		for i := range row {
			var err error
			if row[i], err = p.plain(); err != nil {
				return err
			}
		}
		return nil
	}
	rest := p.data[min(p.at, len(p.data)):]
	n, wide := len(row), p.most > 255
	switch {
	case p.kind == '4':
		n = (n + 7) / 8
	case wide:
		n *= 2
	}
	if len(rest) < n {
		return io.ErrUnexpectedEOF
	}
	p.at += n
	for i := range row {
		switch {
		case p.kind == '4':
			row[i] = 1 - sampleAt(rest, i, 1) // 1 is black
		case wide:
			row[i] = int(rest[2*i])<<8 | int(rest[2*i+1])
		default:
			row[i] = int(rest[i])
		}
	}
	return nil
}

// plain reads a sample that is written as text. Bits need no space between.
func (p *pnmFile) plain() (int, error) {
	for p.at < len(p.data) && (isSpace(p.data[p.at]) || p.data[p.at] == '#') {
		if p.data[p.at] == '#' {
			n := bytes.IndexAny(p.data[p.at:], "\r\n")
			if n < 0 {
				break
			}
			p.at += n
		}
		p.at++
	}
	rest := p.data[min(p.at, len(p.data)):]
	n := 0
	for n < len(rest) && n < 6 && rest[n] >= '0' && rest[n] <= '9' && (p.kind != '1' || n == 0) {
		n++
	}
	if n == 0 && len(rest) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	v, err := strconv.Atoi(string(rest[:n]))
	if err != nil || v > p.most {
		return 0, fault.At(int64(p.at), "no number up to %d", p.most)
	}
	p.at += n
	if p.kind == '1' {
		v = 1 - v // 1 is black
	}
	return v, nil
}

// level scales a sample to 8 bits as Pillow does: rounded, but grey of more than 8
// bits goes to 16 and is clipped at 255, see [clip16].
func (p *pnmFile) level(v int) byte {
	most := 255.0
	if p.channels < 3 && p.most > 255 {
		most = 1<<16 - 1
	}
	level := math.RoundToEven(float64(v) / float64(p.most) * most)
	p.clipped = p.clipped || level > 255
	return byte(min(level, 255))
}
