package serve

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// buckets suit answers of milliseconds.
var buckets = []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1, 2, 5}

// metrics are what /metrics shows, and the protocol's statistics.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec // by route, model, code
	stages   *prometheus.HistogramVec // by stage, model
	shed     *prometheus.CounterVec   // by reason
	photos   *prometheus.CounterVec   // by model
	inFlight atomic.Int64

	mu    sync.Mutex
	stats map[string]*stats
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mobilenet_request_duration_seconds", Help: "Time from a request's header to its answer.", Buckets: buckets}, []string{"route", "model", "code"}),
		stages:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mobilenet_stage_duration_seconds", Help: "The longest wait, decoding, run and search of a request's photos.", Buckets: buckets}, []string{"stage", "model"}),
		shed:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mobilenet_shed_total", Help: "Requests that were not answered, by reason."}, []string{"reason"}),
		photos:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mobilenet_photos_total", Help: "Photos in requests that were answered."}, []string{"model"}),
		stats:    map[string]*stats{},
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m.registry.MustRegister(m.requests, m.stages, m.shed, m.photos,
		gauge("mobilenet_requests_in_flight", "Requests at work.", func() float64 { return float64(m.inFlight.Load()) }),
		gauge("mobilenet_queue_depth", "Photos that wait.", func() float64 { n, _ := s.scheduler.load(); return float64(n) }),
		gauge("mobilenet_workers_busy", "Workers at work.", func() float64 { _, n := s.scheduler.load(); return float64(n) }),
		gauge("mobilenet_body_bytes", "Bytes of requests in memory.", func() float64 { return float64(s.bodies.bytes()) }),
		gauge("mobilenet_pixel_bytes", "Bytes that photos in memory take, decoded or being decoded.", func() float64 { return float64(s.decoding.Budget.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mobilenet_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": s.o.Version}}, func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, reason := range shedReasons { // 0 is a number to compare with, and none isn't
		m.shed.WithLabelValues(reason)
	}
	for _, slot := range s.models.slots {
		if slot.Index != nil {
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mobilenet_index_photos", Help: "Photos in the index of a model.", ConstLabels: prometheus.Labels{"model": slot.Name}}, func() float64 {
				if m := slot.now.Load(); m != nil {
					return float64(m.index.Len())
				}
				return 0
			}))
		}
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts a request that has been answered.
func (m *metrics) observe(route string, q *request, took time.Duration, err error) {
	m.requests.WithLabelValues(route, q.model, strconv.Itoa(q.status)).Observe(took.Seconds())
	if reason := shed(err); reason != "" {
		m.shed.WithLabelValues(reason).Inc()
	}
	if q.model == "" || !q.infers && q.photos == 0 { // a thumbnail has photos where it was run
		return
	}
	m.mu.Lock()
	st := m.stats[q.model]
	if st == nil {
		st = &stats{}
		m.stats[q.model] = st
	}
	st.add(q, took, err)
	m.mu.Unlock()
	if err != nil {
		return
	}
	m.photos.WithLabelValues(q.model).Add(float64(q.photos))
	stages := map[string]time.Duration{"queue": q.timing.Queue, "decode": q.timing.Decode, "infer": q.timing.Infer}
	if q.timing.Search > 0 {
		stages["search"] = q.timing.Search
	}
	for stage, d := range stages {
		m.stages.WithLabelValues(stage, q.model).Observe(d.Seconds())
	}
}

// stats are a model's in the protocol's statistics extension. Every request for an inference that
// names the model is a success or a failure, by the status that it is counted with in requests.
type stats struct {
	photos, requests            uint64
	last                        time.Time
	success, fail               span
	queue, input, infer, output span
}

// A span is how often something happened, and how long it took together.
type span struct {
	Count uint64 `json:"count"`
	Ns    uint64 `json:"ns"`
}

func (s *span) add(d time.Duration) { s.Count++; s.Ns += uint64(max(d, 0)) }

func (s *stats) add(q *request, took time.Duration, err error) {
	if err != nil {
		s.fail.add(took)
		return
	}
	s.photos += uint64(q.photos)
	s.requests++
	s.last = time.Now()
	s.success.add(took)
	s.queue.add(q.timing.Queue)
	s.input.add(q.timing.Decode)
	s.infer.add(q.timing.Infer)
	s.output.add(took - q.timing.Queue - q.timing.Decode - q.timing.Infer - q.timing.Search)
}

// of returns a model's statistics.
func (m *metrics) of(name string) stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.stats[name]; s != nil {
		return *s
	}
	return stats{}
}

// lastMilli is when a photo was last answered, in milliseconds since 1970, 0 for never.
func (s *stats) lastMilli() int64 {
	if s.last.IsZero() {
		return 0
	}
	return s.last.UnixMilli()
}

// modelStat is what the statistics extension has of a model.
func (m *metrics) modelStat(name string) map[string]any {
	st := m.of(name)
	return map[string]any{
		"name": name, "version": version, "last_inference": st.lastMilli(),
		"inference_count": st.photos, "execution_count": st.requests,
		"inference_stats": map[string]span{
			"success": st.success, "fail": st.fail, "queue": st.queue,
			"compute_input": st.input, "compute_infer": st.infer, "compute_output": st.output,
		},
		"batch_stats": []any{},
	}
}

func (s *Server) modelStats(q *request) error {
	m, _, err := s.models.find(q.PathValue("model"), q.PathValue("version"))
	if err != nil {
		return err
	}
	return replyJSON(q, map[string]any{"model_stats": []any{s.metrics.modelStat(m.name)}})
}

func (s *Server) allStats(q *request) error {
	list := []any{}
	for _, slot := range s.models.slots {
		list = append(list, s.metrics.modelStat(slot.Name))
	}
	return replyJSON(q, map[string]any{"model_stats": list})
}
