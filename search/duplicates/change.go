package duplicates

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Change is one thing to do about a photo that need not be kept. Nothing is deleted:
// a photo is moved, or the file of another of the same bytes gets its name, too.
type Change struct {
	Op       string // "move" or "link"
	Path     string // of the photo
	To       string // where it goes; of a link: the file that the name is to be of
	Keep     string // the photo that is kept
	Bytes    int64
	Modified time.Time
	Mode     fs.FileMode // for undoing a link

	keptBytes    int64
	keptModified time.Time
}

const (
	opMove = "move"
	opLink = "link"
)

// Moves lists the moves into dir of all photos that are like the one that is kept.
// Each keeps its path below the folder of roots that it was found in; where there are
// several, the folder's name comes before that. Where a name is taken, "~2" and so on
// is added to it. left counts the photos that stay: [Chained] ones, those whose files
// are not there, and other names of the file that is kept.
func (r *Report) Moves(dir string, roots []string) (moves []Change, left int) {
	taken := map[string]bool{}
	for _, g := range r.Groups {
		kept := &g.Members[g.Keep]
		for i := range g.Members {
			m := &g.Members[i]
			if i == g.Keep {
				continue
			}
			if m.absent || kept.absent || m.How == Chained || sameFile(m.Path, kept.Path) {
				left++
				continue
			}
			c := change(opMove, &m.Photo, &kept.Photo)
			c.To = free(filepath.Join(dir, below(m.Path, roots)), taken)
			moves = append(moves, c)
		}
	}
	return moves, left
}

// sameFile reports whether two paths lead to one file: taking away one of them could
// take away the only copy, which the other is a symbolic link to.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// Hardlinks lists the photos that can share a file with another of the same bytes: the
// one that is kept of their group, if it has them, or else the first. left counts the
// photos that are alike without having the same bytes, which a link would lose.
func (r *Report) Hardlinks() (links []Change, left int) {
	for _, g := range r.Groups {
		file := map[int]*Member{g.Members[g.Keep].content: &g.Members[g.Keep]}
		for i := range g.Members {
			m := &g.Members[i]
			switch to := file[m.content]; {
			case i == g.Keep:
			case m.absent:
				left++
			case to == nil:
				file[m.content] = m
				left++
			default:
				c := change(opLink, &m.Photo, &to.Photo)
				c.To = to.Path
				links = append(links, c)
			}
		}
	}
	return links, left
}

func change(op string, p, kept *Photo) Change {
	return Change{Op: op, Path: p.Path, Keep: kept.Path, Bytes: p.Bytes, Modified: p.Modified, keptBytes: kept.Bytes, keptModified: kept.Modified}
}

// below is path below the first of roots that it is in, or its last element.
func below(path string, roots []string) string {
	for _, root := range roots {
		rel, err := filepath.Rel(root, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if len(roots) > 1 {
			if abs, err := filepath.Abs(root); err == nil {
				return filepath.Join(filepath.Base(abs), rel)
			}
		}
		return rel
	}
	return filepath.Base(path)
}

// free returns path, or one like it that neither is there nor is taken, and takes it.
func free(path string, taken map[string]bool) string {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	for n := 2; taken[path] || exists(path); n++ {
		path = fmt.Sprintf("%s~%d%s", stem, n, ext)
	}
	taken[path] = true
	return path
}

// exists says whether a name is taken. Where that can't be told, because a file stands in
// the way or a name is too long, it is not: the move, which overwrites nothing, says why.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Do makes changes, one after the other, each as a whole or not at all, and never
// overwrites a file of other bytes. What is about to be done is written to log first:
// see [Undo]. A photo that changed since it was compared stays, and so does one whose
// keeper changed. done is called after each change.
func Do(ctx context.Context, changes []Change, log io.Writer, done func(Change, error)) error {
	for _, c := range changes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := c.check()
		if err == nil {
			if err := writeEntry(log, c); err != nil {
				return err
			}
			if c.Op == opMove {
				err = move(c.Path, c.To)
			} else {
				err = link(ctx, c.To, c.Path)
			}
		}
		done(c, err)
	}
	return nil
}

// check looks whether everything is as it was, and fills in what undoing needs.
func (c *Change) check() error {
	info, err := os.Lstat(c.Path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("a symbolic link: it stays")
	case info.Size() != c.Bytes || !info.ModTime().Equal(c.Modified):
		return errors.New("it changed since it was compared, and stays")
	}
	c.Mode = info.Mode().Perm()
	kept, err := os.Stat(c.Keep)
	if err == nil && (kept.Size() != c.keptBytes || !kept.ModTime().Equal(c.keptModified)) {
		err = errors.New("it changed")
	}
	if err == nil && c.Op == opMove && os.SameFile(info, kept) {
		err = errors.New("it is the same file")
	}
	if err != nil {
		return fmt.Errorf("it stays, because of the photo that is kept for it, %s: %w", c.Keep, err)
	}
	return nil
}

