package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/vision"
)

// searchFlags are those of mobilenet search.
type searchFlags struct {
	index, model, format, filter, output string
	top, threads, maxPixels              int
	minScore                             float64
	offline, asStored                    bool
}

func newSearch() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search [flags] --index FILE PHOTO...",
		Short: "Find the photos most like a photo",
		Long: `Find the photos most like a photo in an index that mobilenet embed wrote. The score
is the cosine of the angle between the features: 1 for the same photo. All rows are
compared, and the result is exact.

PHOTO is a photo, a folder, a pattern, a URL or - as for mobilenet predict; the path
of a photo as the index has it, which need not exist any more; or a .npy file of
vectors. Photos are prepared, and run by the model, as those in the index were; the
model must be the same, by its SHA-256.`,
		Example: `  mobilenet search --index photos.mnidx dog.jpg
  mobilenet search --index photos.mnidx --top 100 --format html dog.jpg > alike.html
  mobilenet search --index photos.mnidx --min-score 0.9 --format json shots/
  mobilenet search --index photos.mnidx --filter '2024/**' dog.jpg`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			return f.run(cmd, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.index, "index", "i", "", "the index: a file that mobilenet embed wrote (.mnidx)")
	fs.StringVarP(&f.model, "model", "m", "", "the file of the model, where it is not the one that the index names")
	fs.IntVarP(&f.top, "top", "k", 10, "how many photos to show for each")
	fs.Float64Var(&f.minScore, "min-score", 0, "show only photos of at least this score, up to 1")
	fs.StringVar(&f.filter, "filter", "", "show only photos whose path matches `GLOB`: * and ? within a name, ** across folders; without a / it is of the name alone")
	fs.StringVarP(&f.format, "format", "f", "table", "table, json (an object a line) or html (a page of thumbnails)")
	fs.StringVarP(&f.output, "output", "o", "", "write to `FILE` in place of standard output")
	flags.Threads(fs, &f.threads, "cores to use; 0 means all")
	fs.IntVar(&f.maxPixels, "max-pixels", vision.DefaultMaxPixels, "refuse photos of more pixels, which take memory")
	fs.BoolVar(&f.offline, "offline", false, "download nothing; published weights must be in the cache")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	complete(cmd, "format", "table", "json", "html")
	cmd.AddCommand(newSearchExport(), newSearchCheck())
	return cmd
}

func (f *searchFlags) check(cmd *cobra.Command, args []string) error {
	switch {
	case f.index == "":
		return usagef(cmd, "--index says where to search, and is missing")
	case f.top < 1:
		return usagef(cmd, "--top %d: want at least 1", f.top)
	case !(f.minScore >= -1 && f.minScore <= 1): // NaN neither
		return usagef(cmd, "--min-score %v: want -1 to 1", f.minScore)
	case f.maxPixels < 1:
		return usagef(cmd, "--max-pixels %d: want at least 1", f.maxPixels)
	}
	if _, err := search.Glob(f.filter); err != nil {
		return usagef(cmd, "--filter %s: %w", f.filter, err)
	}
	if err := checkInputs(cmd, f.offline, args); err != nil {
		return err
	}
	return oneOf(cmd, "format", f.format, "table", "json", "html")
}

func (f *searchFlags) run(cmd *cobra.Command, args []string) error {
	x, err := search.Open(f.index)
	if err != nil {
		return err
	}
	defer x.Close()
	o := search.Options{Top: f.top, MinScore: f.minScore, Threads: f.threads}
	if cmd.Flags().Changed("min-score") && f.minScore == 0 { // 0 means any score to the library
		o.MinScore = math.SmallestNonzeroFloat64
	}
	if f.filter != "" {
		match, err := search.Glob(f.filter)
		if err != nil {
			return err
		}
		o.Match = func(_ int, path []byte) bool { return match(path) }
		if !anyPath(x, match) {
			fmt.Fprintf(cmd.ErrOrStderr(), "mobilenet: --filter %s: none of the %d paths in %s matches\n", shown(f.filter), x.Len(), shown(f.index))
		}
	}
	s := searcher{searchFlags: f, x: x, options: o, stdin: cmd.InOrStdin(), stderr: cmd.ErrOrStderr()}
	write := func(w io.Writer) error {
		s.out = f.results(w, cmd.ErrOrStderr())
		return errors.Join(s.run(cmd.Context(), args), s.out.close())
	}
	if f.output != "" {
		err = atomicfile.Write(f.output, write)
	} else {
		err = write(cmd.OutOrStdout())
	}
	if err != nil {
		return err
	}
	if s.failed {
		return errReported
	}
	return nil
}

