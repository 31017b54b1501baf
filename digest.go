package mobilenet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
)

// Digest is the SHA-256 of a model's file, in hexadecimal, as sha256sum prints it: what
// is kept with results to tell which model they are of. name is what [Open] takes;
// published weights are downloaded first if they are not on this machine. Of a model in
// several files, or of one network of several in a file, it is that of the list of
// their digests and names.
func Digest(ctx context.Context, name string, opts ...Option) (string, error) {
	s, err := resolve(name, collect(opts))
	if err != nil {
		return "", err
	}
	if s.fetch != nil {
		if err := s.fetch(ctx); err != nil {
			return "", err
		}
	}
	digest, err := s.digest()
	return digest, fault.In(s.name, err)
}

func (s source) digest() (string, error) {
	if s.data != nil {
		return sha256Of(bytes.NewReader(s.data))
	}
	f, size, err := openAt(s.fsys, s.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	own, err := sha256Of(io.NewSectionReader(f, 0, size))
	if err != nil {
		return "", err
	}
	head := make([]byte, min(foreign.Head, size))
	if _, err := f.ReadAt(head, 0); err != nil {
		return "", err
	}
	format, err := formatOf(s.file, head)
	if err != nil {
		return "", err
	}
	var others []string
	if format.others != nil {
		if others, err = format.others(f, size); err != nil {
			return "", err
		}
	}
	if len(others) == 0 && s.part == "" {
		return own, nil
	}
	list := fmt.Sprintf("%s #%s\n", own, s.part)
	for _, name := range others {
		digest, err := sha256OfFile(s.fsys, path.Join(path.Dir(s.file), name))
		if err != nil {
			return "", err
		}
		list += fmt.Sprintf("%s %s\n", digest, name)
	}
	return sha256Of(bytes.NewReader([]byte(list)))
}

func sha256OfFile(fsys fs.FS, name string) (string, error) {
	f, size, err := openAt(fsys, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sha256Of(io.NewSectionReader(f, 0, size))
}

func sha256Of(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
