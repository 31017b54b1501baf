package serve

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/mobilenet-go/mobilenet/vision"
)

// Options are the choices of [New]. The zero value of each but Models is a default.
type Options struct {
	Models []Model

	Workers   int           // photos that are worked on at a time; 0 means as many as cores
	Queue     int           // photos that may wait; 0 means 256
	Deadline  time.Duration // how long a photo may wait and be worked on; 0 means a second
	MaxBody   int64         // bytes of a request's body; 0 means 32 MiB
	MaxPixels int           // of a photo; 0 means 40 million
	AllowURLs []string      // hosts that photos may be fetched from, with a port that isn't the scheme's; none are by default
	CORS      string        // an origin whose pages may ask, "*" for all; "" for none
	NoPage    bool          // no page at /

	// Thumbnails are folders with photos that may be shown to whoever asks, if the index of
	// a model names them; none are by default.
	Thumbnails []string

	Version string       // of the program, for the log and the metrics
	Log     *slog.Logger // a line a request, of refusals ten a second; nil means none
}

func (o *Options) settle() {
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.Queue = cmp.Or(o.Queue, 256)
	o.Deadline = cmp.Or(o.Deadline, time.Second)
	o.MaxBody = cmp.Or(o.MaxBody, 32<<20)
	o.MaxPixels = cmp.Or(o.MaxPixels, 40_000_000)
	o.CORS = strings.ToLower(o.CORS) // as browsers write origins
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// CheckHosts returns an error if photos can't be fetched from hosts that are written so, in
// [Options.AllowURLs]. [New] checks it, too.
func CheckHosts(hosts []string) error {
	for _, host := range hosts {
		if !isHost(host) {
			return fmt.Errorf("%q: want a host, as images.example.com or images.example.com:8080, without a scheme or a path", host)
		}
	}
	return nil
}

// isHost reports whether text is a host as URLs have it, with a port or none.
func isHost(text string) bool {
	u, err := url.Parse("//" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || strings.HasSuffix(text, ":") || strings.ContainsAny(text, "*,") {
		return false
	}
	if strings.Contains(u.Hostname(), ":") != strings.HasPrefix(text, "[") { // IPv6 wants brackets
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

// naming returns whether a host of AllowURLs is that of a URL: a host without a port
// means that of the scheme.
func naming(u *url.URL) func(host string) bool {
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	port := cmp.Or(u.Port(), usual)
	full := net.JoinHostPort(u.Hostname(), port)
	return func(host string) bool {
		return usual != "" && (strings.EqualFold(host, full) || port == usual && strings.EqualFold(host, strings.TrimSuffix(full, ":"+port)))
	}
}

// A Server is the handler of all routes. It is safe for concurrent use.
type Server struct {
	o         Options
	models    *models
	photos    photoFolders
	scheduler *scheduler
	bodies    gate
	decoding  vision.DecodeOptions
	garbage   int64 // bytes beside the models that Go's memory is collected at
	metrics   *metrics
	mux       *http.ServeMux
	origins   *http.CrossOriginProtection // of who may change what is served
	draining  atomic.Bool
	newcomers newcomers
	refusals  sampler
}

// maxLimit is of bytes and pixels: twice or five times as many are numbers, too.
const maxLimit = 1 << 40

// New loads the models and returns a server of them. A model that can't be loaded is
// an error.
func New(ctx context.Context, o Options) (*Server, error) {
	o.settle()
	switch {
	case o.Workers < 1 || o.Workers > 1024:
		return nil, fmt.Errorf("%d workers: want 1 to 1024", o.Workers)
	case o.Queue < 1:
		return nil, fmt.Errorf("Options.Queue of %d: want at least 1, or 0 for the default", o.Queue)
	case o.Deadline < 0:
		return nil, fmt.Errorf("Options.Deadline of %v: want more than 0, or 0 for the default", o.Deadline)
	case o.MaxBody < 1 || o.MaxBody > maxLimit:
		return nil, fmt.Errorf("Options.MaxBody of %d: want 1 to %d, or 0 for the default", o.MaxBody, int64(maxLimit))
	case o.MaxPixels < 1 || int64(o.MaxPixels) > maxLimit:
		return nil, fmt.Errorf("Options.MaxPixels of %d: want 1 to %d, or 0 for the default", o.MaxPixels, int64(maxLimit))
	}
	if err := CheckHosts(o.AllowURLs); err != nil {
		return nil, fmt.Errorf("Options.AllowURLs: %w", err)
	}
	origins := http.NewCrossOriginProtection()
	if o.CORS != "" && o.CORS != "*" { // "*" may ask, but not load and unload
		if err := origins.AddTrustedOrigin(o.CORS); err != nil {
			return nil, err
		}
	}
	m, err := newModels(o.Models, o.Workers)
	if err != nil {
		return nil, err
	}
	photos, err := newPhotoFolders(o.Thumbnails)
	if err != nil {
		return nil, err
	}
	for _, s := range m.slots {
		if err := s.load(ctx, o.Workers); err != nil {
			return nil, fmt.Errorf("model %s: %w", s.Name, err)
		}
		photos.warn(o.Log, s)
		s.warn(o.Log, o.Deadline)
	}
	s := &Server{o: o, models: m, photos: photos, origins: origins, scheduler: newScheduler(o.Workers, o.Queue, o.Deadline)}
	s.bodies.limit = max(64<<20, 2*o.MaxBody) + 1<<20 // a message over gRPC lies there twice
	// A photo of the most pixels for each worker would be gigabytes; one of 13 megapixels isn't.
	pixels := max(5*int64(o.MaxPixels), int64(o.Workers)*(40<<20))
	s.decoding = vision.DecodeOptions{MaxPixels: o.MaxPixels, Budget: vision.NewBudget(pixels)}
	s.garbage = s.bodies.limit + min(pixels, int64(o.Workers)*(24<<20)) + 32<<20
	s.metrics = newMetrics(s)
	s.mux = http.NewServeMux()
	s.routes()
	return s, nil
}

// Close ends the workers when what is queued is done. Later requests are refused, and
// [Server.Run] and [Server.Reload] return [http.ErrServerClosed]. A Run that has begun goes on
// refusing until its ctx ends.
func (s *Server) Close() {
	s.draining.Store(true)
	s.scheduler.close()
}

// Reload loads all models anew. Those that can't be stay as they were; the error says
// of the first why. If ctx ends the others stay as they were, and the error is that of ctx;
// of a server that is closed it is [http.ErrServerClosed].
func (s *Server) Reload(ctx context.Context) error {
	var first error
	for _, slot := range s.models.slots {
		if s.scheduler.isClosed() {
			return http.ErrServerClosed
		}
		start, before := time.Now(), slot.now.Load()
		err := slot.load(ctx, s.o.Workers)
		if ctx.Err() != nil {
			s.o.Log.Info("reload given up", "model", slot.Name, "error", ctx.Err().Error())
			return ctx.Err()
		}
		if err != nil {
			s.o.Log.Error("reload failed", "model", slot.Name, "error", err.Error())
			first = cmp.Or(first, fmt.Errorf("model %s: %w", slot.Name, err))
			continue
		}
		s.o.Log.Info("reloaded", "model", slot.Name, "ms", ms(time.Since(start)))
		s.photos.warn(s.o.Log, slot)
		slot.warn(s.o.Log, s.o.Deadline)
		slot.changed(s.o.Log, before)
	}
	return first
}

func (s *Server) routes() {
	handle := func(pattern string, f func(*request) error) {
		_, route, _ := strings.Cut(pattern, " ")
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(route, w, r, f) })
	}
	handle("POST /v1/classify", s.classify)
	handle("GET /v1/models", s.listModels)
	handle("GET /v1/thumbnail", s.thumbnail)

	handle("GET /v2", s.metadata)
	handle("GET /v2/health/live", func(q *request) error { return replyJSON(q, map[string]bool{"live": true}) })
	handle("GET /v2/health/ready", s.sayReady)
	handle("GET /v2/models/stats", s.allStats)
	handle("POST /v2/repository/index", s.index)
	handle("POST /v2/repository/models/{model}/load", s.load)
	handle("POST /v2/repository/models/{model}/unload", s.unload)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		handle("GET "+model, s.modelMetadata)
		handle("GET "+model+"/ready", s.modelReady)
		handle("GET "+model+"/config", s.modelConfig)
		handle("GET "+model+"/stats", s.modelStats)
		handle("POST "+model+"/infer", s.infer)
	}
	handle("GET /openapi.json", s.openAPI)
	handle("/", s.unrouted)
	s.grpcRoutes()
	s.mux.Handle("GET /metrics", s.metrics.handler())
	if !s.o.NoPage {
		page, err := fs.Sub(pages, "page")
		if err != nil {
			panic(err) // the folder is in the program
		}
		files := http.FileServerFS(page)
		s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { pageHeaders(w); files.ServeHTTP(w, r) })
		for _, name := range []string{"page.css", "page.js"} {
			s.mux.HandleFunc("GET /page/"+name, func(w http.ResponseWriter, r *http.Request) {
				pageHeaders(w)
				http.StripPrefix("/page", files).ServeHTTP(w, r)
			})
		}
	}
}