// move gives a file a new name, which must not be there.
func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	// A rename would overwrite what appears at that moment; a link never does.
	err := os.Link(from, to)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err = copyNew(from, to); err != nil { // another file system, or one without links
			return err
		}
	}
	if err := os.Remove(from); err != nil {
		os.Remove(to) // the first error says why
		return err
	}
	return nil
}

// copyNew copies a file with its mode and time to a name that is not there, where it
// appears when it is complete.
func copyNew(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	tmp, err := copyTemp(from, filepath.Dir(to), info.Mode().Perm(), info.ModTime())
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err = os.Link(tmp, to); err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if exists(to) {
		return &fs.PathError{Op: "move", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(tmp, to)
}

// copyTemp makes a copy of a file in dir, on the disk when it returns.
func copyTemp(from, dir string, mode fs.FileMode, modified time.Time) (name string, err error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.CreateTemp(dir, ".duplicate-*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	err = cmp.Or(err, dst.Sync(), dst.Chmod(mode))
	err = cmp.Or(err, dst.Close())
	if err == nil {
		err = os.Chtimes(dst.Name(), modified, modified)
	}
	if err != nil {
		os.Remove(dst.Name())
		return "", err
	}
	return dst.Name(), nil
}

// link makes path another name of file, which has the same bytes.
func link(ctx context.Context, file, path string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	equal, err := sameBytes(ctx, file, path)
	switch {
	case err != nil:
		return err
	case !equal:
		return fmt.Errorf("its bytes are not those of %s any more: it stays", file)
	}
	tmp, err := tempName(path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(file, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// tempName is a name beside path that is not there.
func tempName(path string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".duplicate-*")
	if err != nil {
		return "", err
	}
	return f.Name(), cmp.Or(f.Close(), os.Remove(f.Name()))
}

func sameBytes(ctx context.Context, a, b string) (bool, error) {
	f, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	x, y := make([]byte, 1<<18), make([]byte, 1<<18)
	for ctx.Err() == nil {
		n, err1 := io.ReadFull(f, x)
		m, err2 := io.ReadFull(g, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{err1, err2} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, err
			}
		}
		if err1 != nil {
			return true, nil
		}
	}
	return false, ctx.Err()
}

// ErrUndone is what done of [Undo] hears of a change that there is nothing left of.
var ErrUndone = errors.New("already taken back")

// Undo takes back the changes of a log, the last first. What is not as the log says is
// left as it is, and done hears why. It can be called again: what was taken back, or
// never done as the program was killed or another run had taken the photo, is [ErrUndone].
func Undo(ctx context.Context, log io.Reader, done func(Change, error)) error {
	changes, err := readLog(log)
	if err != nil {
		return err
	}
	var gone []Change // photos that are neither here nor there,
	var why []error   // and what was said of them
	for _, c := range slices.Backward(changes) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.Op == opLink {
			done(c, unlink(c))
			continue
		}
		err := moveBack(ctx, c)
		if errors.Is(err, fs.ErrNotExist) && !exists(c.Path) && !exists(c.To) {
			gone, why = append(gone, c), append(why, err)
			continue
		}
		done(c, err)
	}
	// One that another run moved at that moment is back by now, by an earlier line of their log.
	for i, c := range gone {
		if info, err := os.Lstat(c.Path); err == nil && info.Size() == c.Bytes && info.ModTime().Equal(c.Modified) {
			why[i] = ErrUndone
		}
		done(c, why[i])
	}
	return nil
}

func moveBack(ctx context.Context, c Change) error {
	from, err1 := os.Lstat(c.Path)
	to, err2 := os.Lstat(c.To)
	switch {
	case err1 == nil && err2 == nil && os.SameFile(from, to): // killed in between
		return os.Remove(c.To)
	case err1 == nil && err2 != nil: // never done, or undone
		return ErrUndone
	case err1 == nil && c.isCopy(ctx, to): // killed in between, on another file system
		return os.Remove(c.To)
	case err1 == nil:
		return &fs.PathError{Op: "move", Path: c.Path, Err: fs.ErrExist}
	case err2 != nil:
		return err2
	}
	return move(c.To, c.Path)
}

// isCopy reports whether c.To is the copy that a move makes where there can be no link:
// of the photo's time, and its bytes.
func (c *Change) isCopy(ctx context.Context, to fs.FileInfo) bool {
	if !to.Mode().IsRegular() || to.Size() != c.Bytes || !to.ModTime().Equal(c.Modified) {
		return false
	}
	equal, err := sameBytes(ctx, c.Path, c.To)
	return err == nil && equal
}

// unlink gives a name a file of its own again.
func unlink(c Change) error {
	path, err := os.Lstat(c.Path)
	if err != nil {
		return err
	}
	file, err := os.Stat(c.To)
	if err == nil && !os.SameFile(path, file) { // never done, or undone
		return ErrUndone
	}
	tmp, err := copyTemp(c.Path, filepath.Dir(c.Path), c.Mode, c.Modified)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, c.Path); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}
