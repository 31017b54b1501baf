// Package store reads photos from where millions of them lie: files, buckets of S3,
// Google and Azure, web servers, and the members of tar shards in any of these.
//
// What fails is told apart, because it decides what a job does about it. A photo that
// is not there, or is refused, stays that way, and so does a host that no name server
// knows: it is an error of that photo. A bucket or a web server that can't be reached is an
// [Unreachable], whatever others answer: the same task may well succeed later, or on another
// machine.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
)

// Options say how stores are reached.
type Options struct {
	// S3, GS and Azure are queries of gocloud.dev's URLs of buckets, such as
	// "endpoint=http://127.0.0.1:9000&use_path_style=true&region=us-east-1".
	S3, GS, Azure string

	Tries int           // at one object; 0 means 6
	Wait  time.Duration // before the second try, and twice as long before each other; 0 means 200 ms
	Stall time.Duration // without a byte, after which a try has failed; 0 means 30 s

	// GiveUp makes it an error of its photos that a server can't be reached, and no
	// Unreachable.
	GiveUp bool
}

// A Store reads objects. It is safe for concurrent use.
type Store struct {
	o    Options
	http *http.Client

	mu      sync.Mutex
	buckets map[string]*opened // by place
	places  map[string]*place
}

// An opened bucket is opened once.
type opened struct {
	once   sync.Once
	bucket *blob.Bucket
	err    error
}

// New returns a store. Buckets are opened when they are first read.
func New(o Options) *Store {
	if o.Tries < 1 {
		o.Tries = 6
	}
	if o.Wait == 0 {
		o.Wait = 200 * time.Millisecond
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // not 2: there are more connections than that at work
	client := &http.Client{Transport: transport, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errRedirects
		}
		return nil
	}}
	return &Store{o: o, http: client, buckets: map[string]*opened{}, places: map[string]*place{}}
}

// Close closes the buckets.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, b := range s.buckets {
		if b.bucket != nil {
			errs = append(errs, b.bucket.Close())
		}
	}
	return errors.Join(errs...)
}

// An Unreachable is about a server that nothing can be read from now. Another try, later
// or elsewhere, may succeed.
type Unreachable struct {
	Place string // scheme and bucket, or scheme and host
	Err   error
}

func (e *Unreachable) Error() string { return e.Place + " can't be read from: " + e.Err.Error() }
func (e *Unreachable) Unwrap() error { return e.Err }

// A location is an object's name taken apart.
type location struct {
	scheme string // file, http, https, s3, gs, azblob
	place  string // scheme and bucket, or scheme and host: what is reached or not as a whole
	bucket string
	key    string // of the object; the path of a file; the whole URL of a web server
}

// locate takes a name apart. A name without a scheme is a file's path. Keys of buckets are
// taken literally, as the stores' own tools do: %20 in s3://bucket/a%20b is three
// characters. In a file: URL it is a space.
func locate(name string) (location, error) {
	scheme, rest, ok := strings.Cut(name, ":")
	if !ok || len(scheme) < 2 || strings.ContainsAny(scheme, `/\ `) { // C:\photos is a path
		return location{scheme: "file", place: "file:", key: name}, nil
	}
	switch strings.ToLower(scheme) {
	case "file":
		path := rest
		if strings.HasPrefix(rest, "//") {
			_, path, _ = strings.Cut(rest[2:], "/")
			path = "/" + path
		}
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
		return location{scheme: "file", place: "file:", key: path}, nil
	case "http", "https":
		u, err := url.Parse(name)
		if err != nil || u.Host == "" {
			return location{}, errors.New("not a URL")
		}
		return location{scheme: u.Scheme, place: u.Scheme + "://" + strings.ToLower(u.Host), key: name}, nil
	case "s3", "s3a", "s3n":
		return inBucket("s3", rest)
	case "gs", "azblob":
		return inBucket(strings.ToLower(scheme), rest)
	}
	return location{}, fmt.Errorf("%s: is not read from here: want file, s3, gs, azblob, https or http: %w", scheme, errors.ErrUnsupported)
}

func inBucket(scheme, rest string) (location, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	if bucket == "" || !strings.HasPrefix(rest, "//") || strings.ContainsAny(bucket, "?#@ ") {
		return location{}, fmt.Errorf("want %s://BUCKET/KEY", scheme)
	}
	return location{scheme: scheme, place: scheme + "://" + bucket, bucket: bucket, key: key}, nil
}

