// Package job runs photos through workers on Apache Spark: it is a few statements of SQL,
// and what is said while they run. Spark cuts up the work, moves it off machines that die
// and writes Parquet; nothing of that is done here.
package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
)

// A Spec is a job.
type Spec struct {
	Input  string // manifest: .jsonl, .csv, .parquet, a folder of these, or a table
	Output string // folder of Parquet files

	Worker    string   // the program, where Spark's driver finds it, or all nodes do
	Installed bool     // whether all nodes have it
	Files     []string // that Spark brings to the nodes
	Args      []string // of the worker
	Settings  []string // those of them that results depend on

	Wanted  Wanted   // of the manifest's other columns
	Columns []Column // which [Run] finds
	Begun   bool     // which [Run] sets: the output may have results

	Digest, Version string // of the model and the program, which every row of the results has

	PerTask   int  // photos of a task
	Chunk     int  // photos whose results appear at a time
	Resume    bool // whether the output may have results already
	MaxErrors flags.Tolerance

	// Remove removes a file of Spark's by the clients of the workers, or can't.
	Remove func(ctx context.Context, name string) error
}

// About is what results depend on besides the photos.
func (s *Spec) About() string {
	text := strings.Join(s.Settings, " ")
	for _, c := range s.Columns {
		text += fmt.Sprintf(" %q %s", c.Name, c.Type)
	}
	return text
}

// Statements are the job's, as far as they can be told before it runs.
func (s *Spec) Statements() []string {
	list := append(s.settings(), s.files()...)
	const tasks = 1000 // the photos over --per-task, which only a run counts
	list = append(list, s.input(), s.manifest(), s.record(""), s.results(), s.remaining(), s.chunk(0, 1, tasks), s.countErrors(), s.results(), check, causes)
	return append(list, success...)
}

// A Report is what became of a job.
type Report struct {
	Photos  int64 `json:"photos"`  // of the manifest
	Rows    int64 `json:"rows"`    // of the output
	Failed  int64 `json:"failed"`  // rows with errors
	Missing int64 `json:"missing"` // photos without a row
	Twice   int64 `json:"twice"`   // photos with more than one
	Others  int64 `json:"others"`  // rows of photos that the manifest doesn't have
	Alien   int64 `json:"alien"`   // rows that are no results of this model and program

	Done    int64 // photos of this run
	Cores   int   // at work at a time, as Spark told
	Elapsed time.Duration
	Causes  []Cause
}

// A Cause is an error of photos, numbers in it apart.
type Cause struct {
	Photos int64  `json:"photos"`
	Text   string `json:"cause"`
}

// Run runs a job, and tells of it on w.
func Run(ctx context.Context, s *Spec, session *Session, w io.Writer) (*Report, error) {
	r := run{Spec: s, session: session, w: w, began: time.Now()}
	report, err := r.all(ctx)
	if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "OPERATION_CANCELED") {
		err = fmt.Errorf("%w; a job that writes to the same output ends those before it", err)
	}
	return report, err
}

