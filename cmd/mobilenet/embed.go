package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/search"
)

// embedFlags are those of mobilenet embed.
type embedFlags struct {
	classifierFlags
	output, failed    string
	more              bool // --append
	bytes, normalized bool
	pca               int
	asStored          bool
	list              fromFlags
}

func newEmbed() *cobra.Command {
	var f embedFlags
	cmd := &cobra.Command{
		Use:   "embed [flags] PATH... -o FILE",
		Short: "Write the features of photos to a file",
		Long: `Write the features of photos to a file: what the network's pooled layer says of
each, 1280 numbers at width 1, in which photos that show the like are near each
other. PATH is a photo, a folder (searched through), a pattern, a URL, or - for
standard input. The ending of FILE says what is written:

  .mnidx    an index, for mobilenet search and mobilenet duplicates
  .npy      an array for numpy; beside it FILE.jsonl with the model and the paths
  .jsonl    an object a line, the first of which is about the model
  .parquet  a table with the columns file and embedding

All of them keep the SHA-256 of the model's file, how photos were prepared, and the
paths, in the order of the photos. While photos are read the features are kept in
FILE.partial: the same command goes on where a run ended that was killed, and one of
other photos refuses it. --append adds photos to a file, those that are not in it yet.

A photo that can't be read is reported on standard error, and with --failed in a
file, and does not stop the others; the exit code is 1 then.

--from LIST takes photos from JSON lines or CSV, and gives every row back with its
embedding or error, as JSON lines, in parts in the folder of -o: see predict --help.`,
		Example: `  mobilenet embed photos/ -o photos.mnidx
  mobilenet embed --append new/ -o photos.mnidx
  mobilenet embed --normalize photos/ -o photos.npy
  mobilenet embed --pca 256 --int8 photos/ -o small.mnidx
  mobilenet embed --from list.jsonl --shard 0/16 -o features/ --resume`,
		Args: args(f.list.photoArgs),
		RunE: f.list.either(f.check, f.run, f.runList),
	}
	f.register(cmd)
	f.list.register(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&f.output, "output", "o", "", "file to write: .mnidx, .npy, .jsonl or .parquet; of --from a folder")
	fs.StringVar(&f.failed, "failed", "", "write the photos that can't be read to `FILE`, an object a line: file and error")
	fs.BoolVar(&f.more, "append", false, "add to a file that is there")
	fs.BoolVar(&f.normalized, "normalize", false, "divide each row by its length (L2)")
	fs.BoolVar(&f.bytes, "int8", false, "write bytes in place of float32, a quarter of the size: see docs/search.md")
	fs.IntVar(&f.pca, "pca", 0, "write the `N` principal components of the features; fitted to these photos, kept in an index for queries and for --append")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	return cmd
}

func (f *embedFlags) check(cmd *cobra.Command, args []string) error {
	f.list.out = f.output
	if err := f.list.check(cmd, args); err != nil {
		return err
	}
	if f.list.from != "" {
		return f.checkList(cmd)
	}
	switch {
	case f.output == "":
		return usagef(cmd, "--output says which file to write, and is missing")
	case endingOf(f.output) == "":
		return usagef(cmd, "--output %s: want a name that ends in %s", f.output, strings.Join(vectorEndings, ", "))
	case f.pca < 0 || f.pca > search.MaxDim || f.pca == 0 && cmd.Flags().Changed("pca"):
		return usagef(cmd, "--pca %d: want 1 to the number of features", f.pca)
	case f.more && f.ending() == ".parquet":
		return usagef(cmd, "--append: a Parquet file does not grow; append to an index (.mnidx), and write that with mobilenet search export --format parquet")
	case f.more && f.ending() != indexEnding && (f.pca > 0 || f.bytes):
		return usagef(cmd, "--append goes with --pca and --int8 only for an index (.mnidx), which keeps what it needs")
	}
	if err := checkInputs(cmd, f.offline, args); err != nil {
		return err
	}
	if err := modelAsPhoto(cmd, args); err != nil {
		return err
	}
	return f.classifierFlags.check(cmd)
}

func (f *embedFlags) ending() string { return endingOf(f.output) }

