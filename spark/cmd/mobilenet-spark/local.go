package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/spark/job"
	"github.com/mobilenet-go/mobilenet/spark/worker"
)

// A parquetRow is a result in the columns that Spark gives it.
type parquetRow struct {
	Path        string              `parquet:"path,optional"`
	Member      *string             `parquet:"member,optional"`
	Predictions []prediction        `parquet:"predictions,list,optional"`
	Embedding   []float32           `parquet:"embedding,list,optional"`
	Explanation *worker.Explanation `parquet:"explanation,optional"`
	Error       *string             `parquet:"error,optional"`
	Model       string              `parquet:"model,optional"`
	Version     string              `parquet:"version,optional"`
}

type prediction struct {
	Index       int32   `parquet:"index"`
	Label       string  `parquet:"label"`
	Probability float32 `parquet:"probability"`
}

func newParquetRow(r *worker.Result) parquetRow {
	row := parquetRow{Path: r.Path, Embedding: r.Embedding, Explanation: r.Explanation, Model: r.Model, Version: r.Version}
	if r.Member != "" {
		row.Member = &r.Member
	}
	if r.Error != "" {
		row.Error = &r.Error
	}
	for _, p := range r.Predictions {
		row.Predictions = append(row.Predictions, prediction{int32(p.Index), p.Label, p.Probability})
	}
	return row
}

// localRun is a job on the cores of this machine: a part of the manifest, a worker, a file.
type localRun struct {
	*jobFlags
	folder *manifest.Folder
	stderr io.Writer
	began  time.Time

	mu     sync.Mutex
	report job.Report
}

func (f *jobFlags) runLocal(ctx context.Context, stderr io.Writer) (*job.Report, error) {
	r := localRun{jobFlags: f, stderr: stderr, began: time.Now()}
	var err error
	if r.folder, err = manifest.OpenFolder(f.Output, ".parquet"); err != nil {
		return nil, err
	}
	if n := r.folder.Owned(manifest.Shard{Count: 1}); n > 0 && !f.Resume {
		return nil, fmt.Errorf("%s has %d parts of results: --resume goes on with them, or choose another --output", f.Output, n)
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	return r.finish()
}

func (r *localRun) run(ctx context.Context) error {
	in, err := openManifest(r.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := manifest.NewReader(in)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Input, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	parts := make(chan manifest.Part)
	g.Go(func() error {
		defer close(parts)
		list := manifest.Job{Shard: manifest.Shard{Count: 1}, Rows: r.PerTask, Settings: strings.Join(r.Settings, " "), Done: r.folder.Has}
		for part, err := range list.Parts(rows) {
			if err != nil {
				return fmt.Errorf("%s: %w", r.Input, err)
			}
			select {
			case parts <- part:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
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
					if w, err = r.open(ctx); err != nil {
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

// part computes a part and writes its file.
func (r *localRun) part(ctx context.Context, w *worker.Worker, part manifest.Part) error {
	var results []parquetRow
	failed := 0
	next := 0
	err := w.Run(ctx, worker.Job{
		Next: func() (worker.Row, error) {
			if next == len(part.Rows) {
				return worker.Row{}, io.EOF
			}
			next++
			return workerRow(part.Rows[next-1])
		},
		Use: func(result *worker.Result) error {
			results = append(results, newParquetRow(result))
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
	var file bytes.Buffer
	out := parquet.NewGenericWriter[parquetRow](&file, parquet.Compression(&parquet.Snappy))
	_, err = out.Write(results)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := r.folder.Write(part, file.Bytes()); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Done += int64(len(results))
	fmt.Fprintf(r.stderr, "%d photos, %.1f a second\n", r.report.Done, float64(r.report.Done)/time.Since(r.began).Seconds())
	return nil
}

// workerRow reads the columns that a worker knows.
func workerRow(row manifest.Row) (worker.Row, error) {
	if row.Err != nil {
		return worker.Row{}, worker.BadRow(row.Err)
	}
	text, err := row.JSON(struct{}{})
	if err != nil {
		return worker.Row{}, err
	}
	var columns struct {
		Member       *string
		Offset, Size json.RawMessage
	}
	if err := json.Unmarshal(text, &columns); err != nil {
		return worker.Row{Path: row.Path}, worker.BadRow(err)
	}
	r := worker.Row{Path: row.Path}
	if columns.Member != nil {
		r.Member = *columns.Member
	}
	var err1, err2 error
	r.Offset, err1 = whole(columns.Offset)
	r.Size, err2 = whole(columns.Size)
	if err := cmp.Or(err1, err2, r.Check()); err != nil {
		return worker.Row{Path: row.Path, Member: r.Member}, worker.BadRow(err)
	}
	return r, nil
}

// whole reads a whole number, which CSV has as text. Of what isn't there it is 0.
func whole(value json.RawMessage) (int64, error) {
	text := string(value)
	if len(value) > 0 && value[0] == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return 0, err
		}
	}
	if text == "" || text == "null" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errors.New("offset and size are whole numbers")
	}
	return n, nil
}

// openManifest opens a list of photos: JSON lines or CSV, or Parquet, of which it makes
// the former.
func openManifest(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	f, err := os.Open(path)
	if err != nil || !strings.HasSuffix(path, ".parquet") {
		return f, err
	}
	r := parquet.NewReader(f)
	pipe, lines := io.Pipe()
	go func() {
		defer f.Close()
		e := json.NewEncoder(lines)
		for {
			row := map[string]any{}
			if err := r.Read(&row); err != nil {
				lines.CloseWithError(err) // at the end io.EOF, which means that
				return
			}
			if err := e.Encode(row); err != nil {
				lines.CloseWithError(err)
				return
			}
		}
	}()
	return pipe, nil
}

// finish counts what is in the folder and marks it as whole.
func (r *localRun) finish() (*job.Report, error) {
	paths, err := filepath.Glob(filepath.Join(r.Output, "part-*.parquet"))
	if err != nil {
		return nil, err
	}
	causes := map[string]int64{}
	for _, path := range paths {
		rows, err := parquet.ReadFile[struct {
			Error *string `parquet:"error,optional"`
		}](path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r.report.Rows += int64(len(rows))
		for _, row := range rows {
			if row.Error != nil {
				r.report.Failed++
				causes[job.CauseOf(*row.Error)]++
			}
		}
	}
	r.report.Photos, r.report.Elapsed = r.report.Rows, time.Since(r.began)
	r.report.Causes = job.Causes(causes)
	if err := r.report.Tolerable(r.MaxErrors); err != nil {
		return nil, err
	}
	return &r.report, atomicfile.Write(filepath.Join(r.Output, "_SUCCESS"), func(io.Writer) error { return nil })
}
