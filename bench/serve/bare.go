//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A library answers photos by calls of the library, on all cores.
type library struct{ c *mobilenet.Classifier }

// ask is what a request asks for, as a call.
func (l library) ask(photo []byte) (call, error) {
	ctx, start := context.Background(), time.Now()
	p, err := l.c.PrepareData(ctx, photo, vision.DecodeOptions{})
	if err != nil {
		return call{}, err
	}
	decoded := time.Now()
	out, err := l.c.Infer(ctx, []*mobilenet.Prepared{p}, mobilenet.Wanted{Logits: true})
	if err != nil {
		return call{}, err
	}
	inferred := time.Now()
	_, err = l.c.Best(out.Logits, 5)
	return call{total: time.Since(start), decode: decoded.Sub(start), infer: inferred.Sub(decoded)}, err
}

// serveBare answers requests at addr as the least server would: the goroutine that reads a
// photo calls the library, and writes. There is no queue, no limit, no log, and no
// net/http. What a client waits for it over the call is what two processes and a socket
// between them cost on this machine.
func serveBare(addr, weights string) error {
	c, err := mobilenet.Open(context.Background(), weights)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		f, err := blocking(conn)
		if err != nil {
			return err
		}
		go answerBare(f, library{c})
	}
}

// serveLeast answers requests at addr as the least server with net/http would.
func serveLeast(addr, weights string) error {
	c, err := mobilenet.Open(context.Background(), weights)
	if err != nil {
		return err
	}
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if body, err := (library{c}).answer(q); err == nil {
			io.WriteString(w, body)
		}
	}))
}

// answer answers a request with a photo.
func (l library) answer(q *http.Request) (string, error) {
	photo := make([]byte, q.ContentLength)
	if _, err := io.ReadFull(q.Body, photo); err != nil {
		return "", err
	}
	t, err := l.ask(photo)
	return fmt.Sprintf(`{"timing_ms":{"decode":%g,"infer":%g}}`, ms(t.decode), ms(t.infer)), err
}

// answerBare answers the requests of a connection until it ends.
func answerBare(f *os.File, l library) {
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := l.answer(q)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(f, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return
		}
	}
}

// blocking makes of a connection a file whose reads and writes block their thread: nobody
// has to be woken but that.
func blocking(c net.Conn) (*os.File, error) {
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err == nil {
		f.Fd() // which has it block
	}
	return f, err
}
