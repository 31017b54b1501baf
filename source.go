package mobilenet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
	"github.com/mobilenet-go/mobilenet/internal/hub"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxModel bounds a model's file: a width-1.4 network with its optimiser's state has
// 75 MB.
const maxModel = 1 << 30

// A source is where a model comes from.
type source struct {
	name string // as the caller gave it, for errors
	data []byte // the model itself if it is in memory, or else:
	fsys fs.FS
	file string // in fsys
	part string // the network of a file that has several; empty if the file says which

	// What a name says of published weights, and how they get into fsys.
	published *hub.Weights
	fetch     func(context.Context) error
}

// resolve finds out what name stands for: a model in the program, published weights,
// or a file. Nothing is read yet.
func resolve(name string, o options) (source, error) {
	if data, ok := builtin.Lookup(name); ok {
		return source{name: name, data: data}, nil
	}
	if w, ok := hub.Lookup(name); ok {
		return resolvePublished(w, o)
	}
	if o.fsys != nil {
		return source{name: name, fsys: o.fsys, file: name}, nil
	}
	if _, err := os.Stat(name); err != nil && !strings.ContainsAny(name, `./\`) {
		return source{}, fmt.Errorf("%q: %w, and no model has that name (%s)", name, fs.ErrNotExist, strings.Join(Names(), ", "))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		file, err := modelIn(name)
		if err != nil {
			return source{}, fault.In(name, err)
		}
		name = file
	}
	path, part := cutPart(name)
	fsys, file := wholefile.Folder(path)
	return source{name: name, fsys: fsys, file: file, part: part}, nil
}

// cutPart cuts the name of a network from that of its file: "last.pth#model_ema". A file
// may have a # in its name.
func cutPart(name string) (file, part string) {
	at := strings.LastIndexByte(name, '#')
	if _, err := os.Stat(name); err == nil || at < 0 {
		return name, ""
	}
	return name[:at], name[at+1:]
}

// usualNames are what the file of the weights is called in a folder that is a model:
// Hugging Face's two, and that of a training's best weights.
var usualNames = []string{"model.safetensors", "pytorch_model.bin", "best.safetensors"}

// modelIn finds the file in a folder that is given for a model.
func modelIn(dir string) (string, error) {
	for _, name := range usualNames {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if e.Name() == "saved_model.pb" {
			return "", savedModel(filepath.ToSlash(dir))
		}
		if _, ok := formatNamed(e.Name()); ok && !e.IsDir() {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fault.Unsupportedf("a folder without a model: it has none of %s", strings.Join(usualNames, ", "))
	case 1:
		return filepath.Join(dir, found[0]), nil
	}
	return "", fault.Unsupportedf("a folder with %d models: say which, for example %s", len(found), fault.Shown(found[0]))
}

func resolvePublished(w hub.Weights, o options) (source, error) {
	client, err := hub.FromEnv()
	if err != nil {
		return source{}, err
	}
	client.Offline, client.Progress = o.offline, o.progress
	s := source{name: client.Path(w), published: &w}
	s.fsys, s.file = wholefile.Folder(s.name)
	s.fetch = func(ctx context.Context) error {
		_, err := client.Pull(ctx, w)
		return err
	}
	return s, nil
}

// TrainedWith returns what the model called name was trained with by this module, as far
// as its file remembers: nil where it is another's, or in another format than .safetensors.
// Errors are those of reading the file, or *[fault.Error].
func TrainedWith(name string) (*dataset.Division, error) {
	s, err := resolve(name, collect(nil))
	if err != nil || s.published != nil || s.data != nil {
		return nil, err
	}
	file, _ := cutPart(s.name)
	entries, err := checkpoint.ReadMetadata(file)
	if err != nil {
		return nil, fault.In(file, err)
	}
	text, ok := entries[dataset.SummaryKey]
	if !ok {
		return nil, nil
	}
	d, err := dataset.ParseSummary(text)
	return d, fault.In(file, err)
}

// load reads the network. The key tells what was read: see [source.key].
func (s source) load(ctx context.Context) (n network, key string, err error) {
	if err := ctx.Err(); err != nil {
		return n, "", err
	}
	if s.fetch != nil {
		if err := s.fetch(ctx); err != nil {
			return n, "", err
		}
	}
	n, key, err = s.read()
	if err != nil {
		return n, "", fault.In(s.name, err)
	}
	if s.published != nil && n.model != nil {
		n.model.Config.Preprocess, n.model.Assumed = s.published.Preprocess, model.Assumed{}
	}
	return n, key, ctx.Err()
}

func (s source) read() (n network, key string, err error) {
	t := tally{fsys: s.fsys}
	data, folder := s.data, fs.FS(nil)
	if data == nil {
		var err error
		if data, err = wholefile.Read(&t, s.file, maxModel); err != nil {
			return n, "", err
		}
		folder = wholefile.Sub(&t, path.Dir(s.file))
	}
	f, err := formatOf(strings.TrimSuffix(s.name, "#"+s.part), data[:min(foreign.Head, len(data))])
	if err != nil {
		return n, "", err
	}
	switch {
	case s.part == "":
		n, err = f.read(data, folder)
	case f.readPart == nil:
		err = fault.Unsupportedf("%s has one network: leave out #%s", f.name, fault.Shown(s.part))
	default:
		n, err = f.readPart(data, s.part, folder)
	}
	if err != nil || folder == nil {
		return n, "", err
	}
	if key, err = s.keyOf(f, bytes.NewReader(data), int64(len(data)), t.sum); err != nil {
		return n, "", err
	}
	return n, key, t.check()
}

// key tells what the source holds now: all the bytes of all its files, which are not
// kept in memory, and what its name adds. It is empty for what can't be read, which
// loading reports, and for a model in the program, which is ready in a millisecond.
func (s source) key() string {
	if s.data != nil {
		return ""
	}
	f, size, err := openAt(s.fsys, s.file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, min(foreign.Head, size))
	if _, err := f.ReadAt(head, 0); err != nil {
		return ""
	}
	format, err := formatOf(s.file, head)
	if err != nil {
		return ""
	}
	key, err := s.keyOf(format, f, size, func(name string) (string, error) {
		if name == s.file {
			return checksum(f, size)
		}
		return checksumOf(s.fsys, name)
	})
	if err != nil {
		return ""
	}
	return key
}

// keyOf returns the key of the source whose own file, of a format, is r. sum returns the
// checksum of a file of fsys.
func (s source) keyOf(f format, r io.ReaderAt, size int64, sum func(name string) (string, error)) (string, error) {
	names := []string{s.file}
	if f.others != nil {
		others, err := f.others(r, size)
		if err != nil {
			return "", err
		}
		for _, name := range others {
			names = append(names, path.Join(path.Dir(s.file), name))
		}
	}
	needed := len(names)
	for _, name := range f.beside {
		names = append(names, path.Join(path.Dir(s.file), name))
	}
	var key []string
	for i, name := range names {
		text, err := sum(name)
		if i >= needed && errors.Is(err, fs.ErrNotExist) {
			text, err = "-", nil
		}
		if err != nil {
			return "", err
		}
		key = append(key, text)
	}
	if s.part != "" {
		key = append(key, "#"+s.part)
	}
	if s.published != nil { // the preprocessing goes with the name
		key = append(key, s.published.Name)
	}
	return strings.Join(key, ","), nil
}
