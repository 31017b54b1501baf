package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/search/duplicates"
)

// duplicatesFlags are those of mobilenet duplicates.
type duplicatesFlags struct {
	classifierFlags
	threshold       float64
	group, keep     string
	between         bool
	index           string
	format, html    string
	move, log, undo string
	link, dryRun    bool
	asStored        bool
}

func newDuplicates() *cobra.Command {
	var f duplicatesFlags
	cmd := &cobra.Command{
		Use:   "duplicates [flags] PATH...",
		Short: "Find photos that are the same, or nearly",
		Long: `Find photos that are there more than once: files of equal bytes, then photos of equal
pixels, then photos that are alike to the network: resized, cropped, compressed,
captioned, with other colours. PATH is a photo, a folder (searched through) or a
pattern. Nothing is changed unless --move or --link says so, and never is anything
deleted.

Groups have members that are all alike, each and each; --group connected has chains,
too. Of each group one photo is to be kept, by --keep, and it is said why:

  largest   the most pixels, of those the most bytes (the default)
  oldest    changed the longest ago
  sharpest  the most detail, all brought to one size
  first     in the order of the command line

--threshold is the least likeness of photos that are alike, 1 being the most. --html
shows pairs just above and just below it: look at them before anything is moved.
Likeness is the cosine of the square roots of the network's features. Of a photo's edges
the network sees nothing: two photos may differ there with a likeness of 1.

--between takes two folders, as train/ and val/, and finds photos of the second that
the first has, too.

--move DIR moves what need not be kept into DIR, each with its path below PATH, and
overwrites nothing. --link makes files of equal bytes one file with several names; a
link for photos that are only alike would lose one, so these stay. Both write what
they do to --log, and --undo LOG takes it back. --dry-run says what they would do.

Other names of one file (hard and symbolic links) are no duplicates. Photos that can't
be read are listed on standard error; the exit code is 1 then.`,
		Example: `  mobilenet duplicates photos/
  mobilenet duplicates --html sheet.html --threshold 0.93 photos/
  mobilenet duplicates --move doubles/ --keep sharpest photos/
  mobilenet duplicates --undo doubles/moved.jsonl
  mobilenet duplicates --between data/train data/val
  mobilenet duplicates --index photos.mnidx --format csv > doubles.csv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			if f.undo != "" {
				return f.takeBack(cmd)
			}
			return f.run(cmd, args)
		},
	}
	f.register(cmd)
	fs := cmd.Flags()
	fs.Float64Var(&f.threshold, "threshold", duplicates.DefaultThreshold, "least likeness of photos that are alike, above 0 to 1")
	fs.StringVar(&f.group, "group", "complete", "groups: complete (all are alike) or connected (joined by chains)")
	fs.StringVar(&f.keep, "keep", "largest", "which photo of a group to keep: largest, oldest, sharpest or first")
	fs.BoolVar(&f.between, "between", false, "of two PATHs: which photos of the second the first has, too")
	fs.StringVar(&f.index, "index", "", "take the features from an `INDEX` of mobilenet embed; PATH is what of it, all without")
	fs.StringVarP(&f.format, "format", "f", "text", "text, json (an object a group), csv, or imagededup (as its find_duplicates)")
	fs.StringVar(&f.html, "html", "", "write a page with all groups, and pairs around the threshold, to `FILE`")
	fs.StringVar(&f.move, "move", "", "move what need not be kept into `DIR`")
	fs.BoolVar(&f.link, "link", false, "make files of equal bytes hard links of one")
	fs.StringVar(&f.log, "log", "", "`FILE` that --move and --link add what they do to; the default is DIR/moved.jsonl, or linked.jsonl")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what --move or --link would do, and do nothing")
	fs.StringVar(&f.undo, "undo", "", "take back what a `LOG` of --move or --link says, and do nothing else")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	complete(cmd, "group", "complete", "connected")
	complete(cmd, "keep", "largest", "oldest", "sharpest", "first")
	complete(cmd, "format", "text", "json", "csv", "imagededup")
	return cmd
}

func (f *duplicatesFlags) check(cmd *cobra.Command, args []string) error {
	switch {
	case f.undo != "" && (len(args) > 0 || f.move != "" || f.link):
		return usagef(cmd, "--undo takes no photos, and no --move or --link")
	case f.undo != "":
		return nil
	case len(args) == 0 && f.index == "":
		return usagef(cmd, "no photos: want a PATH, or --index")
	case !(f.threshold > 0 && f.threshold <= 1): // NaN neither
		return usagef(cmd, "--threshold %v: want more than 0 and at most 1", f.threshold)
	case f.between && len(args) != 2:
		return usagef(cmd, "--between compares two PATHs; there are %d", len(args))
	case f.move != "" && f.link:
		return usagef(cmd, "--move and --link: want one of them")
	case f.dryRun && f.move == "" && !f.link:
		return usagef(cmd, "--dry-run says what --move or --link would do, and neither is there")
	case slices.ContainsFunc(args, func(a string) bool { return a == "-" || isURL(a) }):
		return usagef(cmd, "only files can be compared: no -, no URLs")
	}
	for _, c := range []struct {
		flag, value string
		choices     []string
	}{
		{"group", f.group, []string{"complete", "connected"}},
		{"keep", f.keep, []string{"largest", "oldest", "sharpest", "first"}},
		{"format", f.format, []string{"text", "json", "csv", "imagededup"}},
	} {
		if err := oneOf(cmd, c.flag, c.value, c.choices...); err != nil {
			return err
		}
	}
	if err := modelAsPhoto(cmd, args); err != nil {
		return err
	}
	return f.classifierFlags.check(cmd)
}

func (f *duplicatesFlags) run(cmd *cobra.Command, args []string) error {
	f.settle()
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if info, err := os.Stat(f.move); f.move != "" && err == nil && !info.IsDir() {
		return fmt.Errorf("--move %s: not a folder", f.move)
	}
	if err := f.outside(args); err != nil {
		return err
	}
	if f.html != "" { // and not after an hour
		if err := folderOf("--html", f.html); err != nil {
			return err
		}
	}
	find := &duplicates.Finder{
		Settings: duplicates.Settings{Threshold: f.threshold, Linkage: duplicates.Linkage(f.group), Threads: f.threads},
		Keep:     duplicates.Keep(f.keep), Decoding: f.decoding(),
	}
	find.Decoding.IgnoreOrientation = f.asStored
	p, err := f.find(args)
	if err != nil {
		return err
	}
	defer p.close()
	find.Split = p.split
	if p.known != nil { // and not a typed nil
		find.Known = p.known
	}
	if p.known == nil && len(p.paths) > 0 {
		c, err := f.openAny(ctx, stderr)
		if err != nil {
			return err
		}
		bar := newPhotoBar(stderr, len(p.paths))
		defer bar.finish()
		find.Features = f.features(c, find, bar)
	}
	r, err := find.Find(ctx, p.paths)
	if err != nil {
		return err
	}
	r.Failed = append(p.failed, r.Failed...)
	if p.known != nil && f.move != "" {
		if err := f.recheck(cmd, p, find, r); err != nil {
			return err
		}
	}
	if err := writeDuplicates(cmd.OutOrStdout(), f.format, r, args); err != nil {
		return err
	}
	if f.html != "" {
		if err := atomicfile.Write(f.html, func(w io.Writer) error { return r.Page(ctx, w, find) }); err != nil {
			return err
		}
	}
	f.tell(stderr, r)
	failed := len(r.Failed) > 0
	if f.move != "" || f.link {
		ok, err := f.change(ctx, cmd, r, args)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if tellSkipped(stderr, p.skipped) || failed {
		return errReported
	}
	return nil
}

// outside returns an error if --move is a folder that is searched, or has one in it:
// photos would be moved to where they are.
func (f *duplicatesFlags) outside(args []string) error {
	if f.move == "" {
		return nil
	}
	place := func(folder string) string { return filepath.Dir(duplicates.Place(filepath.Join(folder, "photo"))) }
	to := place(f.move)
	for _, folder := range folders(args) {
		if from := place(folder); from == to || below(to, from) {
			return fmt.Errorf("--move %s: it is, or has in it, %s, which is searched: want another folder", shown(f.move), shown(folder))
		}
	}
	return nil
}

// recheck looks at what is to be moved as it is now: photos may have changed since the
// index was made. The network is run as for the index.
func (f *duplicatesFlags) recheck(cmd *cobra.Command, p *comparison, find *duplicates.Finder, r *duplicates.Report) error {
	unsure := r.Unsure()
	if len(unsure) == 0 {
		return nil
	}
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	s := &searcher{searchFlags: &searchFlags{index: f.index, threads: f.threads, offline: f.offline}, x: p.known.x, stderr: stderr}
	if cmd.Flags().Changed("model") {
		s.model = f.model
	}
	c, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("nothing is moved, as photos can't be compared anew with the index's model: %w", err)
	}
	bar := newPhotoBar(stderr, len(unsure))
	defer bar.finish()
	find.Features = f.features(c, find, bar)
	return r.Recheck(ctx, find)
}

// features runs the network over photos as a Finder asks for them.
func (f *duplicatesFlags) features(c *mobilenet.Classifier, find *duplicates.Finder, bar photoBar) func(context.Context, iter.Seq[string]) iter.Seq2[[]float32, error] {
	return func(ctx context.Context, paths iter.Seq[string]) iter.Seq2[[]float32, error] {
		o := prefetch.Options{Workers: f.threads, Ahead: f.threads + f.batch}
		photos := prefetch.Map(ctx, o, paths, func(ctx context.Context, path string) (image.Image, error) {
			p, err := c.PrepareFile(ctx, path, find.Decoding)
			if err != nil {
				return nil, err // and not a typed nil
			}
			return p, nil
		})
		return func(yield func([]float32, error) bool) {
			for v, err := range c.EmbedAll(ctx, photos) {
				bar.add()
				if !yield(v, err) {
					return
				}
			}
		}
	}
}

// tell says on standard error what is not in the results.
func (f *duplicatesFlags) tell(stderr io.Writer, r *duplicates.Report) {
	for _, x := range r.Failed {
		fmt.Fprintf(stderr, "mobilenet: %s: %s\n", shown(x.Path), printable(reason(withoutName(x.Err))))
	}
	if n := len(r.Links); n > 0 {
		fmt.Fprintf(stderr, "mobilenet: %s of the same files, such as %s, which is %s: left alone\n", plural(n, "other name"), shown(r.Links[0].Path), shown(r.Links[0].Of))
	}
	if r.Absent > 0 {
		fmt.Fprintf(stderr, "mobilenet: %d photos of the index are not there: compared by their features alone\n", r.Absent)
	}
	fmt.Fprintf(stderr, "mobilenet: %s\n", r.Summary())
}

// withoutName drops the file's name, which the report begins with.
func withoutName(err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		unnamed := *e
		unnamed.File = ""
		return &unnamed
	}
	return withoutPath(err)
}

// change does what --move or --link asks for. ok is false if something could not be
// done.
func (f *duplicatesFlags) change(ctx context.Context, cmd *cobra.Command, r *duplicates.Report, args []string) (ok bool, err error) {
	stderr := cmd.ErrOrStderr()
	var changes []duplicates.Change
	log := f.log
	if f.link {
		var left int
		if changes, left = r.Hardlinks(); left > 0 {
			fmt.Fprintf(stderr, "mobilenet: %d photos are alike without being equal byte for byte: they are not linked, which would lose them; --move takes them out\n", left)
		}
		log = nonEmpty(log, "linked.jsonl")
	} else {
		var left int
		if changes, left = r.Moves(f.move, folders(args)); left > 0 {
			fmt.Fprintf(stderr, "mobilenet: %d photos are not like the one that is kept, or not there: they stay\n", left)
		}
		log = nonEmpty(log, filepath.Join(f.move, "moved.jsonl"))
	}
	if f.dryRun {
		for _, c := range changes {
			fmt.Fprintf(stderr, "would %s %s to %s\n", c.Op, shown(c.Path), shown(c.To))
		}
		return true, nil
	}
	if len(changes) == 0 {
		return true, nil
	}
	return f.apply(ctx, stderr, changes, log)
}

func nonEmpty(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// apply makes changes, and keeps the log.
func (f *duplicatesFlags) apply(ctx context.Context, stderr io.Writer, changes []duplicates.Change, log string) (ok bool, err error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o777); err != nil {
		return false, err
	}
	file, err := duplicates.OpenLog(log)
	if err != nil {
		return false, err
	}
	done, failed := 0, 0
	err = duplicates.Do(ctx, changes, file, func(c duplicates.Change, err error) {
		if err == nil {
			done++
			return
		}
		failed++
		fmt.Fprintf(stderr, "mobilenet: %s: %s\n", shown(c.Path), printable(withoutPath(err).Error()))
	})
	err = errors.Join(err, file.Sync(), file.Close())
	what := "moved"
	if f.link {
		what = "linked"
	}
	fmt.Fprintf(stderr, "mobilenet: %d of %d photos %s; to take that back: mobilenet duplicates --undo %s\n", done, len(changes), what, shown(log))
	if f.move != "" && duplicates.Linkage(f.group) == duplicates.Complete {
		fmt.Fprintln(stderr, "mobilenet: photos of different groups may be alike, too: the same command again finds those that are left")
	}
	return failed == 0, err
}

// takeBack is --undo.
func (f *duplicatesFlags) takeBack(cmd *cobra.Command) error {
	file, err := os.Open(f.undo)
	if err != nil {
		return err
	}
	defer file.Close()
	stderr := cmd.ErrOrStderr()
	done, before, failed := 0, 0, 0
	err = duplicates.Undo(cmd.Context(), file, func(c duplicates.Change, err error) {
		switch {
		case err == nil:
			done++
		case errors.Is(err, duplicates.ErrUndone):
			before++
		default:
			failed++
			fmt.Fprintf(stderr, "mobilenet: %s: %s\n", shown(c.Path), printable(err.Error()))
		}
	})
	if err != nil {
		return fault.In(f.undo, err)
	}
	fmt.Fprintf(stderr, "mobilenet: %d of %d changes taken back", done, done+before+failed)
	if before > 0 {
		fmt.Fprintf(stderr, "; %d already taken back", before)
	}
	fmt.Fprintln(stderr)
	if failed > 0 {
		return errReported
	}
	return nil
}
