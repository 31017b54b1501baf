package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/serve"
)

// serveFlags say what is served, and within what bounds.
type serveFlags struct {
	models, labels    []string
	indexes           []string
	options           serve.Options
	listen            serve.Listen
	maxBody, maxPhoto string
	cert, key         string
	offline           bool
	precision         precisionFlag
	photos            photoFlags
}

func newServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests over HTTP, and show a page to try a model",
		Long: `Answer requests for the classes of photos over HTTP: POST /v1/classify takes a photo's
bytes; /v2 is the Open Inference Protocol (KServe, Triton), /openapi.json describes
all routes, / is a page to try it, /metrics is for Prometheus.

Of several models the first --model is the one that requests to /v1/classify mean that
name none (?model=NAME), also while it is unloaded: they get status 503 then. A model that
is unloaded on purpose leaves /v2/health/ready at 200 while another answers; one that
couldn't be loaded turns it 503.

Photos wait in a queue that is bounded; what can't be done before its deadline is
refused at once, with status 429. Memory is bounded: requests take 65 MiB together, or
a MiB more than twice --max-body, and pixels 5 bytes for each of --max-pixels, or 40
MiB for each of --workers. SIGTERM drains: /v2/health/ready turns 503, and everything
that comes is answered for --drain-delay. SIGHUP reads the models, their --labels,
--index and the certificate again. The log has a line of JSON a request, of those with
status 429 ten a second, on standard error. SIGINT drains, too, and the exit status is 0.

--index has the photos most like one be found, too (neighbours=10 of /v1/classify), as
mobilenet search finds them: their names are told to whoever asks. They are shown only
with --thumbnails, from that folder alone, and only while they are what the index has.`,
		Example: `  mobilenet serve
  mobilenet serve --model flowers=best.safetensors --model imagenet1k_v2 --listen :8000
  mobilenet serve --model imagenet1k_v2 --index photos.mnidx --thumbnails photos/
  curl --data-binary @dog.jpg 'http://127.0.0.1:8000/v1/classify?top=3'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// From here on, so that one that comes while the models are read doesn't end the process.
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer func() { signal.Stop(hangups); close(hangups) }()
			if err := f.check(cmd); err != nil {
				return err
			}
			return f.run(cmd, hangups)
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.models, "model", "m", []string{"fashion-mnist"}, "`NAME=SOURCE` of a model, or SOURCE alone: weights with a name, or a file; may be repeated")
	fs.StringArrayVar(&f.labels, "labels", nil, "`NAME=FILE` with the names of a model's classes, or FILE alone where one model is served: a line each, or JSON; may be repeated")
	fs.StringArrayVarP(&f.indexes, "index", "i", nil, "`NAME=FILE` with the index of a model, in which photos alike are looked up (mobilenet embed), or FILE alone where one model is served; may be repeated")
	fs.StringArrayVar(&f.options.Thumbnails, "thumbnails", nil, "`folder` with photos that may be shown to whoever asks, where an index names them; may be repeated")
	fs.StringVar(&f.listen.Addr, "listen", "127.0.0.1:8000", "`address` to listen on; :8000 is all of this machine's")
	fs.StringVar(&f.listen.Metrics, "metrics-listen", "", "`address` for /metrics alone, besides")
	fs.IntVar(&f.options.Workers, "workers", 0, "photos to work on at a time; 0 means as many as cores")
	fs.IntVar(&f.options.Queue, "queue", 256, "photos that may wait")
	fs.DurationVar(&f.options.Deadline, "deadline", time.Second, "how long a photo may take, its wait included; looked at as its turn comes and between steps of the work")
	fs.StringVar(&f.maxBody, "max-body", "32MiB", "`bytes` of a request at most")
	fs.StringVar(&f.maxPhoto, "max-pixels", "40M", "`pixels` of a photo at most")
	fs.DurationVar(&f.listen.DrainDelay, "drain-delay", 5*time.Second, "how long to go on after SIGTERM, for load balancers to notice")
	fs.DurationVar(&f.listen.DrainTimeout, "drain-timeout", 30*time.Second, "how long what is under way may take after that")
	fs.StringVar(&f.cert, "tls-cert", "", "`file` with a certificate (PEM), for https")
	fs.StringVar(&f.key, "tls-key", "", "`file` with its key (PEM)")
	fs.StringVar(&f.options.CORS, "cors", "", "`origin` whose pages may ask, as https://example.com; * for all")
	fs.StringSliceVar(&f.options.AllowURLs, "allow-urls", nil, "`hosts` that photos may be fetched from, as images.example.com; a port other than the scheme's must be named: images.example.com:8080")
	fs.BoolVar(&f.options.NoPage, "no-page", false, "no page at /")
	fs.BoolVar(&f.offline, "offline", false, "download nothing; published weights must be in the cache")
	f.precision.register(cmd)
	f.photos.register(cmd, true)
	completeModel(cmd)
	return cmd
}

func (f *serveFlags) check(cmd *cobra.Command) error {
	var err error
	if f.options.MaxBody, err = quantity(f.maxBody); err != nil {
		return usagef(cmd, "--max-body %s: want bytes, as 500KB or 32MiB", f.maxBody)
	}
	pixels, err := quantity(f.maxPhoto)
	if err != nil {
		return usagef(cmd, "--max-pixels %s: want pixels, as 40M", f.maxPhoto)
	}
	f.options.MaxPixels = int(pixels)
	switch {
	case f.options.Workers < 0 || f.options.Workers > 1024:
		return usagef(cmd, "--workers %d: want 0 to 1024", f.options.Workers)
	case f.options.Queue < 1:
		return usagef(cmd, "--queue %d: want at least 1", f.options.Queue)
	case f.options.Deadline <= 0:
		return usagef(cmd, "--deadline %v: want more than 0", f.options.Deadline)
	case f.listen.DrainDelay < 0:
		return usagef(cmd, "--drain-delay %v: want 0 or more", f.listen.DrainDelay)
	case f.listen.DrainTimeout < 0:
		return usagef(cmd, "--drain-timeout %v: want 0 or more", f.listen.DrainTimeout)
	case (f.cert == "") != (f.key == ""):
		return usagef(cmd, "--tls-cert and --tls-key want each other")
	case f.options.CORS != "" && f.options.CORS != "*" && !isOrigin(f.options.CORS):
		return usagef(cmd, "--cors %q: want one origin, as https://example.com, without a path or the scheme's own port; or *", f.options.CORS)
	}
	if err := serve.CheckHosts(f.options.AllowURLs); err != nil {
		return usagef(cmd, "--allow-urls %w; several by commas, without spaces", err)
	}
	if err := f.checkListen(cmd); err != nil {
		return err
	}
	if err := f.precision.check(cmd); err != nil {
		return err
	}
	return f.photos.check(cmd)
}

// checkListen refuses addresses that nothing could listen on, before models are read. What
// only this machine can tell, as that a port is taken, is left to the listening.
func (f *serveFlags) checkListen(cmd *cobra.Command) error {
	host, port, err := splitAddress(f.listen.Addr)
	if err != nil {
		return usagef(cmd, "--listen %q: want an address with a port of 0 to 65535, as 127.0.0.1:8000, or :8000 for all of this machine's", f.listen.Addr)
	}
	if f.listen.Metrics == "" {
		return nil
	}
	second, secondPort, err := splitAddress(f.listen.Metrics)
	switch {
	case err != nil:
		return usagef(cmd, "--metrics-listen %q: want an address with a port of 0 to 65535, as 127.0.0.1:9090", f.listen.Metrics)
	case host == second && port == secondPort && port != 0: // each port 0 is another one
		return usagef(cmd, "--metrics-listen and --listen are the same, %s: want two addresses; /metrics is at --listen, too", f.listen.Addr)
	}
	return nil
}

// splitAddress reads HOST:PORT, whose port may be a service's name, as http.
func splitAddress(address string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(address)
	if err == nil {
		port, err = net.LookupPort("tcp", service)
	}
	return host, port, err
}

// isOrigin reports whether text is an origin that a browser may send, but for its case.
func isOrigin(text string) bool {
	scheme, host, ok := strings.Cut(strings.ToLower(text), "://")
	ascii := !strings.ContainsFunc(host, func(r rune) bool { return r > '~' }) // browsers write other names as xn--...
	usual := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return ok && scheme != "" && ascii && serve.CheckHosts([]string{host}) == nil && (usual == "" || !strings.HasSuffix(host, usual))
}

// units are what numbers on the command line may end in.
var units = []struct {
	ending string
	times  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1},
}

// quantity reads a number above 0, with or without a unit.
func quantity(text string) (int64, error) {
	times := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.ending); ok {
			text, times = rest, u.times
			break
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err == nil && !(v > 0 && v*times < math.MaxInt64/2 && v*times >= 1) {
		err = strconv.ErrRange
	}
	return int64(v * times), err
}

// run serves, and reads all again for each signal of hangups, also one that came before.
func (f *serveFlags) run(cmd *cobra.Command, hangups <-chan os.Signal) error {
	stderr := cmd.ErrOrStderr()
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	f.options.Log, f.options.Version = log, version()
	var names, sources []string
	for _, arg := range f.models {
		name, source, err := modelArg(cmd, arg)
		if err != nil {
			return err
		}
		names, sources = append(names, name), append(sources, source)
	}
	if err := serve.CheckNames(names); err != nil {
		return usagef(cmd, "--model: %w; NAME=SOURCE gives a model another name", err)
	}
	labels, err := fileEach(cmd, "labels", f.labels, names)
	if err != nil {
		return err
	}
	indexes, err := fileEach(cmd, "index", f.indexes, names)
	if err != nil {
		return err
	}
	if len(f.options.Thumbnails) > 0 && len(indexes) == 0 {
		return usagef(cmd, "--thumbnails are of an --index, and there is none")
	}
	for i, name := range names {
		m := serve.Model{Name: name, Open: f.open(stderr, sources[i], labels[name])}
		if file := indexes[name]; file != "" {
			m = f.withIndex(stderr, m, sources[i], file)
		}
		f.options.Models = append(f.options.Models, m)
	}
	pair := &certificate{cert: f.cert, key: f.key}
	if f.cert != "" {
		if err := pair.load(); err != nil {
			return err
		}
		f.listen.TLS = &tls.Config{GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}
	}
	start := time.Now()
	s, err := serve.New(cmd.Context(), f.options)
	if err != nil {
		return err
	}
	f.listen.Started = func(a net.Addr) {
		scheme := "http"
		if f.listen.TLS != nil {
			scheme = "https"
		}
		log.Info("listening", "url", scheme+"://"+a.String()+"/", "models", names, "ready_after_ms", time.Since(start).Milliseconds())
	}
	drains.Store(true)
	go func() {
		for range hangups {
			_ = s.Reload(cmd.Context()) // which logs what became of each model
			if f.cert == "" {
				continue
			}
			if err := pair.load(); err != nil {
				log.Error("reload failed", "error", err.Error())
				continue
			}
			leaf := pair.now.Load().Leaf
			log.Info("reloaded", "certificate", f.cert, "subject", leaf.Subject.String(), "expires", leaf.NotAfter)
		}
	}()
	return s.Run(cmd.Context(), f.listen)
}

// modelArg reads NAME=SOURCE, or SOURCE alone, whose name is then its own.
func modelArg(cmd *cobra.Command, arg string) (name, source string, err error) {
	name, source, ok := strings.Cut(arg, "=")
	if !ok {
		name, source = arg, arg
		if !slices.Contains(mobilenet.Names(), arg) {
			base := filepath.Base(arg)
			name = strings.TrimSuffix(base, filepath.Ext(base))
		}
	}
	if name == "" || source == "" {
		return "", "", usagef(cmd, "--model %s: want NAME=SOURCE", arg)
	}
	if isPhoto(source) {
		return "", "", photoAsModel(cmd, source)
	}
	return name, source, nil
}

// fileEach reads a flag that has a file for each of some models: the files by the
// models' names.
func fileEach(cmd *cobra.Command, flag string, args, models []string) (map[string]string, error) {
	files := map[string]string{}
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		switch {
		case ok && slices.Contains(models, name):
		case ok && !isThere(arg): // else '=' is in the file's name
			return nil, usagef(cmd, "--%s %s: no model called %q (models: %s), and no file of that name", flag, arg, name, strings.Join(models, ", "))
		case len(models) == 1:
			name, file = models[0], arg
		default:
			return nil, usagef(cmd, "--%s %s: want NAME=FILE, with the NAME of a --model: %s", flag, arg, strings.Join(models, ", "))
		}
		if files[name] != "" || file == "" {
			return nil, usagef(cmd, "--%s %s: want one file a model", flag, arg)
		}
		files[name] = file
	}
	return files, nil
}

// open opens a model, and its labels, which are read again with it. Whatever is to be
// said of the model is said when it is first opened.
func (f *serveFlags) open(stderr io.Writer, source, labels string) func(context.Context, int) (*mobilenet.Classifier, error) {
	said := false
	return func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		opts := []mobilenet.Option{
			mobilenet.WithThreads(threads), mobilenet.WithOffline(f.offline), mobilenet.WithProgress(downloadBar(stderr)),
			mobilenet.WithInput(f.photos.In), f.precision.option(), cacheWeights(),
		}
		if labels != "" {
			names, err := dataset.ReadLabels(labels)
			if err != nil {
				return nil, err
			}
			opts = append(opts, mobilenet.WithLabels(names))
		}
		c, err := mobilenet.Open(ctx, source, opts...)
		if err != nil {
			return nil, ofLabels(labels, err)
		}
		if !said {
			said = true
			f.photos.say(stderr, source, c.Config(), true)
			sayAssumed(stderr, source, c.Assumed())
			sayNotes(stderr, source, c.Notes())
			f.precision.say(stderr, source, c.Dequantized(), c.Unfit())
		}
		return c, nil
	}
}

// withIndex has a model be served with an index, which is opened anew with it. The file of
// the model has to be that which the index is of, before it is opened and after it.
func (f *serveFlags) withIndex(stderr io.Writer, m serve.Model, source, file string) serve.Model {
	digest := func(ctx context.Context) (string, error) {
		return mobilenet.Digest(ctx, source, mobilenet.WithOffline(f.offline), mobilenet.WithProgress(downloadBar(stderr)))
	}
	before, open := "", m.Open // the server loads a model once at a time
	m.Open = func(ctx context.Context, threads int) (_ *mobilenet.Classifier, err error) {
		if before, err = digest(ctx); err != nil {
			return nil, err
		}
		return open(ctx, threads)
	}
	m.Index = func(ctx context.Context, c *mobilenet.Classifier) (*search.Index, error) {
		after, err := digest(ctx)
		if err == nil && before != after {
			err = fault.In(source, fault.Brokenf("the file changed while it was read; try again when it is complete"))
		}
		if err != nil {
			return nil, err
		}
		x, err := search.Open(file)
		if err != nil {
			return nil, err
		}
		m, now := x.Meta(), metaOf(c, source, before)
		if err := m.Same(&now); err != nil {
			x.Close()
			return nil, fault.In(file, err)
		}
		return x, nil
	}
	return m
}

// A certificate is that of TLS, which may be renewed while the server runs.
type certificate struct {
	cert, key string // files
	now       atomic.Pointer[tls.Certificate]
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	c.now.Store(&pair)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }
