package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
)

// fromFlags let a command take its photos from a manifest, share them with other
// processes, and write results in parts.
type fromFlags struct {
	from, shard string
	resume      bool
	partRows    int
	maxErrors   flags.Tolerance
	out         string // folder for the parts, which the command has a flag for; "" for stdout
}

func (f *fromFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.from, "from", "", "take photos from the list `FILE`, or - for standard input: JSON lines or CSV with a column path; other columns are passed on")
	fs.StringVar(&f.shard, "shard", "", "of the list, do share `I/N`, as 0/16; the default is what Kubernetes, AWS Batch or Slurm say, or all")
	fs.BoolVar(&f.resume, "resume", false, "leave out the parts of the list's results that are there and whole")
	fs.IntVar(&f.partRows, "part-rows", 1000, "rows of the list in a part")
	fs.Var(&f.maxErrors, "max-errors", "photos that may fail in a part, or their share, as 1%; of more, it is not written, and left for --resume; the default is a tenth of it, or 10, but not more than half. Without --output: of the list, and none by default; of more, the exit code is 1")
}

// photoArgs wants photos on the command line, unless they come from a list.
func (f *fromFlags) photoArgs(cmd *cobra.Command, photos []string) error {
	if cmd.Flags().Changed("from") { // check says what may be there
		return nil
	}
	return cobra.MinimumNArgs(1)(cmd, photos)
}

// either runs a command, once its flags are checked, on photos of the command line or on
// the list.
func (f *fromFlags) either(check, photos func(cmd *cobra.Command, args []string) error, list func(*cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return err
		}
		if f.from != "" {
			return list(cmd)
		}
		return photos(cmd, args)
	}
}

// listOnly are the flags that mean nothing without --from.
var listOnly = []string{"shard", "resume", "part-rows", "max-errors"}

func (f *fromFlags) check(cmd *cobra.Command, photos []string) error {
	for _, name := range listOnly {
		if f.from == "" && cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s is for a list of photos: --from FILE", name)
		}
	}
	switch {
	case f.from == "" && cmd.Flags().Changed("from"): // as of a variable of a script that is not set
		return usagef(cmd, "--from is empty: want a list, or - for standard input")
	case f.from != "" && f.out == "" && cmd.Flags().Changed("output"):
		return usagef(cmd, "--output is empty: want a folder")
	case f.from != "" && len(photos) > 0:
		return usagef(cmd, "photos come from --from or from the command line, not from both")
	case f.resume && f.out == "":
		return usagef(cmd, "--resume goes on with the results in a folder: --output DIR")
	case manifest.Scheme(f.from) != "":
		return usagef(cmd, "--from %s: want the path of a list, and %s: is none", shown(f.from), manifest.Scheme(f.from))
	case f.from != "" && manifest.Scheme(f.out) != "":
		return usagef(cmd, "--output %s: --from writes to folders, and %s: is none", shown(f.out), manifest.Scheme(f.out))
	case f.partRows < 1 || f.partRows > 1e6:
		return usagef(cmd, "--part-rows %d: want 1 to 1000000", f.partRows)
	case f.shard == "" && cmd.Flags().Changed("shard"):
		return usagef(cmd, "--shard is empty: want I/N, as 0/16")
	}
	return nil
}

// share is the shard that the command line or the environment says.
func (f *fromFlags) share(cmd *cobra.Command) (manifest.Shard, error) {
	if f.shard != "" {
		s, err := manifest.ParseShard(f.shard)
		if err != nil {
			return s, usagef(cmd, "--shard %s: %w", f.shard, err)
		}
		return s, nil
	}
	s, from, err := manifest.ShardOf(os.Getenv)
	if err != nil {
		u := usagef(cmd, "%w", err)
		u.hint = "--shard I/N says which share of the list to do; 0/1 is all"
		return s, u
	}
	if from != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "mobilenet: share %s of the list, by %s; --shard I/N sets another\n", s, from)
	}
	return s, nil
}

