package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/spark/store"
	"github.com/mobilenet-go/mobilenet/spark/worker"
	"github.com/mobilenet-go/mobilenet/vision"
)

// workerFlags are what a worker does, wherever it runs.
type workerFlags struct {
	model, digest string
	labels        string // names of the classes: a file, found as the model is
	labelsDigest  string // SHA-256 of it, beside digest
	precision     flags.Precision
	photos        flags.Photos
	version       string // that it has to be
	store         store.Options
	explain       bool
	explaining    explainFlags
	worker.Options
}

func (f *workerFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.model, "model", "m", "", "`FILE` of the model; one without a folder may lie beside this program")
	fs.StringVar(&f.digest, "digest", "", "`SHA256` that the model's file must have")
	fs.StringVar(&f.labels, "labels", "", "`FILE` with the names of the classes: a line each, or JSON; found as the model is")
	f.precision = "auto"
	fs.Var(&f.precision, "precision", flags.PrecisionUsage)
	f.photos.Register(fs, true)
	fs.BoolVar(&f.AsStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	fs.IntVar(&f.Batch, "batch", 16, "photos to run at once")
	fs.IntVar(&f.Connections, "connections", 16, "connections that fetch photos ahead")
	fs.Int64Var(&f.InFlight, "in-flight", 32<<20, "bytes of photos that are fetched ahead")
	fs.IntVar(&f.MaxPixels, "max-pixels", vision.DefaultMaxPixels, "refuse photos of more pixels, which take memory")
	fs.BoolVar(&f.store.GiveUp, "give-up", false, "photos of a server that can't be reached are rows with an error, and the task doesn't fail")
	f.registerStores(fs)
}

// check refuses what no model and no photo can be right for.
func (f *workerFlags) check(fs *pflag.FlagSet) error {
	switch {
	case f.model == "":
		return errors.New("no model: want --model FILE")
	case !slices.Contains(flags.Precisions, string(f.precision)):
		return fmt.Errorf("--precision %s: want %s", f.precision, strings.Join(flags.Precisions, ", "))
	case f.Top < 0 || fs.Changed("top") && f.Top < 1 && !(f.Embed || f.explain):
		return fmt.Errorf("--top %d: want at least 1, or 0 with --embed", f.Top)
	case !(f.Threshold >= 0 && f.Threshold <= 1): // NaN neither
		return fmt.Errorf("--threshold %v: want 0 to 1", f.Threshold)
	case f.explain && (f.Embed || f.Top > 0 && fs.Changed("top")):
		return errors.New("--explain explains photos, and nothing else: want it without --embed and --top")
	case f.Normalize && !f.Embed:
		return errors.New("--normalize is of embeddings: want --embed")
	case !f.explain && (fs.Changed("class") || fs.Changed("method") || fs.Changed("layer")):
		return errors.New("--class, --method and --layer are of explanations: want --explain")
	case f.Batch < 1 || f.Batch > 1024 || f.Connections < 1 || f.Connections > 1024:
		return errors.New("--batch and --connections: want 1 to 1024")
	case f.InFlight < 1 || f.MaxPixels < 1 || f.store.Tries < 1 || f.store.Stall <= 0:
		return errors.New("--in-flight, --max-pixels, --tries and --stall: want more than 0")
	case f.explaining.method != "" && !slices.Contains([]string{"cam", "gradcam", "occlusion"}, f.explaining.method):
		return fmt.Errorf("--method %s: want cam, gradcam, occlusion", f.explaining.method)
	}
	return f.photos.Check(fs)
}

// registerStores registers the flags that say how objects are reached.
func (f *workerFlags) registerStores(fs *pflag.FlagSet) {
	fs.StringVar(&f.store.S3, "s3", "", "how s3: is reached, as `QUERY`: endpoint=http://HOST:9000&use_path_style=true&region=us-east-1")
	fs.StringVar(&f.store.GS, "gs", "", "how gs: is reached, as `QUERY`: anonymous=true")
	fs.StringVar(&f.store.Azure, "azblob", "", "how azblob: is reached, as `QUERY`: storage_account=NAME&domain=HOST&protocol=http")
	fs.IntVar(&f.store.Tries, "tries", 6, "tries at an object, the waits between them from 0.2 s on doubling")
	fs.DurationVar(&f.store.Stall, "stall", 30*time.Second, "time without a byte after which a try has failed")
}

