package serve

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A gate bounds the bytes of all bodies that are in memory together.
type gate struct {
	limit int64
	used  atomic.Int64
}

// enter takes n bytes if there is room.
func (g *gate) enter(n int64) bool {
	if g.used.Add(n) > g.limit {
		g.used.Add(-n)
		return false
	}
	return true
}

// A body is the bytes of a request.
type body struct {
	data []byte
	held int64
	gate *gate
}

// release gives the body's room back.
func (b *body) release() {
	b.gate.used.Add(-b.held)
	b.held = 0
}

// body reads a request's body, unpacked. A request that can't be answered in time is
// refused before anything is read. The caller releases the body.
func (s *Server) body(q *request) (*body, error) {
	if err := s.scheduler.refuse(1, q.deadline); err != nil {
		return nil, err
	}
	if q.ContentLength > s.o.MaxBody {
		return nil, &http.MaxBytesError{Limit: s.o.MaxBody}
	}
	// A client that sends slowly holds nobody up but itself, and that not for ever.
	_ = http.NewResponseController(q.w).SetReadDeadline(time.Now().Add(readTimeout))
	packed := http.MaxBytesReader(q.w, q.Body, s.o.MaxBody)
	plain, err := unpack(packed, q.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	b := &body{gate: &s.bodies}
	if err := b.read(plain, s.o.MaxBody, q.ContentLength); err != nil {
		b.release()
		return nil, err
	}
	q.deadline = time.Now().Add(s.o.Deadline) // the network's time is not the server's
	return b, nil
}

// read reads up to limit bytes. Room is taken as they come, so that a length that is
// only claimed costs nothing.
func (b *body) read(r io.Reader, limit, claimed int64) error {
	const first = 64 << 10
	size := int64(first)
	if claimed > 0 {
		size = min(claimed+1, 1<<20)
	}
	if !b.gate.enter(size) {
		return b.full()
	}
	b.held = size
	buf := bytes.NewBuffer(make([]byte, 0, size))
	for {
		if buf.Available() == 0 {
			more := int64(buf.Cap())
			if !b.gate.enter(more) {
				return b.full()
			}
			b.held += more
			buf.Grow(int(more))
		}
		n, err := r.Read(buf.AvailableBuffer()[:buf.Available()])
		buf.Write(buf.AvailableBuffer()[:n])
		switch {
		case int64(buf.Len()) > limit:
			return &http.MaxBytesError{Limit: limit}
		case err == io.EOF:
			b.data = buf.Bytes()
			return nil
		case err != nil:
			return err
		}
	}
}

func (b *body) full() error {
	return &refusal{"bodies", "too many bytes of other requests are in memory", time.Second}
}

// unpack undoes a Content-Encoding.
func unpack(r io.Reader, encoding string) (io.Reader, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
		return r, nil
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, badRequest("Content-Encoding: gzip, and the body isn't: " + err.Error())
		}
		return z, nil
	case "deflate": // zlib's format by RFC 9110; some clients send it bare
		br := bufio.NewReader(r)
		if head, err := br.Peek(2); err == nil && head[0]&15 == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			return zlib.NewReader(br)
		}
		return flate.NewReader(br), nil
	}
	return nil, &failure{http.StatusUnsupportedMediaType, "Content-Encoding: want gzip, deflate or none"}
}
