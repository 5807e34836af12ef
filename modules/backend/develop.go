package backend

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/gobuild"
)

// trouble is why the program of a worker that somebody works on does not run.
type trouble struct {
	// Worker is its name, What a headline, Why what the go command or the start said.
	Worker, What, Why string
	// Serving says that an older version still answers.
	Serving bool
}

// refresh builds the program if that is needed.
func (d *definition) refresh(ctx context.Context, log *slog.Logger) error {
	if d.program == nil {
		return nil
	}
	if why := d.program.Stale(); why != "" {
		log.Info("building the worker's program", "why", why)
	}
	began := time.Now()
	built, err := d.program.Refresh(ctx)
	if err != nil {
		return fmt.Errorf("worker %s: %w", d.name, err)
	}
	if built {
		log.Info("built", "program", d.program.Binary, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// inTrouble notes, in development, how the last launch went, and says whether
// there is something to show instead of an answer.
func (s *site) inTrouble(err error) bool {
	if !s.develops() || s.life.Err() != nil { // a build that the stop has cut short is no trouble
		return false
	}
	if err == nil {
		s.trouble.Store(nil)
		return false
	}
	t := &trouble{Worker: s.name, What: "does not start", Why: err.Error(), Serving: s.crew != nil}
	if failed, ok := errors.AsType[*gobuild.Error](err); ok {
		t.What, t.Why = "does not build", failed.Output
	}
	s.trouble.Store(t)
	s.log.Error("the worker "+t.What+"; its page says so until the source has changed", "error", err)
	return true
}

func (s *site) develops() bool { return s.development && s.def.program != nil }

// watch restarts the worker whenever its program has changed, until the site
// stops.
func (s *site) watch() {
	err := s.def.program.Watch(s.life, func() {
		ctx, cancel := context.WithTimeout(s.life, gobuild.Most+wakeWait)
		defer cancel()
		s.log.Info("the worker's source has changed")
		if err := s.restart(ctx); err != nil {
			s.log.Debug("the change did not take over", "error", err) // inTrouble has told
		}
	})
	if err != nil && s.life.Err() == nil {
		s.log.Error("the worker's source is not watched; restart the worker after a change", "error", err)
	}
}

//go:embed trouble.html
var troubleHTML string

// shows answers with what is wrong with the program, when there is something: to
// browsers that ask for a page, and to everybody while nothing serves.
func (t *trouble) shows(w http.ResponseWriter, r *http.Request) bool {
	if t == nil {
		return false
	}
	page := strings.Contains(r.Header.Get("Accept"), "text/html")
	if t.Serving && (!page || r.Method != http.MethodGet) {
		return false
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if !page {
		http.Error(w, "The worker "+t.Worker+" "+t.What+":\n"+t.Why, http.StatusInternalServerError)
		return true
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.WriteHeader(http.StatusInternalServerError)
	_ = template.Must(template.New("trouble").Parse(troubleHTML)).Execute(w, t) // to a client that may have left
	return true
}
