// Package metrics counts what the daemon does and shows it to Prometheus.
//
// Nothing of it grows with what clients do: a label is one of a few words that
// are known at the start, and what is not among them is "other". There are no
// names of sessions, of principals or of hosts.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Options are what the metrics are told of the daemon. The zero value is ready.
type Options struct {
	Logger    *slog.Logger // nil discards
	Version   string
	Backend   string
	Templates []string // that are told apart; the built-in ones
	Flavors   []string // that are told apart; the built-in ones
	// Pools returns what is ready of each template, at each scrape. It must not
	// block. When nil, there are no metrics of it.
	Pools func() []sandbox.PoolStat
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Templates) == 0 {
		for _, t := range sandbox.Templates() {
			o.Templates = append(o.Templates, t.Name)
		}
	}
	if len(o.Flavors) == 0 {
		for _, f := range sandbox.Flavors() {
			o.Flavors = append(o.Flavors, f.Name)
		}
	}
	return o
}

// namespace is what all our names begin with.
const namespace = "sandwarden"

// buckets are bounds in seconds, from the fastest answer to the longest run.
func buckets() []float64 {
	return []float64{
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800,
	}
}

// Metrics are the metrics of one daemon. They implement [sandbox.Meter] and
// what the front of transport tells of requests.
type Metrics struct {
	options  Options
	registry *prometheus.Registry // its own: the global one is anybody's

	templates, flavors words

	admitted, refused, ended, failed, lost *prometheus.CounterVec
	admission                              prometheus.Histogram
	making                                 *prometheus.HistogramVec
	restarts, output                       prometheus.Counter
	executions                             *prometheus.CounterVec
	running, queueing                      kinds

	requests, turned *prometheus.CounterVec
	latency          map[string]prometheus.Observer // by face
	streams          prometheus.Gauge
}

// kinds are histograms by the kind of an execution, found once.
type kinds struct{ code, command prometheus.Observer }

func (k kinds) of(kind sandbox.ExecKind) prometheus.Observer {
	if kind == sandbox.CommandExec {
		return k.command
	}
	return k.code
}

// New returns metrics that are all zero.
func New(options Options) *Metrics {
	options = options.withDefaults()
	m := &Metrics{
		options: options, registry: prometheus.NewRegistry(),
		templates: newWords(options.Templates), flavors: newWords(options.Flavors),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	build := register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "The version of the daemon and its backend; always 1.",
	}, []string{"version", "backend"}))
	build.WithLabelValues(options.Version, options.Backend).Set(1)
	m.sessions()
	m.executing()
	m.serving()
	if options.Pools != nil {
		register(m, &pools{ask: options.Pools, templates: m.templates})
	}
	return m
}

func (m *Metrics) sessions() {
	m.admitted = m.counters("sessions_admitted_total", "Sessions that got their place.", "template", "flavor")
	m.refused = m.counters("sessions_refused_total", "Requests for a session that got none: the resource that was full, or the kind of the error.", "reason")
	m.ended = m.counters("sessions_ended_total", "Sessions that were ready and are gone.", "cause")
	m.admission = register(m, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "session_admission_wait_seconds", Help: "How long sessions waited for their place.", Buckets: buckets(),
	}))
	m.making = m.histograms("sandbox_creation_duration_seconds", "How long the making of a sandbox took.", "template")
	m.failed = m.counters("sandbox_creations_failed_total", "Sandboxes that could not be made.", "template")
	m.lost = m.counters("sandboxes_lost_total", "Sandboxes that died under a session.", "cause")
	m.restarts = m.counter("session_actor_restarts_total", "Actors of sessions that began anew after a panic.")
}

func (m *Metrics) executing() {
	m.executions = m.counters("executions_total", "Executions that are over.", "kind", "outcome")
	run := m.histograms("execution_duration_seconds", "How long executions ran.", "kind")
	wait := m.histograms("execution_wait_seconds", "How long executions waited for their turn in the session.", "kind")
	code, command := string(sandbox.CodeExec), string(sandbox.CommandExec)
	m.running = kinds{run.WithLabelValues(code), run.WithLabelValues(command)}
	m.queueing = kinds{wait.WithLabelValues(code), wait.WithLabelValues(command)}
	m.output = m.counter("output_bytes_total", "Bytes that sandboxes put out, kept or not.")
}

func (m *Metrics) serving() {
	m.requests = m.counters("http_requests_total", "Requests that were answered, by the class of their status.", "face", "code")
	latency := m.histograms("http_request_duration_seconds", "How long answers took, but for streams of events.", "face")
	m.latency = map[string]prometheus.Observer{}
	for _, face := range append(faces(), other) {
		m.latency[face] = latency.WithLabelValues(face)
	}
	m.turned = m.counters("http_refused_total", "Requests that were turned away before they were looked at.", "reason")
	m.streams = register(m, prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "http_streams_open", Help: "Streams of events that are open.",
	}))
}

// register adds a collector that nobody else has the name of.
func register[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return register(m, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (m *Metrics) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets(),
	}, labels))
}

// What one scrape may cost.
const (
	scrapeWait = 5 * time.Second
	scrapes    = 4 // side by side
)

// An Overviewer knows the numbers of the daemon.
type Overviewer interface {
	Overview(ctx context.Context) (sandbox.Overview, error)
}

// Handler returns what answers scrapes, with the numbers of sessions as they
// are then. Call it once; life is the daemon's.
func (m *Metrics) Handler(life context.Context, sessions Overviewer) http.Handler {
	m.registry.MustRegister(&overview{ask: func() (sandbox.Overview, error) {
		ctx, cancel := context.WithTimeout(life, scrapeWait/2)
		defer cancel()
		o, err := sessions.Overview(ctx)
		if err != nil && life.Err() == nil {
			m.options.Logger.ErrorContext(ctx, "no overview", "err", err)
		}
		return o, err
	}})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.options.Logger.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            m.registry,
		MaxRequestsInFlight: scrapes,
		Timeout:             scrapeWait,
	})
}
