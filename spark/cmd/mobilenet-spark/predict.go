package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/spark/job"
	"github.com/mobilenet-go/mobilenet/spark/store"
)

// jobFlags are those of predict, embed and explain.
type jobFlags struct {
	workerFlags
	remote, sparkHome string
	sparkArgs         []string
	local             bool
	worker            string
	installed         bool
	printSQL          bool
	threads           int
	job.Spec
}

func newPredict() *cobra.Command {
	return newJob("predict", "Classify the photos of a manifest", func(f *jobFlags, fs *pflag.FlagSet) {
		fs.IntVarP(&f.Top, "top", "k", 5, "classes of each photo")
		fs.Float64Var(&f.Threshold, "threshold", 0, "only classes of at least this probability, 0 to 1")
		fs.BoolVar(&f.Embed, "embed", false, "embed photos, too")
	})
}

func newEmbed() *cobra.Command {
	return newJob("embed", "Embed the photos of a manifest", func(f *jobFlags, fs *pflag.FlagSet) {
		f.Embed = true
		fs.BoolVar(&f.Normalize, "normalize", false, "divide each embedding by its length (L2)")
	})
}

func newJob(verb, short string, own func(*jobFlags, *pflag.FlagSet)) *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   verb + " {--remote sc://HOST | --spark-home DIR | --local} --input MANIFEST --output DIR --model FILE",
		Short: short,
		Long: short + `: Spark deals its rows out to workers, which it starts
on the nodes, and writes what they say as Parquet.

A manifest is JSON lines, CSV or Parquet, or a table of Spark's, with a column path, and
for members of shards member, offset and size; see mobilenet-spark worker --help. Spark
computes a photo once and writes one row of it, however often the manifest has it; --local
computes and writes a row for each row of the manifest.

Results appear a chunk at a time. After a failure --resume goes on with the photos that
have none; a row with an error is one: to have such photos tried again, delete the files
that have them. At the end the output is held against the manifest, and marked by _SUCCESS.`,
		Example: fmt.Sprintf(`  mobilenet-spark %[1]s --local --input photos.csv --output labels/ --model model.pth
  mobilenet-spark %[1]s --remote sc://spark:15002 --input s3a://b/photos.parquet --output s3a://b/labels/ --model model.pth
  mobilenet-spark %[1]s --spark-home /opt/spark --spark-arg=--master=yarn --input photos --output hdfs:///labels --model model.pth`, verb),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	f.register(fs)
	own(&f, fs)
	fs.StringVar(&f.remote, "remote", "", "Spark Connect server, sc://`HOST:PORT`")
	fs.StringVar(&f.sparkHome, "spark-home", "", "`DIR` of Spark, of which a driver is started for the job")
	fs.StringArrayVar(&f.sparkArgs, "spark-arg", nil, "`ARGUMENT` for spark-submit, such as --master=spark://HOST:7077; may be repeated")
	fs.BoolVar(&f.local, "local", false, "run on the cores of this machine, without Spark")
	fs.StringVarP(&f.Input, "input", "i", "", "manifest: `FILE` or folder, or a table of Spark's")
	fs.StringVarP(&f.Output, "output", "o", "", "`DIR` for Parquet files")
	fs.StringVar(&f.worker, "worker", "", "the program for the nodes, as Spark's driver finds it; the default is this `FILE`")
	fs.BoolVar(&f.installed, "installed", false, "--worker and --model are paths that all nodes see: nothing is brought to them")
	fs.StringSliceVar(&f.Wanted.Names, "columns", nil, "the manifest's other columns that are passed on, as `NAME,NAME`; the default is all, and \"\" none")
	fs.IntVar(&f.PerTask, "per-task", 5000, "photos of a task")
	fs.IntVar(&f.Chunk, "chunk", 1_000_000, "photos whose results appear at a time")
	fs.BoolVar(&f.Resume, "resume", false, "go on with the photos that have no result in --output")
	f.MaxErrors.Set("1%")
	fs.Var(&f.MaxErrors, "max-errors", "photos that may fail: a count, as 10, or a share, as 1%")
	flags.Threads(fs, &f.threads, "with --local: cores to use; 0 means all")
	fs.BoolVar(&f.printSQL, "print-sql", false, "print the job's statements, and compute nothing; with --remote or --spark-home Spark is asked for the columns of a manifest that is not on this machine")
	return cmd
}