// anyPath reports whether a pattern matches the path of any row.
func anyPath(x *search.Index, match func([]byte) bool) bool {
	for row := range x.Len() {
		if match([]byte(x.Path(row))) {
			return true
		}
	}
	return false
}

// A found is what a search has for one query.
type found struct {
	Query string // a path, or a row of a file
	Data  []byte // the photo, if it came over standard input or the net
	Hits  []search.Hit
}

// searchResults writes what was found, as it comes.
type searchResults interface {
	add(ctx context.Context, f found) error
	close() error
}

func (f *searchFlags) results(w, stderr io.Writer) searchResults {
	switch f.format {
	case "json":
		return searchJSON{jsonResults{w}}
	case "html":
		return newGallery(w, stderr, f)
	}
	return searchTable{w}
}

type searchJSON struct{ jsonResults }

func (r searchJSON) add(_ context.Context, f found) error {
	type hit struct {
		jsonFile
		Score float64 `json:"score"`
		Row   int     `json:"row"`
	}
	hits := []hit{} // [] and not null
	for _, h := range f.Hits {
		hits = append(hits, hit{jsonFileOf(h.Path), h.Score, h.Row})
	}
	return r.write(struct {
		Query      string `json:"query"`
		QueryBytes []byte `json:"query_bytes,omitempty"` // see jsonFile
		Hits       []hit  `json:"hits"`
	}{f.Query, bytesOf(f.Query), hits})
}

type searchTable struct{ w io.Writer }

func (r searchTable) add(_ context.Context, f found) error {
	t := newTable()
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 1, Align: text.AlignRight}})
	for _, h := range f.Hits {
		t.AppendRow(table.Row{fmt.Sprintf("%.4f", h.Score), shown(h.Path)})
	}
	lines := t.Render()
	if len(f.Hits) == 0 {
		lines = "  nothing is like it"
	}
	_, err := io.WriteString(r.w, shown(f.Query)+"\n"+lines+"\n")
	return err
}

func (r searchTable) close() error { return nil }

// A searcher looks up the photos of a command line.
type searcher struct {
	*searchFlags
	x       *search.Index
	options search.Options
	out     searchResults
	stdin   io.Reader
	stderr  io.Writer
	failed  bool                  // some photo did
	opened  *mobilenet.Classifier // the model, once it was needed

	waiting []found     // to be looked up together
	vectors [][]float32 // theirs
}

// together is how many queries are looked up at once: they share what is read.
const together = 64

func (s *searcher) run(ctx context.Context, args []string) error {
	var photos []string
	flush := func() error { // photos before what comes behind them
		err := s.photos(ctx, photos)
		photos = nil
		return err
	}
	if s.model != "" { // it is compared with the index's even if no photo needs it
		if _, err := s.open(ctx); err != nil {
			return err
		}
	}
	for _, arg := range args {
		row, ok := s.x.Find(arg)
		isVectors := strings.EqualFold(filepath.Ext(arg), ".npy")
		if !ok && !isVectors {
			photos = append(photos, arg)
			continue
		}
		err := flush()
		if err == nil && ok {
			var v []float32
			if v, err = s.x.Row(row, nil); err == nil {
				err = s.add(ctx, found{Query: arg}, v)
			}
		} else if err == nil {
			err = s.npy(ctx, arg)
		}
		if err != nil {
			return err
		}
	}
	return cmp.Or(flush(), s.flush(ctx))
}

// norm is the length of v.
func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// add looks up a vector, with others. One that nothing can be like is reported.
func (s *searcher) add(ctx context.Context, f found, v []float32) error {
	if length := norm(v); !(length > 0) || math.IsInf(length, 0) { // NaN neither
		s.failed = true
		_, err := fmt.Fprintf(s.stderr, "mobilenet: %s: a vector of length %v has no direction, and nothing is like it\n", shown(f.Query), length)
		return err
	}
	s.waiting, s.vectors = append(s.waiting, f), append(s.vectors, v)
	if len(s.waiting) < together {
		return nil
	}
	return s.flush(ctx)
}

func (s *searcher) flush(ctx context.Context) error {
	if len(s.waiting) == 0 {
		return nil
	}
	all, err := s.x.Search(ctx, s.vectors, s.options)
	if err != nil {
		return fault.In(s.index, err)
	}
	for i, hits := range all {
		s.waiting[i].Hits = hits
		if err := s.out.add(ctx, s.waiting[i]); err != nil {
			return err
		}
	}
	s.waiting, s.vectors = s.waiting[:0], s.vectors[:0]
	return nil
}

// npy looks up the rows of an array: rows of the index, or features.
func (s *searcher) npy(ctx context.Context, path string) error {
	a, err := search.OpenNPY(path)
	if err != nil {
		return err
	}
	defer a.Close()
	if a.Rows == 0 {
		return fault.In(path, errors.New("an array of 0 rows: there is nothing to search for"))
	}
	for row := range a.Rows {
		v, err := a.Row(row)
		if err == nil && len(v) != s.x.Meta().Dim {
			v, err = s.x.Project(v)
		}
		if err != nil {
			return fault.In(path, err)
		}
		if err := s.add(ctx, found{Query: fmt.Sprintf("%s[%d]", path, row)}, v); err != nil {
			return err
		}
	}
	return nil
}

// photos looks up photos.
func (s *searcher) photos(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return nil
	}
	photos, skipped := findPhotos(args)
	defer func() { s.failed = tellSkipped(s.stderr, skipped) || s.failed }()
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	data := make([][]byte, len(photos))
	decode := func(ctx context.Context, i int) (image.Image, error) {
		if photos[i].err != nil {
			return nil, photos[i].err
		}
		b, err := readPhoto(ctx, photos[i].name, s.stdin)
		if err != nil {
			return nil, err
		}
		if s.format == "html" && !isThere(photos[i].name) {
			data[i] = b
		}
		p, err := c.PrepareData(ctx, b, vision.DecodeOptions{MaxPixels: s.maxPixels, IgnoreOrientation: s.asStored || s.x.Meta().AsStored})
		if err != nil {
			return nil, err // and not a typed nil
		}
		return p, nil
	}
	prepared, stop := prefetch.Start(ctx, prefetch.Options{}, count(len(photos)), decode)
	defer stop()
	i := 0
	for v, err := range c.EmbedAll(ctx, prepared) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := photos[i].name
		if err != nil {
			s.failed = true
			fmt.Fprintf(s.stderr, "mobilenet: %s: %s\n", shown(name), printable(reason(err)))
		} else {
			if v, err = s.x.Project(v); err == nil {
				err = s.add(ctx, found{Query: name, Data: data[i]}, v)
			}
			if err != nil {
				cancel() // before the loop waits for a photo that may never come
				return err
			}
		}
		data[i] = nil
		i++
	}
	return ctx.Err()
}

// open opens the model of the index, to be run as it was for that, unless it is open.
func (s *searcher) open(ctx context.Context) (*mobilenet.Classifier, error) {
	if s.opened != nil {
		return s.opened, nil
	}
	m := s.x.Meta()
	f := classifierFlags{model: cmp.Or(s.model, m.Model), threads: s.threads, offline: s.offline, precision: "int8"}
	if m.Precision == string(mobilenet.Float32) {
		f.precision = "float"
	}
	f.settle()
	p := m.Preprocess
	f.photos.In = model.Input{Height: m.Height, Width: m.Width, Interpolation: p.Interpolation, Mean: p.Mean[:], Std: p.Std[:], Squash: p.Squash}
	if !p.Squash {
		f.photos.In.Resize = p.Resize
	}
	if s.model == "" && strings.ContainsAny(m.Model, `/\`) && !isThere(m.Model) {
		return nil, fault.In(s.index, fmt.Errorf("its model was %s, which is not there: --model says where it is", fault.Shown(m.Model)))
	}
	c, now, err := f.describe(ctx, s.stderr)
	if err != nil {
		return nil, err
	}
	if err := m.Same(&now); err != nil {
		return nil, fault.In(s.index, err)
	}
	s.opened = c
	return c, nil
}

func newSearchCheck() *cobra.Command {
	return &cobra.Command{
		Use:     "check INDEX...",
		Short:   "Hold all of an index against its checksums",
		Long:    "Hold all of an index against its checksums, and say what it is of. Other commands check all but the\nvectors.",
		Example: "  mobilenet search check photos.mnidx",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				x, err := search.Open(path)
				if err != nil {
					return err
				}
				err = x.Verify()
				m, n := x.Meta(), x.Len()
				x.Close()
				if err != nil {
					return fault.In(path, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: whole: %d photos, %d values each, of %s (sha256 %.16s..., %s)\n", shown(path), n, m.Dim, shown(m.Model), m.Digest, m.Precision)
			}
			return nil
		},
	}
}