// A listFormat is how the results of a list look.
type listFormat struct {
	csv    bool
	names  []string // of the results: columns of CSV, members of JSON
	sparse bool     // photos that fail have no row
	uneven bool     // in CSV: photos may have fewer lines than others
}

// A rowList is the photos of a manifest on their way to results.
type rowList struct {
	*fromFlags
	listFormat
	job    manifest.Job
	reader *manifest.Reader
	shut   func() error     // closes the manifest
	folder *manifest.Folder // nil for stdout
	stdout io.Writer
	stderr io.Writer

	mu      sync.Mutex
	waiting map[int]listed // by their numbers
	err     error          // of the manifest

	part   bytes.Buffer // results of the part at hand
	failed int          // photos of it
	first  string       // of these, and why
	begun  bool         // whether standard output has something

	began, told                     time.Time
	photos, failures, parts, spoilt int
	there                           inventory
}

// A listed photo is a row, and whether it is the last one of its part.
type listed struct {
	row  manifest.Row
	part *manifest.Part
	last bool
}

// open opens the manifest and the folder. settings are all that results depend on
// besides the photos.
func (f *fromFlags) open(cmd *cobra.Command, format listFormat, settings string) (*rowList, error) {
	l := &rowList{fromFlags: f, listFormat: format, waiting: map[int]listed{}, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), began: time.Now()}
	l.told = l.began
	shard, err := f.share(cmd)
	if err != nil {
		return nil, err
	}
	l.job = manifest.Job{Shard: shard, Rows: f.partRows, Settings: settings}
	in := cmd.InOrStdin()
	l.shut = func() error { return nil }
	if f.from != "-" {
		file, err := os.Open(f.from)
		if err != nil {
			return nil, err
		}
		in, l.shut = file, file.Close
	}
	if l.reader, err = manifest.NewReader(in); err == nil {
		err = l.reader.Unlike(l.names...) // before anything is written
	}
	if err != nil {
		l.shut()
		return nil, fault.In(f.name(), err)
	}
	if f.out != "" {
		if err := l.openFolder(); err != nil {
			l.shut()
			return nil, err
		}
	}
	return l, nil
}

func (l *rowList) openFolder() (err error) {
	ext := ".jsonl"
	if l.csv {
		ext = ".csv"
	}
	if l.folder, err = manifest.OpenFolder(l.out, ext); err != nil {
		return err
	}
	if n := l.folder.Owned(l.job.Shard); n > 0 && !l.resume {
		return fmt.Errorf("%s has %s of this share already: --resume goes on, and another --output begins anew", l.out, plural(n, "part"))
	}
	l.job.Done = l.done
	return nil
}

func (f *fromFlags) name() string {
	if f.from == "-" {
		return "standard input"
	}
	return f.from
}

// numbers yields the numbers of the photos as they are read, and keeps their rows until
// they are written.
func (l *rowList) numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		i := 0
		for part, err := range l.job.Parts(l.reader) {
			whole := err == nil
			if !whole && l.folder != nil { // for which nothing is made of some rows
				part.Rows = nil
			}
			for at, row := range part.Rows {
				if e := row.Unlike(l.names...); e != nil {
					err = e
					break
				}
				l.mu.Lock()
				l.waiting[i] = listed{row, &part, whole && at == len(part.Rows)-1}
				l.mu.Unlock()
				if !yield(i) {
					return
				}
				i++
			}
			if err != nil {
				l.mu.Lock()
				l.err = fault.In(l.name(), err)
				l.mu.Unlock()
				return
			}
		}
	}
}

// photo is the photo of a number.
func (l *rowList) photo(i int) input {
	l.mu.Lock()
	defer l.mu.Unlock()
	row := l.waiting[i].row
	switch {
	case row.Path == "-": // standard input on a command line, and a file here
		return input{"./-", row.Err}
	case boundedfile.Descriptor(row.Path): // which may be a pipe without an end
		return input{row.Path, errNotFile}
	}
	return input{row.Path, row.Err}
}