func (f *jobFlags) check(fs *pflag.FlagSet) error {
	engines := 0
	for _, given := range []bool{f.remote != "", f.sparkHome != "", f.local} {
		if given {
			engines++
		}
	}
	switch {
	case engines != 1 && !f.printSQL || engines > 1:
		return fmt.Errorf("want one of --remote, --spark-home and --local")
	case f.Input == "" || f.Output == "":
		return fmt.Errorf("want --input and --output")
	case f.Input == "-":
		return fmt.Errorf("--input -: a list is read several times: want a file")
	case f.local && f.printSQL:
		return fmt.Errorf("--print-sql prints the statements of a job on Spark, and --local has none")
	case f.local && manifest.Scheme(f.Input) != "":
		return fmt.Errorf("--input %s: --local reads lists on this machine by their paths, and %s: is none", fault.Shown(f.Input), manifest.Scheme(f.Input))
	case f.local && manifest.Scheme(f.Output) != "":
		return fmt.Errorf("--output %s: --local writes to folders, and %s: is none", fault.Shown(f.Output), manifest.Scheme(f.Output))
	case !f.local && strings.ContainsAny(f.Output, "{}[]*?"):
		return fmt.Errorf("--output %s: Spark takes {, }, [, ], * and ? for a pattern of names: want another", fault.Shown(f.Output))
	case !f.local && strings.Contains(f.Input, "${"):
		return fmt.Errorf("--input %s: for ${...} Spark writes the values of variables: want another name", fault.Shown(f.Input))
	case job.ClusterMode(f.sparkArgs):
		return fmt.Errorf("--spark-arg=--deploy-mode=cluster: Spark's driver would run on another machine, and the job speaks to one on this: want it without")
	case f.PerTask < 1 || f.Chunk < 1:
		return fmt.Errorf("--per-task and --chunk: want at least 1")
	}
	return f.workerFlags.check(fs)
}

func (f *jobFlags) run(cmd *cobra.Command) error {
	f.Wanted.Listed = cmd.Flags().Changed("columns")
	if err := f.check(cmd.Flags()); err != nil {
		return &usageError{err}
	}
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if err := f.spec(ctx, cmd.Flags()); err != nil {
		return err
	}
	if f.printSQL {
		if err := f.printedColumns(ctx, cmd.OutOrStdout(), stderr); err != nil {
			return err
		}
		for _, statement := range f.Statements() {
			fmt.Fprintln(cmd.OutOrStdout(), statement+";")
		}
		return nil
	}
	if err := f.look(ctx, stderr); err != nil {
		return err
	}
	report, err := f.engine(ctx, stderr)
	if report != nil {
		tell(stderr, report)
	}
	if err != nil && ctx.Err() != nil {
		return &stoppedError{f.Output, f.wrote()}
	}
	return err
}

// wrote reports whether the output may have results.
func (f *jobFlags) wrote() bool {
	if !f.local {
		return f.Begun
	}
	there, err := parquetIn(f.Output)
	return err == nil && len(there) > 0
}

// engine runs the job, here or on Spark.
func (f *jobFlags) engine(ctx context.Context, stderr io.Writer) (*job.Report, error) {
	if f.local {
		return f.runLocal(ctx, stderr)
	}
	session, err := f.session(ctx, stderr)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	buckets := store.New(f.store)
	defer buckets.Close()
	f.Remove = buckets.Remove
	return job.Run(ctx, &f.Spec, session, stderr)
}

// look opens the model before anything runs, if it is on this machine: to say what is assumed
// of it where somebody reads that, and what it can't do.
func (f *jobFlags) look(ctx context.Context, stderr io.Writer) error {
	if _, err := findFile(f.model); err != nil {
		return nil // it is on the nodes alone
	}
	c, digest, err := f.classifier(ctx, stderr)
	if err != nil {
		return err
	}
	if f.explain {
		if _, err := f.explaining.options(c); err != nil {
			return &usageError{err}
		}
	}
	_, err = f.workerOf(ctx, c, digest)
	return err
}

// printedColumns finds the columns of a manifest: here, if it is a file on this machine, and
// else by Spark, if that is said.
func (f *jobFlags) printedColumns(ctx context.Context, out, stderr io.Writer) error {
	if f.Wanted.Listed && len(f.Wanted.Names) == 0 {
		return nil
	}
	m, err := openLocal(f.Input, f.Wanted)
	switch {
	case err == nil:
		f.Columns = m.columns
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case f.remote == "" && f.sparkHome == "":
		_, err = fmt.Fprintln(out, "-- The manifest's other columns are not in these statements: with --remote or --spark-home Spark is asked for them.")
		return err
	}
	session, err := f.session(ctx, stderr)
	if err != nil {
		return err
	}
	defer session.Close()
	return job.FindColumns(ctx, &f.Spec, session)
}