// mayChange refuses to change what is served for a page of another site, which can have
// a browser send to this machine what it likes. A browser that takes a stranger's name
// for this machine (DNS rebinding) believes the page to be of this site: its name, in
// Host, tells.
func (s *Server) mayChange(r *http.Request) error {
	if err := s.origins.Check(r); err != nil {
		return &failure{http.StatusForbidden, "a page of another site may not load or unload models"}
	}
	if underStrangeName(r) {
		return &failure{http.StatusForbidden, "from a browser on this machine models are loaded and unloaded by an IP address or localhost, not by another name"}
	}
	return nil
}

// maySeeNames refuses to tell such a page the names of files on this machine, and to show
// it photos. The origin of --cors may ask.
func (s *Server) maySeeNames(r *http.Request) error {
	if trusted := s.o.CORS != "" && strings.EqualFold(r.Header.Get("Origin"), s.o.CORS); !trusted && underStrangeName(r) {
		return &failure{http.StatusForbidden, "a browser on this machine is told of its photos by an IP address or localhost, not by another name"}
	}
	return nil
}

// underStrangeName reports whether a browser reaches the server over loopback by a name
// that may be anybody's.
func underStrangeName(r *http.Request) bool {
	browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return browser && local != nil && local.IP.IsLoopback() && !isLocalName(r.Host)
}

