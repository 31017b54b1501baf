package checkpoint

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
)

// Checkpoints are sent in archives, and people forget to unpack them. An archive with
// one checkpoint in it is read as that checkpoint.

// A wrapped file is one in an archive.
type wrapped struct {
	name string
	head []byte // its first bytes
	data func() ([]byte, error)
}

// isTar reports whether a file with these first bytes is a tar archive.
func isTar(head []byte) bool {
	const magic, at = "ustar", 257
	return len(head) > at && bytes.HasPrefix(head[at:], []byte(magic))
}

// maxWrapped is how many files of an archive are looked at.
const maxWrapped = 1000

// parseTar reads the checkpoint in a tar archive. Files in it are not copied.
func parseTar(data []byte) (*contents, error) {
	var files []wrapped
	rest := bytes.NewReader(data)
	r := tar.NewReader(rest)
	for len(files) < maxWrapped {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.At(int64(len(data)-rest.Len()), "tar archive: %.200v", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size > int64(rest.Len()) {
			continue
		}
		file := data[len(data)-rest.Len():][:h.Size]
		head := file[:min(foreign.Head, len(file))]
		files = append(files, wrapped{h.Name, head, func() ([]byte, error) { return file, nil }})
	}
	return parseOne("a tar archive", files)
}

// wrapped lists the files of a zip archive that torch.save did not write.
func (a *archive) wrapped() ([]wrapped, error) {
	var files []wrapped
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		f := a.files[name]
		if strings.HasSuffix(name, "/") || len(files) == maxWrapped {
			continue
		}
		r, err := a.open(f)
		if err != nil {
			return nil, err
		}
		head, err := io.ReadAll(io.LimitReader(r, foreign.Head))
		r.Close()
		if err != nil {
			return nil, fault.Brokenf("entry %.80q: %v", name, err)
		}
		files = append(files, wrapped{name, head, func() ([]byte, error) { return a.read(name) }})
	}
	return files, nil
}

// parseOne parses the one checkpoint among the files of an archive.
func parseOne(archive string, files []wrapped) (*contents, error) {
	var found []wrapped
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		if IsSafetensors(f.head) || IsKeras(f.head) || IsTorch(f.head) && !isTar(f.head) {
			found = append(found, f)
		}
	}
	switch {
	case len(found) > 1:
		return nil, fault.Unsupportedf("%s of several checkpoints, %s and %s: unpack the one that you want", archive, fault.Shown(found[0].name), fault.Shown(found[1].name))
	case len(found) == 0:
		return nil, fault.Unsupportedf("%s that torch.save did not write, and without a checkpoint in it: %s", archive, some(names))
	}
	data, err := found[0].data()
	if err != nil {
		return nil, err
	}
	switch head := found[0].head; {
	case IsSafetensors(head):
		return parseSafetensors(data)
	case IsKeras(head):
		return parseHDF5(data, "")
	}
	return parseTorch(data, false)
}