func (f *embedFlags) run(cmd *cobra.Command, args []string) (err error) {
	f.settle()
	stderr := cmd.ErrOrStderr()
	there := isThere(f.output)
	if there && !f.more {
		return fmt.Errorf("%s is there already: --append adds to it", printable(f.output))
	}
	if err := folderOf("--output", f.output); err != nil { // and not of the partial file
		return err
	}
	r := embedReporter{stderr: stderr}
	if f.failed != "" {
		list, err := os.Create(f.failed)
		if err != nil {
			return err
		}
		defer list.Close()
		r.list = &jsonResults{list}
	}
	c, meta, err := f.describe(cmd.Context(), stderr)
	if err != nil {
		return err
	}
	if f.pca > meta.Dim { // before the first photo
		return usagef(cmd, "--pca %d: %s has %d features", f.pca, f.model, meta.Dim)
	}
	if !there {
		if err := f.enough(cmd, args); err != nil {
			return err
		}
	}
	meta.AsStored = f.asStored
	t := embedTarget{embedFlags: f, meta: meta, stderr: stderr}
	w, err := t.open(there, args)
	if err != nil {
		return err
	}
	if f.more && !there {
		fmt.Fprintf(stderr, "mobilenet: there is no %s to append to: it is made\n", shown(f.output))
	}
	e := embedding{embedFlags: f, c: c, w: w, stdin: cmd.InOrStdin(), reporter: &r}
	skipped, err := e.run(cmd.Context(), t.work, args)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		if cmd.Context().Err() != nil {
			fmt.Fprintf(stderr, "mobilenet: %d photos are in %s; the same command goes on from there\n", w.Len(), shown(t.work))
		}
		return err
	}
	if err := t.finish(cmd.Context()); err != nil {
		return err
	}
	e.clipped.say(stderr)
	if tellSkipped(stderr, skipped) || r.failed > 0 || r.empty {
		if r.failed > 0 {
			fmt.Fprintf(stderr, "mobilenet: %s could not be read: left out of %s\n", plural(r.failed, "photo"), shown(f.output))
		}
		return errReported
	}
	return nil
}

// enough is an error if there are fewer photos than --pca has components: told before
// they are read, and not after.
func (f *embedFlags) enough(cmd *cobra.Command, args []string) error {
	if f.pca == 0 {
		return nil
	}
	var find finder
	photos := map[string]bool{}
	for in := range find.photos(args) {
		if in.err == nil {
			photos[in.name] = true
		}
		if len(photos) == f.pca {
			return nil
		}
	}
	return usagef(cmd, "--pca %d: want at most as many components as photos, and there are %d", f.pca, len(photos))
}

// folderOf is an error if the folder that a flag's file is to be in is not there.
func folderOf(flag, path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s: there is no folder %s", flag, shown(path), shown(dir))
	}
	return nil
}

// describe opens the model and says what features of it are. The file is read twice;
// it must be the same.
func (f *classifierFlags) describe(ctx context.Context, stderr io.Writer) (*mobilenet.Classifier, search.Meta, error) {
	digest := func() (string, error) {
		return mobilenet.Digest(ctx, f.model, mobilenet.WithOffline(f.offline), mobilenet.WithProgress(downloadBar(stderr)))
	}
	before, err := digest()
	if err != nil {
		return nil, search.Meta{}, err
	}
	c, err := f.openAny(ctx, stderr)
	if err != nil {
		return nil, search.Meta{}, err
	}
	after, err := digest()
	if err == nil && before != after {
		err = fault.In(f.model, fault.Brokenf("the file changed while it was read; try again when it is complete"))
	}
	if err != nil {
		return nil, search.Meta{}, err
	}
	return c, metaOf(c, f.model, before), nil
}

// metaOf says what features of a model are, whose file has this digest.
func metaOf(c *mobilenet.Classifier, name, digest string) search.Meta {
	h, w := c.Config().InputSize()
	return search.Meta{
		Model: modelName(name), Digest: digest, Precision: string(c.Precision()),
		Height: h, Width: w, Preprocess: c.Config().Preprocess, Dim: c.Config().Network().Features(),
	}
}

// modelName is how an index names a model: a file by its whole path, so that a search
// finds it from any folder.
func modelName(name string) string {
	if path, err := filepath.Abs(name); err == nil && isThere(name) {
		return path
	}
	return name
}

// An embedTarget is the file to write, and the index that rows are kept in until then.
type embedTarget struct {
	*embedFlags
	meta   search.Meta // of the features
	stderr io.Writer
	work   string // the index that rows are added to
}

// open opens the index that rows are added to: the file itself where that is an index
// with rows, and otherwise a partial one beside it.
func (t *embedTarget) open(there bool, args []string) (*search.Writer, error) {
	t.work = t.output
	if there && t.ending() == indexEnding {
		w, err := search.Append(t.output)
		if err != nil {
			return nil, err
		}
		if err := t.fits(w); err != nil {
			w.Close()
			return nil, fault.In(t.output, err)
		}
		return w, nil
	}
	t.work = t.output + ".partial"
	if isThere(t.work) {
		return t.goOn(there, args)
	}
	return t.begin(there)
}

