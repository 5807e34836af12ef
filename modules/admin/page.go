package admin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // for the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/fpmstatus"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// Bounds of the page.
const (
	maxRows      = 25               // processes shown of one worker
	refresh      = 5 * time.Second  // how often the page asks again
	maxRefresh   = 10 * time.Minute // what ?refresh=SECONDS may ask for
	shownReasons = 6                // of retirements
)

// styleHash names the page's one style for its Content-Security-Policy.
func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pageData is what the template shows.
type pageData struct {
	Style           template.CSS
	Version, Uptime string
	Now             string
	Refresh         int // seconds; 0 is never
	Draining        bool
	Unready         []string
	Workers         []pageWorker
}

type pageWorker struct {
	snapshot
	Class              string // of its state: good, warn, bad
	Age                string
	WaitP95, RunP95    string
	Errors             []outcome
	Retirements        []outcome
	BadGateway         uint64 // 502
	Unavailable        uint64 // 503
	Memory             string
	Rows               []pageProcess
	More               int // processes that are not shown
	QueueHigh, RunHigh int // from where on a meter is full of worry
}

type pageProcess struct {
	api.ProcessStatus
	State, Class, For, Age, Memory string
}

// page is what people look at. It needs no script and nothing from elsewhere.
func (a *Admin) page(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	list := a.all(r.Context(), true)
	data := pageData{
		Style: template.CSS(pageStyle), Version: a.deps.Version, Uptime: fpmstatus.Age(now.Sub(a.started)), //nolint:gosec // our own file
		Now: now.Format(time.RFC1123Z), Refresh: refreshOf(r), Draining: a.deps.Draining(), Unready: a.unready(list),
	}
	for i := range list {
		data.Workers = append(data.Workers, pageOf(&list[i], now))
	}
	var b bytes.Buffer
	if err := a.template.Execute(&b, data); err != nil {
		a.deps.Log.Error("admin: the page cannot be made", "error", err)
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// refreshOf reads ?refresh=SECONDS.
func refreshOf(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("refresh"))
	if err != nil || n < 0 {
		return int(refresh / time.Second)
	}
	return min(n, int(maxRefresh/time.Second))
}

func pageOf(s *snapshot, now time.Time) pageWorker {
	p := pageWorker{
		snapshot: *s, Class: "bad", Age: fpmstatus.Age(now.Sub(s.Started)), WaitP95: atMost(&s.QueueWait, 0.95), RunP95: atMost(&s.Duration, 0.95),
		Memory: size(s.PeakMemory), RunHigh: s.MaxWorkers - 1, QueueHigh: s.QueueLength / 2,
	}
	if s.Err != nil {
		p.State, p.Reason = "unknown", s.Err.Error()
		return p
	}
	switch s.State {
	case api.WorkerReady, api.WorkerAtRest:
		p.Class = "good"
	case api.WorkerDegraded, api.WorkerStarting, api.WorkerStopping:
		p.Class = "warn"
	case api.WorkerDown:
	}
	for _, o := range outcomes(&s.PoolCounters) {
		if o.Name != "done" && o.Count > 0 {
			p.Errors = append(p.Errors, outcome{strings.ReplaceAll(o.Name, "_", " "), o.Count})
		}
	}
	for reason, count := range s.Retired {
		p.Retirements = append(p.Retirements, outcome{reason, count})
	}
	slices.SortFunc(p.Retirements, func(x, y outcome) int { return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Name, y.Name)) })
	p.Retirements = p.Retirements[:min(len(p.Retirements), shownReasons)]
	p.BadGateway, p.Unavailable = s.Crashed+s.Failed, s.Refused+s.Expired
	p.Rows, p.More = rows(s.Processes, now)
	return p
}

// rows are the processes, those that run for longest first.
func rows(processes []api.ProcessStatus, now time.Time) (list []pageProcess, more int) {
	sorted := slices.SortedStableFunc(slices.Values(processes), func(x, y api.ProcessStatus) int {
		switch {
		case x.Running != y.Running:
			return cmp.Compare(flag(y.Running), flag(x.Running))
		case x.Running:
			return cmp.Compare(y.Duration, x.Duration)
		}
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.PID, y.PID))
	})
	for _, s := range sorted[:min(len(sorted), maxRows)] {
		row := pageProcess{ProcessStatus: s, State: "idle", For: span(s.Duration), Memory: size(s.Memory)}
		if !s.Started.IsZero() {
			row.Age = fpmstatus.Age(now.Sub(s.Started))
		}
		switch {
		case s.Running:
			row.State, row.Class = "running", "busy"
		case s.Requests == 0 && s.Connection == 0:
			row.State, row.For = "in reserve", ""
		}
		list = append(list, row)
	}
	return list, len(sorted) - len(list)
}

// atMost is the bound below which a share of the observations lies.
func atMost(h *api.Histogram, share float64) string {
	total := uint64(0)
	for _, n := range h.Counts {
		total += n
	}
	if total == 0 {
		return "–"
	}
	sum := uint64(0)
	for i, n := range h.Counts {
		sum += n
		if float64(sum) >= share*float64(total) && i < len(h.Bounds) {
			return "≤ " + span(time.Duration(h.Bounds[i]*float64(time.Second)))
		}
	}
	return "> " + span(time.Duration(h.Bounds[len(h.Bounds)-1]*float64(time.Second)))
}

// span is a short time as people read it.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strconv.FormatFloat(float64(d.Milliseconds())/1000, 'f', 1, 64) + " s"
	}
	return fpmstatus.Age(d)
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n <= 0:
		return "–"
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
