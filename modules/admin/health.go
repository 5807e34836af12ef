package admin

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
)

// healthz says that the server's process is alive: what it is asked with
// decides about killing it, so no worker has a say.
func (a *Admin) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readyz says whether requests should come here. The reasons are for those
// who hold the token.
func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	reasons := a.unready(a.all(r.Context(), false))
	if len(reasons) == 0 {
		_, _ = io.WriteString(w, "ready\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "not ready\n")
	if a.authorized(r) {
		for _, reason := range reasons {
			_, _ = fmt.Fprintln(w, reason)
		}
	}
}

// unready returns why requests should not come here, each on a line.
func (a *Admin) unready(workers []snapshot) []string {
	var reasons []string
	if a.deps.Draining() {
		reasons = append(reasons, "the server is stopping")
	}
	for i := range workers {
		s := &workers[i]
		switch {
		case s.Err != nil:
			reasons = append(reasons, "worker "+s.Worker+": "+s.Err.Error())
		case s.State == api.WorkerReady || s.State == api.WorkerAtRest || s.State == api.WorkerDegraded:
		case s.Reason == "":
			reasons = append(reasons, "worker "+s.Worker+" is "+string(s.State))
		default:
			reasons = append(reasons, "worker "+s.Worker+" is "+string(s.State)+": "+s.Reason)
		}
	}
	for i := range reasons {
		reasons[i] = strings.Join(strings.Fields(reasons[i]), " ")
	}
	return reasons
}