func newWorker() *cobra.Command {
	var f workerFlags
	var guarded bool
	cmd := &cobra.Command{
		Use:   "worker --model FILE [flags]",
		Short: "Read rows that name photos, and write what a model says of each",
		Long: `Read rows from standard input, a JSON object a line, and write a row for each to
standard output, in any order: what a task of Spark runs, or of any other engine.

  {"path": "s3://bucket/dog.jpg"}                                       a photo
  {"path": "s3://bucket/shard-0.tar", "member": "dog.jpg"}              one in a shard
  {"path": "s3://bucket/shard-0.tar", "member": "dog.jpg", "offset": 1024, "size": 53117}

Paths are files, or begin with file:, s3:, gs:, azblob:, https: or http:. Shards are tar
archives, plain or (without offsets) packed by gzip.

A photo that can't be read or decoded is a row with an error, and so is one that the
process dies of: a second one watches it, and tries what was under way again, in the end
row by row. The exit code is not 0 only for what another try may mend: no model, a server
that can't be reached. What was written then is to be thrown away.

One core computes, so that a task takes what Spark counts it as.`,
		Example: `  echo '{"path": "dog.jpg"}' | mobilenet-spark worker --model model.safetensors
  mobilenet-spark list s3://bucket/photos/ | mobilenet-spark worker --model model.pth --embed`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			runtime.GOMAXPROCS(1)
			if err := f.check(cmd.Flags()); err != nil { // and not in the other process, whose exit code 2 is Go's
				return &usageError{err}
			}
			if !guarded {
				return guard(cmd)
			}
			forget()
			debug.SetGCPercent(50) // of some 50 MB: memory is what clusters have little of
			w, err := f.open(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			forget()
			return w.Guarded(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.IntVarP(&f.Top, "top", "k", 5, "classes of each photo; 0 for none")
	fs.Float64Var(&f.Threshold, "threshold", 0, "only classes of at least this probability, 0 to 1")
	fs.BoolVar(&f.Embed, "embed", false, "embed photos")
	fs.BoolVar(&f.Normalize, "normalize", false, "divide each embedding by its length (L2)")
	fs.BoolVar(&f.explain, "explain", false, "explain photos, and nothing else")
	f.explaining.register(fs)
	fs.StringVar(&f.version, "expect-version", "", "`VERSION` that this program must be of")
	fs.StringVar(&f.labelsDigest, "labels-digest", "", "`SHA256` that the file of --labels must have")
	fs.BoolVar(&guarded, "guarded", false, "work for a worker that watches this one")
	fs.MarkHidden("guarded")
	return cmd
}

// guard runs the worker's command in processes of their own.
func guard(cmd *cobra.Command) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	forget()
	args := []string{"worker", "--guarded"}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, value := range values {
			args = append(args, "--"+f.Name+"="+value)
		}
	})
	return worker.Guard(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), func(ctx context.Context) *exec.Cmd {
		child := exec.CommandContext(ctx, program, args...)
		child.Stderr = cmd.ErrOrStderr()
		return child
	})
}

// open makes a worker that computes on one core. What it assumes of the model it says on
// stderr.
func (f *workerFlags) open(ctx context.Context, stderr io.Writer) (*worker.Worker, error) {
	c, digest, err := f.classifier(ctx, stderr)
	if err != nil {
		return nil, err
	}
	return f.workerOf(ctx, c, digest)
}

// workerOf makes a worker of an open model.
func (f *workerFlags) workerOf(ctx context.Context, c *mobilenet.Classifier, digest string) (*worker.Worker, error) {
	o := f.Options
	if f.explain {
		o.Top = 0
		var err error
		if o.Explain, err = f.explaining.options(c); err != nil {
			return nil, err
		}
	}
	return worker.New(ctx, c, digest, version(), store.New(f.store), o)
}

// classifier opens the model, whose digest and version have to be those of the job.
func (f *workerFlags) classifier(ctx context.Context, stderr io.Writer) (c *mobilenet.Classifier, digest string, err error) {
	if f.version != "" && f.version != version() {
		return nil, "", fmt.Errorf("this program is %s, and the job is of %s: all nodes need the same", version(), f.version)
	}
	path, err := findFile(f.model)
	if err != nil {
		return nil, "", err
	}
	digest, err = mobilenet.Digest(ctx, path)
	if err := cmp.Or(err, same(path, digest, f.digest)); err != nil {
		return nil, "", err
	}
	opts := []mobilenet.Option{mobilenet.WithThreads(1), mobilenet.WithBatch(f.Batch), mobilenet.WithInput(f.photos.In), f.precision.Option()}
	if f.labels != "" {
		labels, _, err := readLabels(f.labels, f.labelsDigest)
		if err != nil {
			return nil, "", err
		}
		opts = append(opts, mobilenet.WithLabels(labels))
	}
	if c, err = mobilenet.Open(ctx, path, opts...); err != nil {
		return nil, "", err
	}
	if list := c.Assumed(); len(list) > 0 {
		fmt.Fprintf(stderr, "%s does not say how its photos were prepared; assumed: %s\n", fault.Shown(path), strings.Join(list, " "))
	}
	for _, note := range c.Notes() {
		fmt.Fprintf(stderr, "%s: %s\n", fault.Shown(path), note)
	}
	if c.Dequantized() && f.precision != "float" {
		fmt.Fprintf(stderr, "%s is quantised to 8 bits and runs as float32 here\n", fault.Shown(path))
	}
	return c, digest, nil
}

// findFile finds a file of a job where Spark may have put it: in the working folder, or beside
// this program. ADD FILE puts both into one folder, but runs commands in another.
func findFile(name string) (path string, err error) {
	if _, err = os.Stat(name); err == nil || filepath.IsAbs(name) || slices.Contains(mobilenet.Names(), name) {
		return name, err
	}
	if program, e := os.Executable(); e == nil {
		beside := filepath.Join(filepath.Dir(program), name)
		if _, e := os.Stat(beside); e == nil {
			return beside, nil
		}
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// same is an error if a file of a job is another one here.
func same(path, digest, want string) error {
	if want != "" && want != digest {
		return fmt.Errorf("%s has the SHA-256 %s, and the job's %s", path, digest, want)
	}
	return nil
}

// readLabels reads the names of the classes from a file that has the SHA-256 want, unless that
// is empty.
func readLabels(name, want string) (labels []string, digest string, err error) {
	path, err := findFile(name)
	if err != nil {
		return nil, "", err
	}
	if labels, err = dataset.ReadLabels(path); err != nil {
		return nil, "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	digest = fmt.Sprintf("%x", sha256.Sum256(data))
	return labels, digest, same(path, digest, want)
}
