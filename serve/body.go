package serve

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// A slowReader reads what a client sends, which has to come at some rate, and ends when
// others need the room.
type slowReader struct {
	*share
	r        io.Reader
	control  *http.ResponseController
	began    time.Time
	deadline time.Time
	size     int64 // of what came since then
	length   int64 // of all, -1 if it isn't known
	counts   bool  // takes room for the bytes as they come, and as many for what is made of them
}

// slow returns a reader of the request's body, whose share the request has until its end.
func (s *Server) slow(q *request) (*slowReader, error) {
	q.free() // it has one
	c := http.NewResponseController(q.w)
	past := time.Unix(1, 0)
	share, err := s.bodies.enter(func() { _, _ = c.SetReadDeadline(past), c.SetWriteDeadline(past) })
	if err != nil {
		return nil, err
	}
	r := &slowReader{share: share, r: q.Body, control: c, length: q.ContentLength}
	q.slow = r
	r.begin()
	_ = c.SetWriteDeadline(time.Time{}) // the server's is from the request's first byte; see answering
	return r, nil
}

// answering begins the wait for the client to take an answer of n bytes, for which
// there has to be room in place of the request's.
func (q *request) answering(n int) error {
	if q.slow != nil {
		q.slow.give()
		if err := q.slow.take(int64(n)); err != nil {
			return err
		}
		q.slow.await(int64(n))
	}
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(ioLimit(int64(n))))
	return nil
}

// free gives back what a request holds in memory. It is called at the end of every request, by
// what calls the routes: none of them has to think of it.
func (q *request) free() {
	if q.slow != nil {
		q.slow.release()
		q.slow = nil
	}
}

// begin gives the client its time for a body, or for a message of a stream.
func (r *slowReader) begin() {
	r.began, r.size = time.Now(), 0
	r.allow(r.began.Add(ioLimit(0)))
}

// allow gives the client until t, the zero time for ever.
func (r *slowReader) allow(t time.Time) (lost error) {
	r.deadline = t
	return r.extend(func() { _ = r.control.SetReadDeadline(t) })
}

func (r *slowReader) Read(p []byte) (int, error) {
	r.waits()
	n, err := r.r.Read(p)
	r.received(n)
	r.size += int64(n)
	// Seldom, as it is a system call, or over HTTP/2 a message to another goroutine.
	if t := r.began.Add(ioLimit(r.size)); t.Sub(r.deadline) > time.Second || err != nil && err != io.EOF {
		if lost := r.allow(t); lost != nil {
			return n, r.told(lost)
		}
	}
	if err != nil && leaves(err) {
		return n, r.told(&gone{r.size, r.length})
	}
	if r.counts && n > 0 {
		if err := r.take(2 * int64(n)); err != nil {
			return 0, r.told(err)
		}
	}
	return n, err
}

// told is what ends a request for lack of room as its reader takes it: connect gives what isn't
// its own the code UNKNOWN, with which no client comes again.
func (r *slowReader) told(err error) error {
	if r.counts {
		return grpcError(err)
	}
	return err
}

// A body is the bytes of a request.
type body struct {
	*slowReader
	data []byte
}

// body reads a request's body, unpacked. A request that can't be answered in time is
// refused before anything is read.
func (s *Server) body(q *request) (*body, error) {
	if err := s.scheduler.refuse(1, q.deadline); err != nil {
		return nil, err
	}
	if q.ContentLength > s.o.MaxBody {
		return nil, &http.MaxBytesError{Limit: s.o.MaxBody}
	}
	slow, err := s.slow(q)
	if err != nil {
		return nil, err
	}
	defer func() { q.reading = time.Since(q.began) }()
	b := &body{slowReader: slow}
	if err := b.readAll(q, s.o.MaxBody); err != nil {
		return nil, err
	}
	q.deadline = time.Now().Add(s.o.Deadline) // the network's time is not the server's
	if q.deadline.After(b.deadline) {
		b.allow(time.Time{}) // net/http takes the end of a client's time for the client's end
	}
	return b, nil
}

// readAll reads up to limit bytes.
func (b *body) readAll(q *request, limit int64) error {
	plain := http.MaxBytesReader(q.w, io.NopCloser(b), limit)
	r, err := unpack(plain, q.Header.Get("Content-Encoding"))
	if err != nil {
		return err
	}
	length := q.ContentLength
	if r != io.Reader(plain) {
		length = -1 // of what is packed
	}
	b.data, err = readUpTo(r, limit, length, b.share)
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, gzip.ErrHeader):
		return badRequest("Content-Encoding gzip: other bytes are behind its end")
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zlib.ErrChecksum):
		return badRequest("Content-Encoding " + q.Header.Get("Content-Encoding") + ": what is packed is broken")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("Content-Encoding " + q.Header.Get("Content-Encoding") + ": the body ends early, or other bytes are behind its end")
	case err != nil:
		return err
	}
	return b.settle()
}

// readUpTo reads all of r, at most limit bytes, with room taken for them as they come. The
// claimed length, -1 for none, is believed when a megabyte has come.
func readUpTo(r io.Reader, limit, claimed int64, room *share) ([]byte, error) {
	const first, second = 64 << 10, 1 << 20
	size := int64(first)
	if claimed >= 0 {
		claimed = min(claimed, limit)
		size = min(size, claimed+1) // and one for the end
	}
	if err := room.take(size); err != nil {
		return nil, err
	}
	data := make([]byte, 0, size)
	for {
		if len(data) == cap(data) {
			old := int64(cap(data))
			more := min(old, limit+1-old) // a bomb takes no more than the limit
			if claimed >= old {
				more = claimed + 1 - old
				if old < second {
					more = min(claimed+1, second) - old
				}
			}
			if err := room.take(more + old); err != nil { // both are there
				return nil, err
			}
			data = append(make([]byte, 0, old+more), data...)
			room.back(old)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, &http.MaxBytesError{Limit: limit}
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}

// unpack undoes a Content-Encoding.
func unpack(r io.Reader, encoding string) (io.Reader, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
		return r, nil
	case "gzip":
		z, err := gzip.NewReader(r)
		if errors.Is(err, gzip.ErrHeader) || err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, badRequest("Content-Encoding: gzip, and the body isn't")
		}
		return z, err
	case "deflate": // zlib's format by RFC 9110; some clients send it bare
		br := bufio.NewReader(r)
		if head, err := br.Peek(2); err == nil && head[0]&15 == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			return zlib.NewReader(br)
		}
		return flate.NewReader(br), nil
	}
	return nil, &failure{http.StatusUnsupportedMediaType, "Content-Encoding: want gzip, deflate or none"}
}