// isLocalName reports whether a Host is an IP address or localhost, with a port or none.
func isLocalName(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	_, err := netip.ParseAddr(name)
	return err == nil || strings.EqualFold(name, "localhost")
}

// unrouted answers what no route is for: 405 where one is for another method.
func (s *Server) unrouted(q *request) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := q.Clone(q.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		path := strings.ToLower(q.URL.Path)
		for part, what := range optional {
			if strings.HasPrefix(path, "/v2/"+part) || strings.HasPrefix(path, strings.ToLower(service)+part) {
				return &failure{http.StatusNotImplemented, what}
			}
		}
		if strings.HasPrefix(path, "/v2/models/") && strings.HasSuffix(path, "/trace/setting") {
			return &failure{http.StatusNotImplemented, noTraces}
		}
		if method, ok := strings.CutPrefix(q.URL.Path, service); ok {
			return &failure{http.StatusNotImplemented, fmt.Sprintf("there is no method %.60q", method)}
		}
		return &failure{http.StatusNotFound, "there is nothing here: see /openapi.json"}
	}
	q.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &failure{http.StatusMethodNotAllowed, "want " + strings.Join(allowed, " or ")}
}

// optional are extensions of Triton's that this server hasn't, by how their paths go on
// behind the service's, in small letters.
var optional = map[string]string{
	"systemsharedmemory": noSharedMemory,
	"cudasharedmemory":   noSharedMemory,
	"trace":              noTraces,
	"log":                "the settings of the log can't be changed",
}

