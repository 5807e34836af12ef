package admin

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// Deps is what the module shows.
type Deps struct {
	Operator api.Operator
	Draining api.Draining
	// Metrics that plugins have of their own; nil is none.
	Metrics api.WorkerMetrics
	Version string
	Log     *slog.Logger
}

// Admin answers for one generation. It is an http.Handler.
type Admin struct {
	cfg       Config
	deps      Deps
	started   time.Time
	template  *template.Template
	styleHash string
	handler   http.Handler
}

// statusWait bounds what one answer waits for all workers together, so that a
// plugin that hangs does not hide the others: well below the 10 s after which
// Prometheus gives up by default.
const statusWait = 2 * time.Second

// New makes the handler.
func New(cfg Config, d Deps) (*Admin, error) {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("admin: its page: %w", err)
	}
	a := &Admin{cfg: cfg, deps: d, started: time.Now(), template: page, styleHash: styleHash()}
	scrapes, err := a.scrapes()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", a.page)
	mux.HandleFunc("/healthz", a.healthz)
	mux.HandleFunc("/readyz", a.readyz)
	mux.Handle("/metrics", scrapes)
	mux.HandleFunc("/status", a.index)
	mux.HandleFunc("/status/{worker}", a.status)
	a.handler = a.guard(mux)
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// snapshot is what is known of one worker.
type snapshot struct {
	api.WorkerStatus
	Err error
}

// all asks about every worker at once, in the order of their names.
func (a *Admin) all(ctx context.Context, full bool) []snapshot {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	names := a.deps.Operator.Names()
	list := make([]snapshot, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			list[i].WorkerStatus, list[i].Err = a.deps.Operator.Status(ctx, name, full)
			list[i].Worker = name
		})
	}
	asking.Wait()
	return list
}