// all is the whole run.
func (r *run) all(ctx context.Context) (*Report, error) {
	fmt.Fprintln(r.w, "reading the manifest")
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.Begun = true; r.remaining > 0 {
		if err := r.unmark(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.chunks(ctx); err != nil {
		return nil, err
	}
	report, err := r.finish(ctx)
	if err != nil {
		err = errors.Join(err, r.unmark(ctx))
	}
	return report, err
}

// unmark removes an earlier run's _SUCCESS, which SQL can't: if Spark's output is a folder
// that is seen here, with the record in it, or in a bucket, as the workers reach it. Where
// it stays it is older than the record.
func (r *run) unmark(ctx context.Context) error {
	if dir := r.folder(); dir != "" {
		return Unmark(dir)
	}
	mark := strings.TrimRight(r.Output, "/") + "/_SUCCESS"
	if !r.exists(ctx, mark) {
		return nil
	}
	err := r.Remove(ctx, mark)
	if err == nil && r.exists(ctx, mark) { // this is the same name elsewhere
		err = errors.New("what Spark has is another file of that name")
	}
	if err != nil {
		fmt.Fprintf(r.w, "%s is an earlier run's, and stays (%v): it counts where it is younger than %s\n", mark, err, r.recordPath())
	}
	return nil
}

// folder is Spark's output if that is a folder that is seen here, and has the record.
func (r *run) folder() string {
	dir := strings.TrimPrefix(strings.TrimPrefix(r.Output, "file:"), "//")
	if _, err := os.Stat(filepath.Join(dir, path.Base(r.recordPath()))); filepath.IsAbs(dir) && err == nil {
		return dir
	}
	return ""
}

// exists reports whether Spark finds a file. It lists none of that name, but looks for it.
func (r *run) exists(ctx context.Context, name string) bool {
	_, err := r.session.Query(ctx, fmt.Sprintf("SELECT CAST(count(*) AS STRING) FROM text.`%s`", strings.ReplaceAll(name, "`", "``")))
	return err == nil
}

// Unmark removes the _SUCCESS of an earlier run from a folder.
func Unmark(dir string) error {
	if err := os.Remove(filepath.Join(dir, "_SUCCESS")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A run is a job on its way.
type run struct {
	*Spec
	session   *Session
	w         io.Writer
	began     time.Time
	before    *Report // rows that were there
	remaining int64
	cores     int // that were seen at work
}

func (r *run) exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if err := r.session.Exec(ctx, statement, nil); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) prepare(ctx context.Context) error {
	if err := r.exec(ctx, r.settings()...); err != nil {
		return err
	}
	if err := r.columns(ctx); err != nil {
		return err
	}
	if err := r.everyFile(ctx); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if err := r.takeOver(ctx); err != nil {
		return err
	}
	if err := r.exec(ctx, append(r.files(), r.input())...); err != nil {
		return err
	}
	if err := r.relative(ctx); err != nil {
		return err
	}
	if err := r.exec(ctx, r.manifest(), r.record(r.session.ID()), r.results(), r.Spec.remaining()); err != nil {
		return err
	}
	var err error
	r.remaining, err = r.number(ctx, countRemaining)
	if there := r.before.Rows; err == nil && there > 0 {
		fmt.Fprintln(r.w, Remaining(there, r.remaining))
	}
	return err
}

// everyFile is an error if Spark leaves out files of the manifest: those in folders below it
// that aren't of partitions, or that stand beside files, it passes over without a word.
func (r *run) everyFile(ctx context.Context) error {
	if IsTable(r.Input) {
		return nil
	}
	if err := r.exec(ctx, r.filesOf("mobilenet_all", true), r.filesOf("mobilenet_read", false)); err != nil {
		return err
	}
	var files struct{ All, Read int64 }
	if err := r.ask(ctx, countFiles, &files); err != nil {
		return err
	}
	if left := files.All - files.Read; left > 0 {
		return fmt.Errorf("%s: Spark would leave out %d of its %d files, which lie in folders below it: --input of each folder, or of one with all files", r.Input, left, files.All)
	}
	return nil
}

// relative warns if paths of the manifest say nothing to other machines.
func (r *run) relative(ctx context.Context) error {
	names, err := r.session.Query(ctx, firstPaths)
	if err != nil {
		return err
	}
	for _, name := range names {
		if scheme, _, _ := strings.Cut(name, ":"); !strings.HasPrefix(name, "/") && len(scheme) == len(name) {
			fmt.Fprintf(r.w, "%s is a relative path: workers look for it in the folders that Spark runs them in; mobilenet-spark list writes whole ones\n", fault.Shown(name))
			return nil
		}
	}
	return nil
}

// look looks what the output has, and whether the run may go on with it. Nothing is written
// before: what is refused stays as it is, with its record.
func (r *run) look(ctx context.Context) error {
	r.before = &Report{}
	err := r.exec(ctx, r.results())
	if err != nil && strings.Contains(err.Error(), "PATH_NOT_FOUND") {
		return nil
	}
	if err != nil {
		return err
	}
	if r.before, err = r.count(ctx); err != nil {
		return err
	}
	there := r.before.Rows
	if r.Begun = there > 0; r.Begun && !r.Resume {
		return fmt.Errorf("%s has %d results: --resume goes on with them, or choose another --output", r.Output, there)
	}
	return nil
}

// Remaining says what --resume finds and what is left.
func Remaining(there, remain int64) string {
	result, photo := "results are", "photos remain"
	if there == 1 {
		result = "result is"
	}
	if remain == 1 {
		photo = "photo remains"
	}
	return fmt.Sprintf("%d %s there, %d %s", there, result, remain, photo)
}

// number asks for one number.
func (r *run) number(ctx context.Context, query string) (int64, error) {
	rows, err := r.session.Query(ctx, query)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("%d answers to one question", len(rows))
	}
	return strconv.ParseInt(rows[0], 10, 64)
}

// takeOver looks for a run before this one. If its program died while Spark did not, Spark
// goes on with what it was told last, and would write results that this run computes, too.
func (r *run) takeOver(ctx context.Context) error {
	rows, err := r.session.Query(ctx, r.lastRecord())
	if none := err != nil || len(rows) == 0; none && r.Begun {
		return fmt.Errorf("%s has results and no %s of a Spark job, which says what they are of: --local goes on with its own, or choose another --output", r.Output, RecordName)
	} else if none {
		return nil
	}
	var last struct{ Session, Settings string }
	if err := json.Unmarshal([]byte(rows[0]), &last); err != nil {
		return fmt.Errorf("%s: %w", r.recordPath(), err)
	}
	if r.Resume && last.Settings != r.About() {
		return fmt.Errorf("%s has results of another model or other settings:\n  %s\nand not\n  %s", r.Output, last.Settings, r.About())
	}
	ended, err := r.session.Interrupt(ctx, last.Session)
	if err == nil && ended {
		err = r.look(ctx) // it may have written something in the meantime
	}
	return err
}

// chunks computes the remaining photos, a chunk after the other: what is written stays,
// whatever happens to the next.
func (r *run) chunks(ctx context.Context) error {
	if r.remaining == 0 {
		return nil
	}
	chunks := int((r.remaining + int64(r.Chunk) - 1) / int64(r.Chunk))
	tasks := max(1, int((r.remaining/int64(chunks)+int64(r.PerTask)-1)/int64(r.PerTask)))
	state := State{Began: time.Now(), Total: r.remaining}
	for i := range chunks {
		chunk := ""
		if chunks > 1 {
			chunk = fmt.Sprintf(", chunk %d of %d", i+1, chunks)
		}
		before := state.Done
		progress := func(p Progress) { // its other stages, which sort names, take seconds
			r.cores = max(r.cores, p.Running)
			if p.Tasks == tasks && p.Done < tasks {
				state.Done = before + r.remaining/int64(chunks)*int64(p.Done)/int64(p.Tasks)
				state.Tell(r.w, fmt.Sprintf("%s, %d of %d tasks", chunk, p.Done, p.Tasks))
			}
		}
		if err := r.session.Exec(ctx, r.chunk(i, chunks, tasks), progress); err != nil {
			return err
		}
		now, err := r.count(ctx)
		if err != nil {
			return err
		}
		state.Done, state.Failed, state.told = now.Rows-r.before.Rows, now.Failed-r.before.Failed, time.Time{}
		state.Tell(r.w, chunk)
		if _, err := r.judge(ctx, now); err != nil {
			return err
		}
	}
	if r.cores == 0 { // Spark tells how many are at work every two seconds, and all was done in between
		cores, err := r.number(ctx, countCores)
		if err != nil {
			return err
		}
		r.cores = min(int(cores), tasks)
	}
	return nil
}

// interval is the time between lines that say how far it is.
const interval = 5 * time.Second

// A State is how far a run is.
type State struct {
	Began               time.Time
	Done, Total, Failed int64 // photos

	told time.Time
}

// Tell says how far it is, and what more there is to say behind the photos, unless it did
// just now. The end it always says.
func (s *State) Tell(w io.Writer, more string) {
	if time.Since(s.told) < interval && s.Done < s.Total {
		return
	}
	s.told = time.Now()
	seconds := time.Since(s.Began).Seconds()
	line := fmt.Sprintf("%d of %d photos%s, %.1f a second", s.Done, s.Total, more, float64(s.Done)/seconds)
	if s.Failed > 0 {
		line += fmt.Sprintf(", %d failed", s.Failed)
	}
	if s.Done > 0 && s.Done < s.Total {
		left := time.Duration(seconds * float64(s.Total-s.Done) / float64(s.Done) * float64(time.Second))
		line += fmt.Sprintf(", %v to go", left.Round(time.Second))
	}
	fmt.Fprintln(w, line)
}

// count counts the rows of the output, and those with errors.
func (r *run) count(ctx context.Context) (*Report, error) {
	n := &Report{}
	if err := r.ask(ctx, r.countErrors(), n); err != nil {
		return nil, err
	}
	if n.Alien > 0 {
		return nil, fmt.Errorf("%s has %d rows that are no results of this model and this version of the program: choose another --output", r.Output, n.Alien)
	}
	return n, nil
}

// ask decodes the only row of an answer.
func (r *run) ask(ctx context.Context, query string, into any) error {
	rows, err := r.session.Query(ctx, query)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("%d answers to one question", len(rows))
	}
	return json.Unmarshal([]byte(rows[0]), into)
}

// Tolerable is an error if more of the rows failed than may.
func (r *Report) Tolerable(most flags.Tolerance) error {
	if r.Failed <= most.Of(r.Rows) {
		return nil
	}
	text := fmt.Sprintf("%d of %d photos failed, %.2f %%, and --max-errors is %s", r.Failed, r.Rows, 100*float64(r.Failed)/float64(r.Rows), most.String())
	for i, c := range r.Causes {
		if i == 0 {
			text += ":"
		}
		text += fmt.Sprintf("\n  %d: %s", c.Photos, c.Text)
	}
	return errors.New(text + "\nrows with errors are results, too, which --resume leaves; where the cause is gone, delete the files that have them and --resume")
}

// CauseOf is an error without its numbers, which are of one photo, but for limits, which are of
// all. Sizes such as 30000x20000 are numbers, and s3 is a word: so is a limit behind a mark.
func CauseOf(text string) string {
	text = limits.ReplaceAllString(text, "${1}"+mark+"${2}")
	return strings.ReplaceAll(numbers.ReplaceAllString(text, "N"), " "+mark, " ")
}

var numbers, limits = regexp.MustCompile(numbersPattern), regexp.MustCompile(limitsPattern)

const (
	numbersPattern = `\b[0-9]+(x[0-9]+)*`
	limitsPattern  = `(more than |limit of )([0-9])`
	mark           = "___"
)

// Causes lists the most frequent causes.
func Causes(counts map[string]int64) []Cause {
	var list []Cause
	for text, n := range counts {
		list = append(list, Cause{n, text})
	}
	slices.SortFunc(list, func(a, b Cause) int { return cmp.Or(cmp.Compare(b.Photos, a.Photos), cmp.Compare(a.Text, b.Text)) })
	return list[:min(len(list), 10)]
}

func (r *run) causes(ctx context.Context) ([]Cause, error) {
	rows, err := r.session.Query(ctx, causes)
	if err != nil {
		return nil, err
	}
	list := make([]Cause, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row), &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// finish holds the output against the manifest and marks it as whole.
func (r *run) finish(ctx context.Context) (*Report, error) {
	if err := r.exec(ctx, r.results()); err != nil { // which lists the files anew
		return nil, err
	}
	report := &Report{Done: r.remaining, Cores: r.cores, Elapsed: time.Since(r.began)}
	if err := r.ask(ctx, check, report); err != nil {
		return nil, err
	}
	if report.Missing > 0 || report.Twice > 0 {
		return report, fmt.Errorf("of %d photos %d have no row and %d have several: something else writes to %s, or its files are not those that Spark wrote",
			report.Photos, report.Missing, report.Twice, r.Output)
	}
	if report, err := r.judge(ctx, report); err != nil {
		return report, err
	}
	return report, r.exec(ctx, success...)
}

// judge adds the causes of errors to a report, and is an error if there are too many.
func (r *run) judge(ctx context.Context, report *Report) (*Report, error) {
	if report.Failed == 0 {
		return report, nil
	}
	var err error
	if report.Causes, err = r.causes(ctx); err != nil {
		return nil, err
	}
	return report, report.Tolerable(r.MaxErrors)
}