const (
	noSharedMemory = "shared memory is not supported: send tensors in the request"
	noTraces       = "traces are not supported: a request's traceparent is in the log"
)

//go:embed page
var pages embed.FS

// pageHeaders allow the page nothing but its own files, and images that it was given.
func pageHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
}

// A request is a request on its way through a route.
type request struct {
	*http.Request
	w        http.ResponseWriter
	began    time.Time
	reading  time.Duration // until its body was there and understood
	deadline time.Time
	slow     *slowReader // its body, of routes that hold memory for their clients

	err    error  // of a method over gRPC
	model  string // for the log and the metrics, once it is known
	infers bool   // counts in that model's statistics, answered or not
	status int
	early  bool // answered before its body was read
	read   bool // a message over gRPC was
	photos int
	timing timing
}

// infersOn says which model is asked, be it loaded or not: whatever becomes of the request, the log,
// the metrics and the statistics name it.
func (s *Server) infersOn(q *request, name string) {
	if slot, _ := s.models.named(name); slot != nil {
		q.model, q.infers = slot.Name, true
	}
}

// ServeHTTP makes a Server an http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.newcomers.begin(r)
	if s.o.CORS != "" {
		w.Header().Set("Access-Control-Allow-Origin", s.o.CORS)
		w.Header().Set("Access-Control-Expose-Headers", "Inference-Header-Content-Length, Retry-After")
		w.Header().Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding, Inference-Header-Content-Length, traceparent")
			w.Header().Set("Access-Control-Max-Age", "600") // else each request is two
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	if s.draining.Load() {
		// Clients come again over connections of their next server, and none is idle when
		// this one closes them, which a request might be on its way through.
		w.Header().Set("Connection", "close")
	}
	s.mux.ServeHTTP(w, r)
}

// serve answers a request by f, and counts and logs it.
func (s *Server) serve(route string, w http.ResponseWriter, r *http.Request, f func(*request) error) {
	start := time.Now()
	q := &request{Request: r, w: w, began: start, deadline: start.Add(s.o.Deadline), status: http.StatusOK}
	s.metrics.inFlight.Add(1)
	defer s.metrics.inFlight.Add(-1)
	err := guarded(func() error { return f(q) })
	q.free()
	if err != nil {
		s.fail(q, err)
	}
	took := time.Since(start)
	s.metrics.observe(route, q, took, err)
	if q.ProtoMajor == 1 { // over HTTP/2 the end of the answer would be a frame of its own
		_ = http.NewResponseController(q.w).Flush()
	}
	s.log(route, q, took, err) // which nobody waits for
	if q.early {
		s.drain(q)
	}
}

// fail answers with an error, in the protocol's shape.
func (s *Server) fail(q *request, err error) {
	code, text := status(err)
	q.status = code
	h := q.w.Header()
	if after := retryAfter(err); after != "" {
		h.Set("Retry-After", after)
	}
	if reason := shed(err); reason != "" && reason != slowClient { // whose rest nobody waits for
		s.early(q)
	}
	_ = http.NewResponseController(q.w).SetWriteDeadline(time.Now().Add(ioLimit(0)))
	if strings.HasPrefix(q.Header.Get("Content-Type"), "application/grpc") {
		if grpc := connect.NewErrorWriter(); grpc.IsSupported(q.Request) {
			_ = grpc.Write(q.w, q.Request, grpcError(err)) // of a method that there is none of
			return
		}
	}
	writeJSON(q.w, code, map[string]string{"error": text})
}

// maxUnread is how much of a refused body is read for the sake of the connection.
const maxUnread = 256 << 10

// early has a refusal go out before the body has come. A small body is then read and
// forgotten (see drain), as a new connection costs both sides more; after a large one,
// or one of unknown length, the connection is closed.
func (s *Server) early(q *request) {
	if q.ProtoMajor != 1 || q.ContentLength == 0 {
		return // HTTP/2 ends the stream
	}
	if q.ContentLength < 0 || q.ContentLength > maxUnread {
		q.w.Header().Set("Connection", "close")
		return
	}
	q.early = http.NewResponseController(q.w).EnableFullDuplex() == nil
}

