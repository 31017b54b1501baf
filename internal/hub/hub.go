// Package hub fetches published weights by name and keeps them in a cache
// folder.
//
// A file is in the cache under its final name only after its SHA-256 has been
// checked. Until then it is FILE.part, which a later [Client.Pull] continues,
// beside FILE.part.if-range, which says what version of the file it is part of.
// FILE.lock is locked while a process downloads; others wait for it.
//
// The published hashes are 8 hex digits. They find damage, wrong files and
// wrong mirrors. Against an attacker it is the server's certificate that
// protects.
package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// publisher is where torchvision's weights are published.
const publisher = "https://download.pytorch.org/models/"

// A Client fetches weights into a cache folder. It may be used concurrently,
// also by several processes with the same folder.
type Client struct {
	Dir     string // the cache folder; Pull makes it
	Mirror  string // base URL to download from; empty for the publisher's
	Offline bool   // use what is in the cache only

	// Progress, if not nil, is told how many bytes of the named weights are
	// there, and how many there will be (0 while that is unknown). It is called
	// by the goroutine that called Pull.
	Progress func(name string, done, total int64)

	// StallTimeout is how long a server may send nothing, 0 for 30 s.
	// RetryDelay is the pause after the first cut connection, 0 for 500 ms; it
	// doubles with every further one.
	StallTimeout, RetryDelay time.Duration
}

// FromEnv returns a client for the folder in MOBILENET_CACHE, by default
// "mobilenet" in the user's cache folder, and the base URL in MOBILENET_MIRROR,
// by default the publisher's.
func FromEnv() (Client, error) {
	dir := os.Getenv("MOBILENET_CACHE")
	if dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			return Client{}, fmt.Errorf("no user cache folder: %w; set MOBILENET_CACHE", err)
		}
		dir = filepath.Join(caches, "mobilenet")
	}
	// Absolute, because error messages tell people to put files there.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Client{}, fmt.Errorf("MOBILENET_CACHE: %w", err)
	}
	mirror := os.Getenv("MOBILENET_MIRROR")
	if mirror != "" {
		u, err := url.Parse(mirror)
		if err != nil {
			// A *url.Error, less the URL: it may hold a password.
			return Client{}, fmt.Errorf("MOBILENET_MIRROR: %w", errors.Unwrap(err))
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return Client{}, fmt.Errorf("MOBILENET_MIRROR: %q is not an http or https URL", u.Redacted())
		}
	}
	return Client{Dir: dir, Mirror: mirror}, nil
}

// Path returns where the file of w lies in the cache, or would lie. The file
// may be absent or wrong: [Client.Pull] returns a path that can be opened.
func (c Client) Path(w Weights) string { return filepath.Join(c.Dir, w.File) }

// URL returns where w is downloaded from.
func (c Client) URL(w Weights) string {
	base := c.Mirror
	if base == "" {
		base = publisher
	}
	return strings.TrimSuffix(base, "/") + "/" + w.File
}

// Pull returns the path of w's verified file, downloading it first if the cache
// has none or a wrong one. A download that is cut is continued, a few times at
// once and later by another Pull; canceling ctx leaves it to that.
//
// If there is no server that has the file, the error is a *[PullError], which
// tells how to do without; if the server's file is a wrong one, a *[HashError].
//
// A file in the cache is hashed each time, which takes 10 ms with the SHA
// instructions of today's CPUs: people are told to put files there by hand, and
// no record of earlier checks can then be wrong.
func (c Client) Pull(ctx context.Context, w Weights) (string, error) {
	path := c.Path(w)
	err := check(path, w)
	var wrong *HashError
	switch {
	case err == nil:
		return path, nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &wrong):
		return "", cacheError(err)
	case c.Offline:
		return "", c.pullError(w, fmt.Errorf("offline, and %w", err))
	}
	err = c.download(ctx, w)
	switch {
	case err == nil:
		return path, nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("weights %s: %w", w.Name, ctx.Err())
	case errors.As(err, &wrong):
		return "", fmt.Errorf("weights %s: %w", w.Name, err)
	case errors.As(err, new(*fs.PathError)) || errors.As(err, new(*os.LinkError)):
		return "", cacheError(err) // what is wrong is here and not with the server
	}
	return "", c.pullError(w, err)
}

// Verify reads w's file in the cache and checks its hash. The error is a
// *[HashError], or that of opening or reading the file.
func (c Client) Verify(w Weights) error { return check(c.Path(w), w) }

// A State is what the cache holds of some weights.
type State struct {
	Cached   bool  // there is a file at Client.Path
	Verified bool  // and it can be read and has the right hash
	Bytes    int64 // its size
	Partial  int64 // size of a download that has begun
}

// State reads and hashes what the cache holds of w.
func (c Client) State(w Weights) State {
	var s State
	if info, err := os.Stat(c.Path(w)); err == nil {
		s = State{Cached: true, Verified: c.Verify(w) == nil, Bytes: info.Size()}
	}
	if info, err := os.Stat(c.Path(w) + ".part"); err == nil {
		s.Partial = info.Size()
	}
	return s
}

// A PullError says why weights could not be fetched, and how they can be put
// into the cache by hand.
type PullError struct {
	Name string // of the weights
	URL  string // where they are, without a password
	Path string // where they belong
	Err  error
}

func (e *PullError) Error() string {
	return fmt.Sprintf("weights %s: %v; to do it by hand, save %s as %s and run: mobilenet weights verify %s", e.Name, e.Err, e.URL, e.Path, e.Name)
}

// Unwrap returns the cause.
func (e *PullError) Unwrap() error { return e.Err }

func (c Client) pullError(w Weights, err error) error {
	return &PullError{Name: w.Name, URL: redacted(c.URL(w)), Path: c.Path(w), Err: err}
}

// A HashError says that a file is not the one that was asked for.
type HashError struct {
	File  string // path or URL
	Want  string // first hex digits of the SHA-256
	Got   string // all of them
	Bytes int64  // size of the file
}

func (e *HashError) Error() string {
	return fmt.Sprintf("%s: wrong content: sha256 %s..., expected %s... (%d bytes)", e.File, e.Got[:len(e.Want)], e.Want, e.Bytes)
}

// redacted returns the URL without its password, if it has one.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}

// cacheError adds to a failure of the file system what can be done about it.
func cacheError(err error) error {
	return fmt.Errorf("weights cache: %w (MOBILENET_CACHE can name another folder)", err)
}

// check returns nil if the file at path is w's.
func check(path string, w Weights) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	got := hex.EncodeToString(h.Sum(nil))
	if !strings.HasPrefix(got, w.SHA256) {
		return &HashError{File: path, Want: w.SHA256, Got: got, Bytes: n}
	}
	return nil
}