func (f *jobFlags) session(ctx context.Context, stderr io.Writer) (*job.Session, error) {
	if f.remote != "" {
		return job.Connect(ctx, f.remote)
	}
	log, err := os.CreateTemp("", "mobilenet-spark-driver-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the driver has it open
	fmt.Fprintf(stderr, "starting Spark's driver; what it says is in %s\n", log.Name())
	return job.Start(ctx, f.sparkHome, f.sparkArgs, log)
}

// spec fills in what nodes get, and how the worker is called there.
func (f *jobFlags) spec(ctx context.Context, fs *pflag.FlagSet) error {
	f.Worker, f.Installed = f.worker, f.installed
	if f.Worker == "" {
		if f.Installed {
			f.Worker = "mobilenet-spark"
		} else if self, err := os.Executable(); err != nil {
			return err
		} else {
			f.Worker = self
		}
	}
	for _, name := range []*string{&f.Input, &f.Output} { // Spark's driver runs in another folder
		if name == &f.Input && job.IsTable(*name) {
			continue
		}
		var err error
		if *name, err = absolute(*name); err != nil {
			return err
		}
	}
	model := f.model
	if f.digest == "" {
		digest, err := mobilenet.Digest(ctx, model)
		if err != nil {
			return fmt.Errorf("%w; where only the nodes can read the model, --digest says its SHA-256", err)
		}
		f.digest = digest
	}
	if _, err := os.Stat(model); err != nil && !f.local && !f.Installed && slices.Contains(mobilenet.Names(), model) {
		return fmt.Errorf("--model %s: what travels to the nodes is a file: mobilenet convert %s model.safetensors makes one", model, model)
	}
	files := []string{f.Worker, model}
	labels := f.labels
	if labels != "" {
		var err error
		if _, f.labelsDigest, err = readLabels(labels, f.labelsDigest); err != nil {
			return err
		}
		files = append(files, labels)
	}
	if !f.Installed {
		names := map[string]bool{}
		for _, file := range files {
			path, err := absolute(file)
			if err != nil {
				return err
			}
			f.Files = append(f.Files, path)
			names[base(path)] = true
		}
		if len(names) < len(files) {
			return fmt.Errorf("%s: files of one name can't travel together", strings.Join(files, ", "))
		}
		model, labels = base(model), base(labels)
	}
	f.Digest, f.Version = f.digest, version()
	f.Settings = f.settings(fs)
	f.Args = append(slices.Clone(f.Settings), "--model="+model)
	if labels != "" {
		f.Args = append(f.Args, "--labels="+labels)
	}
	f.Args = append(f.Args, f.args()...)
	return nil
}

// base is the last part of a path or a URL.
func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// absolute makes a path absolute, and leaves a URL.
func absolute(name string) (string, error) {
	if strings.Contains(name, ":/") {
		return name, nil
	}
	return filepath.Abs(name)
}

// settings are a worker's arguments that results depend on, and so does --resume.
func (f *workerFlags) settings(fs *pflag.FlagSet) []string {
	args := []string{"--digest=" + f.digest, "--expect-version=" + version(), fmt.Sprint("--top=", f.Top)}
	if f.Threshold > 0 {
		args = append(args, fmt.Sprint("--threshold=", f.Threshold))
	}
	for _, v := range []struct {
		name  string
		given bool
	}{{"embed", f.Embed}, {"normalize", f.Normalize}, {"no-exif-orientation", f.AsStored}} {
		if v.given {
			args = append(args, "--"+v.name)
		}
	}
	if f.explain {
		args = append(args, f.explaining.args()...)
	}
	if f.labelsDigest != "" {
		args = append(args, "--labels-digest="+f.labelsDigest)
	}
	args = append(args, f.photos.Args(fs)...)
	return append(args, "--precision="+string(f.precision), fmt.Sprint("--max-pixels=", f.MaxPixels))
}

// args are the others: how photos are fetched, and how many at a time.
func (f *workerFlags) args() []string {
	var args []string
	for _, v := range []struct{ name, value string }{{"s3", f.store.S3}, {"gs", f.store.GS}, {"azblob", f.store.Azure}} {
		if v.value != "" {
			args = append(args, "--"+v.name+"="+v.value)
		}
	}
	if f.store.GiveUp {
		args = append(args, "--give-up")
	}
	return append(args, fmt.Sprint("--batch=", f.Batch), fmt.Sprint("--connections=", f.Connections), fmt.Sprint("--in-flight=", f.InFlight),
		fmt.Sprint("--tries=", f.store.Tries), fmt.Sprint("--stall=", f.store.Stall))
}

// tell is the table at the end.
func tell(w interface{ Write([]byte) (int, error) }, r *job.Report) {
	rows := [][2]string{
		{"photos", fmt.Sprint(r.Photos)}, {"rows", fmt.Sprint(r.Rows)}, {"failed", fmt.Sprint(r.Failed)},
	}
	for _, c := range r.Causes {
		rows = append(rows, [2]string{"", fmt.Sprintf("%d: %s", c.Photos, c.Text)})
	}
	if r.Others > 0 {
		rows = append(rows, [2]string{"not in the manifest", fmt.Sprint(r.Others)})
	}
	seconds := r.Elapsed.Seconds()
	rows = append(rows, [2]string{"time", r.Elapsed.Round(100 * time.Millisecond).String()},
		[2]string{"photos a second", fmt.Sprintf("%.1f", float64(r.Done)/seconds)})
	if r.Cores > 0 {
		rows = append(rows, [2]string{"and core", fmt.Sprintf("%.1f", float64(r.Done)/seconds/float64(r.Cores))})
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%-20s %s\n", row[0], row[1])
	}
}