// drain reads what comes of a body that was refused. net/http would read it, too,
// but then takes the body's end for the handler's doing and panics.
func (s *Server) drain(q *request) {
	if http.NewResponseController(q.w).SetReadDeadline(time.Now().Add(s.o.Deadline)) != nil {
		return
	}
	buf := unread.Get().(*[]byte)
	defer unread.Put(buf)
	for {
		if _, err := q.Body.Read(*buf); err != nil {
			return // but for the end, net/http closes the connection
		}
	}
}

// unread has buffers that take most photos at once.
var unread = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (s *Server) log(route string, q *request, took time.Duration, err error) {
	silent := 0
	if q.status == http.StatusTooManyRequests {
		var ok bool
		if silent, ok = s.refusals.line(time.Now()); !ok {
			return
		}
	}
	attrs := []slog.Attr{
		slog.String("method", q.Method), slog.String("route", route), slog.Int("status", q.status),
		slog.Float64("ms", ms(took)), slog.String("remote", q.RemoteAddr),
	}
	if q.model != "" {
		attrs = append(attrs, slog.String("model", q.model))
	}
	if q.reading > 0 {
		attrs = append(attrs, slog.Float64("read_ms", ms(q.reading)))
	}
	if q.photos > 0 {
		attrs = append(attrs, slog.Int("photos", q.photos),
			slog.Float64("queue_ms", ms(q.timing.Queue)), slog.Float64("decode_ms", ms(q.timing.Decode)), slog.Float64("infer_ms", ms(q.timing.Infer)))
	}
	if silent > 0 {
		attrs = append(attrs, slog.Int("unlogged", silent))
	}
	if trace := traceOf(q.Header); trace != "" {
		attrs = append(attrs, slog.String("traceparent", trace))
	}
	level := slog.LevelInfo
	if err != nil {
		code, text := status(err) // as the client is told
		attrs = append(attrs, slog.String("error", text))
		// That a server that goes down isn't ready is as it should be.
		if q.status >= 500 && code != http.StatusNotImplemented && !(code == http.StatusServiceUnavailable && s.draining.Load()) {
			level = slog.LevelError
		}
		if c, ok := err.(*crash); ok {
			attrs = append(attrs, slog.Any("panic", c.value), slog.String("stack", string(c.stack)))
		}
	}
	s.o.Log.LogAttrs(q.Context(), level, "request", attrs...)
}

// refusalLines is how many refusals of a second have a line in the log.
const refusalLines = 10

// A sampler keeps a flood of lines alike out of the log: of a server that can't take a
// tenth of what is asked of it, refusals are nearly all there is to say.
type sampler struct {
	mu     sync.Mutex
	second int64 // since 1970
	lines  int   // in it
	silent int   // refusals since the last line
}

// line reports whether a refusal is to have a line, and how many had none since the last.
func (s *sampler) line(now time.Time) (silent int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.lines = second, 0
	}
	if s.lines == refusalLines {
		s.silent++
		return 0, false
	}
	s.lines++
	silent, s.silent = s.silent, 0
	return silent, true
}

// traceOf is the request's traceparent of W3C's Trace Context, "" where there is none or more than
// one, or where it isn't valid: the log holds nothing else of a stranger's. A version above 00
// may go on behind a dash, which is left out.
func traceOf(h http.Header) string {
	all := h["Traceparent"]
	if len(all) != 1 || len(all[0]) < 55 {
		return ""
	}
	trace, rest := all[0][:55], all[0][55:]
	for i, r := range trace {
		dash := i == 2 || i == 35 || i == 52
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdef", r) {
			return ""
		}
	}
	version, id, parent := trace[:2], trace[3:35], trace[36:52]
	switch {
	case version == "ff", strings.Trim(id, "0") == "", strings.Trim(parent, "0") == "":
		return ""
	case rest != "" && (version == "00" || rest[0] != '-'):
		return ""
	}
	return trace
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