// open opens part of an object: length bytes from offset on, all of the rest if length
// is negative. size is what the reader will give, -1 if nobody knows.
func (s *Store) open(ctx context.Context, at location, offset, length int64) (r io.ReadCloser, size int64, err error) {
	switch at.scheme {
	case "file":
		return openFile(at.key, offset, length)
	case "http", "https":
		return s.openURL(ctx, at.key, offset, length)
	}
	return s.openObject(ctx, at, offset, length)
}

// Remove removes an object.
func (s *Store) Remove(ctx context.Context, name string) error {
	at, err := locate(name)
	if err != nil || at.bucket == "" {
		return fmt.Errorf("only from buckets can it be removed: %w", errors.ErrUnsupported)
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Stall)
	defer cancel()
	bucket, err := s.bucketOf(ctx, at)
	if err != nil {
		return err
	}
	return bucket.Delete(ctx, at.key)
}

// A place is what is known of a bucket, or of a web server.
type place struct {
	mu   sync.Mutex
	good location // was read last
	when time.Time

	asked, absent bool // whether the bucket exists, which is asked once
}

func (p *place) succeeded(at location) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good, p.when = at, time.Now()
}

func (s *Store) placeOf(at location) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[at.place]
	if p == nil {
		p = &place{}
		s.places[at.place] = p
	}
	return p
}

// fresh is for how long a place is well after something was read from it.
const fresh = 5 * time.Second

// well reports whether other objects of a place can be read now. Then the trouble with
// this one is its own.
func (s *Store) well(ctx context.Context, at location) bool {
	p := s.placeOf(at)
	p.mu.Lock()
	good, when := p.good, p.when
	p.mu.Unlock()
	switch {
	case time.Since(when) < fresh && good != at:
		return true
	case good == at || good.key == "": // nothing was read, or only listed
		return false
	}
	return s.once(ctx, func(ctx context.Context, w *watch) error {
		r, _, err := s.open(ctx, good, 0, 1)
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err = io.Copy(io.Discard, io.LimitReader(r, 1)); err == nil {
			p.succeeded(good)
		}
		return err
	}) == nil
}

// whichIsNotThere tells a bucket that doesn't exist, of which nothing can be read, from an
// object. Only a list of the bucket does, which may be forbidden: then it is the object.
func (s *Store) whichIsNotThere(ctx context.Context, at location, err error) error {
	p := s.placeOf(at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked && p.good == (location{}) {
		bucket, e := s.bucketOf(ctx, at)
		if e != nil {
			return e
		}
		_, _, e = bucket.ListPage(onceOnly(ctx), blob.FirstPageToken, 1, nil)
		p.absent, p.asked = notThere(e), ctx.Err() == nil
	}
	if p.absent {
		return &Unreachable{Place: at.place, Err: errNoBucket}
	}
	return err
}

var errNoBucket = errors.New("there is no such bucket")

func isUnreachable(err error) bool {
	_, ok := errors.AsType[*Unreachable](err)
	return ok
}

// maxWait bounds the time between two tries.
const maxWait = 20 * time.Second

// attempt calls f until it succeeds, fails for good, or has failed too often.
func (s *Store) attempt(ctx context.Context, at location, f func(context.Context, *watch) error) error {
	wait := s.o.Wait
	for try := 1; ; try++ {
		err := s.once(ctx, f)
		last := try == s.o.Tries
		if notThere(err) {
			err = s.whichIsNotThere(ctx, at, err)
		}
		switch {
		case err == nil:
			s.placeOf(at).succeeded(at)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case isUnreachable(err) && s.o.GiveUp:
			return errors.Unwrap(err)
		case isUnreachable(err), lasting(err), (denied(err) || last) && s.well(ctx, at):
			return err
		case last && s.o.GiveUp:
			return err
		case last:
			return cmp.Or(ctx.Err(), error(&Unreachable{Place: at.place, Err: err}))
		}
		// Half as much again at random, so that many workers don't ask at the same time.
		select {
		case <-time.After(wait + rand.N(wait/2+1)):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, maxWait)
	}
}

// A watch ends a try in which nothing arrives.
type watch struct {
	timer *time.Timer
	stall time.Duration
}

func (w *watch) alive() { w.timer.Reset(w.stall) }

// pause stops the watch until something arrives: who waits for room is not stalled.
func (w *watch) pause() { w.timer.Stop() }

var errStalled = errors.New("nothing arrived for too long")

func (s *Store) once(ctx context.Context, f func(context.Context, *watch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watch{time.AfterFunc(s.o.Stall, func() { cancel(errStalled) }), s.o.Stall}
	defer w.pause()
	err := f(ctx, w)
	if err != nil && context.Cause(ctx) == errStalled {
		return errStalled
	}
	return err
}