// goOn opens the partial index that a run left behind which was killed.
func (t *embedTarget) goOn(there bool, args []string) (*search.Writer, error) {
	w, err := search.Append(t.work)
	if err != nil {
		return nil, err
	}
	old := w.Meta()
	if there && w.Len() == 0 { // killed before it had the rows of the file
		w.Close()
		if err := os.Remove(t.work); err != nil {
			return nil, err
		}
		return t.begin(there)
	}
	if err = t.same(&old); err == nil {
		err = t.begun(there, args)
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("%w; remove it to begin anew, or write to another --output", fault.In(t.work, err))
	}
	if w.Len() > 0 {
		fmt.Fprintf(t.stderr, "mobilenet: going on with the %d photos in %s\n", w.Len(), shown(t.work))
	}
	return w, nil
}

// begun is an error if the partial index is not this command's: if its rows are not those
// of the file that is there, and then of photos in the order of this command line. Photos
// without a row could not be read. --pca, --int8 and --normalize do not matter: its rows
// are plain features, of which these are made in the end.
func (t *embedTarget) begun(there bool, args []string) error {
	x, err := search.Open(t.work)
	if err != nil {
		return err
	}
	defer x.Close()
	next := 0
	take := func(name string) (ahead bool) { // of its place
		row, ok := x.Find(name)
		if ok && row == next {
			next++
		}
		return ok && row > next
	}
	if there {
		old, err := t.appended()
		if err != nil {
			return err
		}
		defer old.close()
		for r, err := range old.rows {
			if err != nil {
				return fault.In(t.output, err)
			}
			if before := next; take(r.Path) || next == before {
				return fmt.Errorf("it was begun without the rows of %s, as that is now", shown(t.output))
			}
		}
	}
	var find finder
	for in := range find.photos(args) {
		if next == x.Len() || take(in.name) {
			break
		}
	}
	if next < x.Len() {
		return fmt.Errorf("it was begun with other photos: %s is not among those of this command, or not in its place", fault.Shown(x.Path(next)))
	}
	return nil
}

// same is an error if rows are of another model, or photos were prepared otherwise.
func (t *embedTarget) same(m *search.Meta) error {
	if err := m.Same(&t.meta); err != nil {
		return err
	}
	if m.AsStored != t.meta.AsStored {
		return errors.New("--no-exif-orientation has to be as it was for the rows that are there")
	}
	return nil
}

// appended reads the file that is there and no index, if rows can be added to it.
func (t *embedTarget) appended() (*vectors, error) {
	old, err := vectorFormats[t.ending()].read(t.output)
	if err != nil {
		return nil, err
	}
	err = t.same(&old.meta)
	switch {
	case err != nil:
	case old.meta.BytesOnly: // an export: its rows are right to a hundredth
		err = errors.New("its rows come of an index of bytes: append to that, and export it again")
	case old.meta.Normalized != t.normalized:
		err = errors.New("--normalize has to be as it was for the rows that are there")
	}
	if err != nil {
		old.close()
		return nil, fault.In(t.output, err)
	}
	return old, nil
}

// begin makes the partial index, of the rows of the file if it is there.
func (t *embedTarget) begin(there bool) (*search.Writer, error) {
	if !there {
		return search.Create(t.work, t.meta, nil)
	}
	old, err := t.appended()
	if err != nil {
		return nil, err
	}
	defer old.close()
	w, err := search.Create(t.work, t.meta, nil)
	if err != nil {
		return nil, err
	}
	for r, err := range old.rows {
		if err == nil {
			err = w.Add(r.Path, r.Vector)
		}
		if err != nil {
			w.Close()
			os.Remove(t.work)
			return nil, fault.In(t.output, err)
		}
	}
	return w, w.Commit()
}

// fits says what the flags say that the index is not.
func (t *embedTarget) fits(w *search.Writer) error {
	m := w.Meta()
	if err := t.same(&m); err != nil {
		return err
	}
	switch {
	case t.pca > 0 && (m.Features == 0 || m.Dim != t.pca):
		return fmt.Errorf("--pca %d: the index has rows of %d values; a projection is fitted when an index is made", t.pca, m.Dim)
	case t.bytes && !m.BytesOnly:
		return errors.New("--int8: the index has float32 rows")
	case t.normalized && !m.Normalized:
		return errors.New("--normalize: the rows of the index are not normalised")
	}
	return nil
}