var errNotFile = errors.New("not a file")

// add writes the result of photo i: a struct that becomes members of its row in JSON, or
// lines of fields that the row stands before in CSV.
func (l *rowList) add(i int, result any, lines [][]string) error {
	l.mu.Lock()
	item := l.waiting[i]
	delete(l.waiting, i)
	l.mu.Unlock()
	l.photos++
	err := l.encode(item.row, result, lines)
	if err != nil {
		return fault.In(l.name(), err)
	}
	if l.folder == nil {
		l.begin()
		_, err = l.part.WriteTo(l.stdout)
	} else if item.last {
		err = l.endPart(*item.part)
	}
	l.tell()
	return err
}

// fail writes that photo i has no result.
func (l *rowList) fail(i int, cause error, inLine bool) error {
	cause = l.elsewhere(i, cause)
	if l.failed++; l.failed == 1 {
		l.first = firstFailed(l.photo(i).name, reason(cause))
	}
	l.failures++
	if !inLine {
		fmt.Fprintf(l.stderr, "mobilenet: %s: %s\n", shown(l.photo(i).name), printable(reason(cause)))
		return l.add(i, nil, nil)
	}
	fields := make([]string, len(l.names))
	fields[len(fields)-1] = reason(cause)
	return l.add(i, struct {
		Error string `json:"error"`
	}{reason(cause)}, [][]string{fields})
}

// elsewhere adds to why photo i failed that mobilenet-spark reads what its row names: an
// object of a bucket, a member of an archive.
func (l *rowList) elsewhere(i int, cause error) error {
	l.mu.Lock()
	row := l.waiting[i].row
	l.mu.Unlock()
	if isTar(row.Path) && slices.Contains(row.Names(), "member") {
		return fmt.Errorf("%w; mobilenet-spark reads members of archives", cause)
	}
	return otherScheme(row.Path, cause)
}

