package admin

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/metrics"
)

// Bounds of /metrics: a scrape that is asked for while this many are being
// answered gets 503, as does one that takes longer than scrapeWait.
const (
	maxScrapes = 4
	scrapeWait = 2 * statusWait
)

// scrapes makes /metrics: a registry of its own, asked at each scrape, and what
// plugins have beside it.
func (a *Admin) scrapes() (http.Handler, error) {
	registry := prometheus.NewPedanticRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{admin: a, descs: newDescs()},
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("admin: registering metrics: %w", err)
		}
	}
	gatherer := prometheus.Gatherer(registry)
	if a.deps.Metrics != nil {
		gatherer = metrics.WithWorkers(registry, a.deps.Metrics, statusWait)
	}
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		Registry: registry, EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, Timeout: scrapeWait,
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{a},
	}), nil
}

// errorLog writes what goes wrong at a scrape to the log.
type errorLog struct{ admin *Admin }

func (l errorLog) Println(v ...any) {
	l.admin.deps.Log.Warn("admin: metrics", "error", fmt.Sprint(v...))
}

// collector turns snapshots of the workers into metrics.
type collector struct {
	admin *Admin
	descs descs
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs.all() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := sender{ch}
	workers := c.admin.all(context.Background(), false) // which has its own bound
	send.gauge(c.descs.build, 1, c.admin.deps.Version, runtime.Version())
	send.gauge(c.descs.ready, flag(len(c.admin.unready(workers)) == 0))
	send.gauge(c.descs.draining, flag(c.admin.deps.Draining()))
	send.gauge(c.descs.loaded, seconds(c.admin.started))
	for i := range workers {
		c.worker(send, &workers[i])
	}
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// sender sends metrics; one that cannot be made is an error of the scrape.
type sender struct{ ch chan<- prometheus.Metric }

func (s sender) value(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	m, err := prometheus.NewConstMetric(d, kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.ch <- m
}

func (s sender) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.value(d, prometheus.GaugeValue, value, labels)
}

func (s sender) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s.value(d, prometheus.CounterValue, float64(value), labels)
}

// histogram sends our counts, which are of single buckets, as Prometheus's,
// which are of all up to a bound.
func (s sender) histogram(d *prometheus.Desc, h *api.Histogram, labels ...string) {
	buckets, total := make(map[float64]uint64, len(h.Bounds)), uint64(0)
	for i, count := range h.Counts {
		total += count
		if i < len(h.Bounds) {
			buckets[h.Bounds[i]] = total
		}
	}
	m, err := prometheus.NewConstHistogram(d, total, h.Sum, buckets, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	s.ch <- m
}