// finish makes the file of the partial index.
func (t *embedTarget) finish(ctx context.Context) error {
	if t.work == t.output {
		return nil
	}
	o := vectorOptions{normalized: t.normalized, bytes: t.bytes, pca: t.pca}
	if t.ending() == indexEnding && o == (vectorOptions{}) {
		return os.Rename(t.work, t.output)
	}
	x, err := search.Open(t.work)
	if err != nil {
		return err
	}
	if t.pca > 0 {
		fmt.Fprintf(t.stderr, "mobilenet: fitting %d components to %d photos\n", t.pca, x.Len())
	}
	v, err := vectorsOf(ctx, x, o)
	if err == nil {
		err = vectorFormats[t.ending()].write(t.output, v)
	}
	if closed := x.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Remove(t.work)
}

// An embedding is the photos of a command line on their way to an index.
type embedding struct {
	*embedFlags
	c        *mobilenet.Classifier
	w        *search.Writer
	stdin    io.Reader
	reporter *embedReporter
	asked    queue // photos that are on their way
	clipped  clippedPhotos
}

// commitRows and commitTime are how often rows are brought to the disk: what a run that
// is killed loses at most. It takes 10 ms.
const (
	commitRows = 1024
	commitTime = 20 * time.Second
)

// run adds the photos that args name to the index called path.
func (e *embedding) run(ctx context.Context, path string, args []string) (skipped []dataset.Skipped, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	old, err := search.Open(path)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	var find finder
	e.reporter.bar = newCountBar(e.reporter.stderr)
	defer e.reporter.bar.finish()
	photos, stop := prefetch.Start(ctx, prefetch.Options{Workers: e.threads, Ahead: e.threads + e.batch}, e.new(find.photos(args), old), e.decode)
	defer stop()
	committed, at := e.w.Len(), time.Now()
	for v, err := range e.c.EmbedAll(ctx, photos) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := e.use(e.asked.take(), v, err); err != nil {
			cancel() // before the loop waits for a photo that may never come
			return nil, err
		}
		if e.w.Len() >= committed+commitRows || time.Since(at) > commitTime {
			if err := e.w.Commit(); err != nil {
				return nil, err
			}
			committed, at = e.w.Len(), time.Now()
		}
	}
	return find.skipped, ctx.Err()
}

// new yields the photos that are not in an index, and notes that they are asked for.
func (e *embedding) new(photos iter.Seq[input], old *search.Index) iter.Seq[input] {
	return func(yield func(input) bool) {
		for in := range photos {
			if _, ok := old.Find(in.name); ok {
				continue
			}
			e.asked.add(in.name)
			if !yield(in) {
				return
			}
		}
	}
}

func (e *embedding) decode(ctx context.Context, in input) (image.Image, error) {
	if in.err != nil {
		return nil, in.err
	}
	data, err := readPhoto(ctx, in.name, e.stdin)
	if err != nil {
		return nil, err
	}
	o := e.decoding()
	o.IgnoreOrientation = e.asStored
	p, err := e.c.PrepareData(ctx, data, o)
	if err != nil {
		return nil, err // and not a typed nil
	}
	e.clipped.look(in.name, p.Clipped())
	return p, nil
}

// use adds the features of a photo to the index.
func (e *embedding) use(name string, v []float32, err error) error {
	e.reporter.bar.add()
	if err != nil {
		return e.reporter.fail(name, err)
	}
	if e.w.Has(name) { // named twice
		return nil
	}
	row, err := e.w.Project(v)
	if err == nil {
		err = e.w.Add(name, row)
	}
	switch {
	case errors.Is(err, search.ErrNotFinite): // of this model no photo has better ones
		return fault.In(e.model, fmt.Errorf("the features of %s are not finite: %w", printable(name), mobilenet.ErrNotFinite))
	case errors.Is(err, errors.ErrUnsupported): // a path that is too long
		return e.reporter.fail(name, err)
	}
	return err
}

// An embedReporter reports photos that can't be read.
type embedReporter struct {
	stderr io.Writer
	list   *jsonResults // or nil
	bar    photoBar
	failed int
	empty  bool // a folder has no photos
}

func (r *embedReporter) fail(name string, cause error) error {
	if errors.Is(cause, errNoImages) {
		r.empty = true
	} else {
		r.failed++
	}
	r.bar.clear()
	_, err := fmt.Fprintf(r.stderr, "mobilenet: %s: %s\n", shown(name), printable(reason(cause)))
	if r.list != nil {
		err = cmp.Or(err, r.list.fail(name, cause))
	}
	return err
}

// A queue is the names of photos in the order in which they were asked for.
type queue struct {
	mu    sync.Mutex
	names []string
}

func (q *queue) add(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.names = append(q.names, name)
}

func (q *queue) take() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	name := q.names[0]
	q.names = q.names[1:]
	return name
}