func isTar(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// encode adds a row's results to the part.
func (l *rowList) encode(row manifest.Row, result any, lines [][]string) error {
	if !l.csv {
		if result == nil {
			return nil
		}
		line, err := row.JSON(result)
		if err != nil {
			return err
		}
		return writeJSON(&l.part, append(line, '\n'))
	}
	fields, err := row.Fields(l.reader.Columns())
	if err != nil {
		return err
	}
	if l.folder == nil && isTerminal(l.stdout) {
		for i, f := range fields {
			fields[i] = shown(f)
		}
	}
	w := csv.NewWriter(&l.part)
	for _, line := range lines {
		w.Write(append(fields[:len(fields):len(fields)], line...))
	}
	w.Flush()
	return w.Error()
}

// begin writes to standard output what comes before the first result: not before there is
// one, since a list may be refused by its first row.
func (l *rowList) begin() {
	if l.csv && !l.begun {
		l.head(l.stdout)
	}
	l.begun = true
}

// head writes the names of the columns.
func (l *rowList) head(w io.Writer) {
	c := csv.NewWriter(w)
	c.Write(append(l.reader.Columns(), l.names...))
	c.Flush()
}

// mayFail is how many of a part's rows may fail. Short parts, as of a list to try with,
// may have a few broken photos; one of which most failed has another cause.
func (f *fromFlags) mayFail(rows int) int {
	if f.maxErrors.IsSet() {
		return int(f.maxErrors.Of(int64(rows)))
	}
	return min(max(10, rows/10), (rows+1)/2)
}

// limit is --max-errors as it was given, or the number that holds for a part without it.
func (f *fromFlags) limit(rows int) string {
	if f.maxErrors.IsSet() {
		return f.maxErrors.String()
	}
	return fmt.Sprint(rows)
}

// endPart writes a part's file. One of which many photos failed is left for another
// try: a disk or a network may be gone.
func (l *rowList) endPart(p manifest.Part) error {
	defer func() {
		l.part.Reset()
		l.failed = 0
	}()
	if limit := l.mayFail(len(p.Rows)); l.failed > limit {
		l.spoilt++
		fmt.Fprintf(l.stderr, "mobilenet: %d of the %d photos of %s failed, more than --max-errors %s: it is not written%s\n", l.failed, len(p.Rows), p.Name(), l.limit(limit), l.first)
		return nil
	}
	var whole bytes.Buffer
	if l.csv {
		l.head(&whole)
	}
	whole.Write(l.part.Bytes())
	l.parts++
	return l.folder.Write(p, whole.Bytes())
}

// tellEvery is how often a log says how far a job is.
const tellEvery = 30 * time.Second

func (l *rowList) tell() {
	if now := time.Now(); l.folder != nil && now.Sub(l.told) >= tellEvery {
		l.told = now
		fmt.Fprintf(l.stderr, "mobilenet: %s, %d failed, %.0f a second\n", plural(l.photos, "photo"), l.failures, float64(l.photos)/now.Sub(l.began).Seconds())
	}
}

// finish says what was done. Photos that failed are rows of a folder and no error; a part
// that is missing is one. Standard output is read by somebody who would not see the rows
// without an answer: they are an error, unless --max-errors says how many are none.
func (l *rowList) finish() error {
	l.shut()
	if l.err != nil {
		return l.err
	}
	if l.photos == 0 && l.there.parts == 0 {
		fmt.Fprintf(l.stderr, "mobilenet: %s has no rows%s\n", shown(l.name()), l.ofShare())
	}
	if l.folder == nil {
		l.begin() // of no rows
		if l.failures == 0 {
			return nil
		}
		fmt.Fprintf(l.stderr, "mobilenet: %s, %d failed\n", plural(l.photos, "photo"), l.failures)
		if l.maxErrors.IsSet() && int64(l.failures) <= l.maxErrors.Of(int64(l.photos)) {
			return nil
		}
		return errReported
	}
	fmt.Fprintf(l.stderr, "mobilenet: %s: share %s: %s written; %d photos, %d failed%s\n", shown(l.out), l.job.Shard, plural(l.parts, "part"), l.photos, l.failures, l.there)
	if l.spoilt > 0 {
		fmt.Fprintf(l.stderr, "mobilenet: %s not written: --resume tries again, --max-errors allows more\n", plural(l.spoilt, "part"))
	}
	if l.there.spoilt > 0 {
		fmt.Fprintf(l.stderr, "mobilenet: %s that were there have more failures than --max-errors: delete them, and --resume tries again\n", plural(l.there.spoilt, "part"))
	}
	if l.spoilt+l.there.spoilt > 0 {
		return errReported
	}
	return l.folder.Check()
}

// ofShare names the share, if there are others.
func (l *rowList) ofShare() string {
	if l.job.Shard.Count == 1 {
		return ""
	}
	return fmt.Sprintf(" of share %s", l.job.Shard)
}

// noSettings are the flags that change no result: the bits are the same for any number
// of threads and any batch.
var noSettings = append([]string{"from", "threads", "batch", "offline", "model", "labels", "output", "sort-into", "save-annotated"}, listOnly...)

// settings are what the results of a command depend on besides the photos: what its
// model is, and its flags.
func (f *classifierFlags) settings(cmd *cobra.Command, c *mobilenet.Classifier) (string, error) {
	var b strings.Builder
	digest, err := mobilenet.Digest(cmd.Context(), f.model, mobilenet.WithOffline(f.offline))
	if err != nil {
		return "", err
	}
	config, err := json.Marshal(c.Config())
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "%s %s\n%q\n%s\n", cmd.Name(), digest, c.Labels(), config)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		for _, name := range noSettings {
			if f.Name == name {
				return
			}
		}
		if v := f.Value.String(); v != f.DefValue {
			fmt.Fprintf(&b, "%s=%q\n", f.Name, v)
		}
	})
	return b.String(), nil
}
