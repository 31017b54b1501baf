package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/spark/job"
	"github.com/mobilenet-go/mobilenet/spark/worker"
	"github.com/mobilenet-go/mobilenet/spark/worker/rowjson"
)

// localRun is a job on the cores of this machine: a part of the manifest, a worker, a file.
type localRun struct {
	*jobFlags
	manifest *localManifest
	table    *table
	folder   *manifest.Folder
	stderr   io.Writer
	began    time.Time

	broken map[int]bool // parts that are there and not whole

	mu     sync.Mutex
	judged int64 // photos, when errors were held against --max-errors last
	state  job.State
	report job.Report
}

func (f *jobFlags) runLocal(ctx context.Context, stderr io.Writer) (*job.Report, error) {
	r := localRun{jobFlags: f, stderr: stderr, began: time.Now(), broken: map[int]bool{}}
	var err error
	if r.manifest, err = openLocal(f.Input, f.Wanted); err != nil { // before anything is written
		return nil, err
	}
	r.Columns = r.manifest.columns
	r.table = newTable(r.Columns, r.manifest.csv)
	if isSparks(f.Output) {
		return nil, fmt.Errorf("%s: these are results of a Spark job: go on with --remote or --spark-home, or choose another --output", fault.Shown(f.Output))
	}
	if r.folder, err = manifest.OpenFolder(f.Output, ".parquet"); err != nil {
		return nil, err
	}
	if err := r.alone(); err != nil {
		return nil, err
	}
	if n := r.folder.Owned(manifest.Shard{Count: 1}); n > 0 && !f.Resume {
		return nil, fmt.Errorf("%s has %d parts of results: --resume goes on with them, or choose another --output", f.Output, n)
	}
	r.state = job.State{Began: r.began, Total: r.manifest.rows}
	there, err := r.there()
	if err != nil {
		return nil, err
	}
	switch {
	case r.manifest.rows == 0:
		fmt.Fprintf(stderr, "%s has no rows, and so there is no file of results\n", fault.Shown(f.Input))
	case there > 0:
		r.state.Total -= there
		fmt.Fprintln(stderr, job.Remaining(there, r.state.Total))
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	report, err := r.finish()
	if err != nil {
		return nil, errors.Join(err, r.unmark())
	}
	return report, nil
}

// isSparks reports whether a folder has results of Spark's: the record of its jobs, or files
// with a UUID in their names.
func isSparks(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == job.RecordName || sparkPart.MatchString(e.Name()) })
}

var sparkPart = regexp.MustCompile(`^part-[0-9]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// unmark takes away what says that all results are there. It is of an earlier run.
func (r *localRun) unmark() error { return job.Unmark(r.Output) }

// there counts the results that are there, before anything is said of them or computed: they
// must be of this list and these settings. What a full disk or a copy has cut is written again.
func (r *localRun) there() (rows int64, err error) {
	if len(r.folder.Numbers()) == 0 {
		return 0, nil
	}
	err = r.each(func(p manifest.Part) (bool, error) {
		there, err := r.done(p)
		if !there || err != nil {
			return true, err
		}
		err = whole(r.folder.Path(p), p.Size)
		if _, broken := errors.AsType[*fault.Error](err); broken { // and not only unreadable
			fmt.Fprintf(r.stderr, "%v: it is written again\n", err)
			r.broken[p.Number] = true
			return true, nil
		}
		rows += int64(p.Size)
		return true, err
	}, nil)
	return rows, err
}

// whole is an error if a file of results hasn't so many rows.
func whole(path string, rows int) error {
	f, file, err := openParquet(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if n := file.NumRows(); n != int64(rows) {
		return fault.In(path, fault.Brokenf("%d rows of %d", n, rows))
	}
	return nil
}

// each gives the parts of the list to use, of which done isn't true. The list must have as many
// rows as it had when the job began.
func (r *localRun) each(done func(manifest.Part) (bool, error), use func(manifest.Part) error) error {
	in, err := r.manifest.open()
	if err != nil {
		return fault.In(r.Input, err)
	}
	defer in.Close()
	rows, err := manifest.NewReader(in)
	if err != nil {
		return fault.In(r.Input, err)
	}
	seen := int64(0)
	counted := func(p manifest.Part) (bool, error) {
		if seen += int64(p.Size); seen > r.manifest.rows {
			return false, errChanged
		}
		return done(p)
	}
	list := manifest.Job{Shard: manifest.Shard{Count: 1}, Rows: r.PerTask, Settings: r.About(), Done: counted}
	for part, err := range list.Parts(rows) {
		if err != nil {
			return fault.In(r.Input, err)
		}
		if err := use(part); err != nil {
			return err
		}
	}
	if seen != r.manifest.rows {
		return fault.In(r.Input, errChanged)
	}
	return nil
}

// errChanged is about a list that isn't any more what it was when the job began.
var errChanged error = fault.Brokenf("the list was changed while the job ran: --resume goes on with it as it is now")

func (r *localRun) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	parts := make(chan manifest.Part)
	g.Go(func() error {
		defer close(parts)
		return r.each(r.done, func(part manifest.Part) error {
			select {
			case parts <- part:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	cores := r.threads
	if cores == 0 {
		cores = runtime.GOMAXPROCS(0)
	}
	r.report.Cores = cores
	for range cores {
		g.Go(func() error {
			var w *worker.Worker
			for part := range parts {
				if w == nil { // not before there is something to do
					var err error
					if w, err = r.open(ctx, io.Discard); err != nil { // what it assumes is said
						return err
					}
				}
				if err := r.part(ctx, w, part); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// done reports whether a part is there.
func (r *localRun) done(p manifest.Part) (bool, error) {
	ok, err := r.folder.Has(p)
	if e, other := errors.AsType[*fault.Error](err); other {
		e.Reason = strings.Replace(e.Reason, "the number of rows in a part", "--per-task", 1)
		e.Reason = strings.Replace(e.Reason, "other settings", "other settings, of which --columns is one", 1)
	}
	return ok && !r.broken[p.Number], err
}

// part computes a part and writes its file.
func (r *localRun) part(ctx context.Context, w *worker.Worker, part manifest.Part) error {
	results := make([]parquet.Row, len(part.Rows)) // in their order: the same files whenever it is run
	failed := 0
	next := 0
	err := w.Run(ctx, worker.Job{
		Next: func() (worker.Row, error) {
			if next == len(part.Rows) {
				return worker.Row{}, io.EOF
			}
			next++
			row, err := r.workerRow(part.Rows[next-1])
			row.Line = next - 1
			return row, err
		},
		Use: func(result *worker.Result) error {
			row, err := r.table.row(result)
			if err != nil {
				return err
			}
			results[result.Line] = row
			if result.Error != "" {
				failed++
			}
			return nil
		},
		Idle: func() error { return nil },
	})
	if err != nil {
		return err
	}
	file, err := r.table.write(results)
	if err := cmp.Or(err, r.unmark()); err != nil {
		return err
	}
	if err := r.folder.Write(part, file); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Done += int64(len(results))
	r.state.Done, r.state.Failed = r.report.Done, r.state.Failed+int64(failed)
	r.state.Tell(r.stderr, "")
	if r.state.Done-r.judged < int64(r.Chunk) {
		return nil
	}
	r.judged = r.state.Done
	return (&job.Report{Rows: r.state.Done, Failed: r.state.Failed}).Tolerable(r.MaxErrors)
}

// workerRow is a row as a worker knows it.
func (r *localRun) workerRow(row manifest.Row) (worker.Row, error) {
	text, err := r.manifest.passed(row).JSON(struct{}{})
	if err != nil {
		return worker.Row{}, fault.In(r.Input, err)
	}
	w, err := rowjson.Parse(text)
	if err != nil {
		err = worker.BadRow(err)
	}
	return w, err
}

// finish holds what is in the folder against the list, counts it, and marks it as whole.
func (r *localRun) finish() (*job.Report, error) {
	if err := cmp.Or(r.folder.Check(), r.alone()); err != nil {
		return nil, err
	}
	paths, err := parquetIn(r.Output)
	if err != nil {
		return nil, err
	}
	causes := map[string]int64{}
	for _, path := range paths {
		rows, err := parquet.ReadFile[struct {
			Error *string `parquet:"error,optional"`
		}](path)
		if err != nil {
			return nil, fmt.Errorf("%w: delete it and --resume again", fault.In(path, notParquet(err)))
		}
		r.report.Rows += int64(len(rows))
		for _, row := range rows {
			if row.Error != nil {
				r.report.Failed++
				causes[job.CauseOf(*row.Error)]++
			}
		}
	}
	if r.manifest.changed() {
		return nil, fault.In(r.Input, errChanged)
	}
	r.report.Photos, r.report.Elapsed = r.manifest.rows, time.Since(r.began)
	if r.report.Rows != r.report.Photos {
		return nil, fmt.Errorf("%s has %d rows of %d photos: its files are not those that were written", r.Output, r.report.Rows, r.report.Photos)
	}
	r.report.Causes = job.Causes(causes)
	if err := r.report.Tolerable(r.MaxErrors); err != nil {
		return nil, err
	}
	return &r.report, atomicfile.Write(filepath.Join(r.Output, "_SUCCESS"), func(io.Writer) error { return nil })
}

// alone is an error if the folder has Parquet files that are no parts of results: who reads
// the folder would read them, too.
func (r *localRun) alone() error {
	paths, err := parquetIn(r.Output)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if !manifest.IsPart(filepath.Base(path)) {
			return fault.In(path, fault.Unsupportedf("no part of a job's results: choose an --output without other files of Parquet"))
		}
	}
	return nil
}
