package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// greeting is a settings struct as the author of a worker writes it.
type greeting struct {
	Text  string        `conf:"text" doc:"What is said." source:"manners"`
	Every time.Duration `conf:"every" doc:"How often it is said." source:"patience"`
}

// Validate finds what the types cannot.
func (g *greeting) Validate() []settings.Problem {
	if g.Text == "" {
		return []settings.Problem{{Path: "text", Message: "must not be empty"}}
	}
	return nil
}

// closingHandler is closed after the last request.
type closingHandler struct {
	http.HandlerFunc
	closed chan struct{}
}

func (h closingHandler) Close() error {
	close(h.closed)
	return errors.New("said at the end")
}

func greetingApp(h func(context.Context, greeting) (http.Handler, error), log io.Writer, options ...Option) *handlerPlugin {
	defaults := greeting{Text: "Hello", Every: time.Second}
	schema, err := settings.Schema(defaults)
	if err != nil {
		panic(err)
	}
	lines := slog.NewJSONHandler(log, nil)
	return newApp(schema, defaults, h, slog.New(requestLog{Handler: lines, named: lines}), options)
}

func TestServeWithChecksSettings(t *testing.T) {
	p := greetingApp(nil, io.Discard, Named("greeter", "1.2", "Greets."))
	if d := p.Describe(); d.Name != "greeter" || d.Version != "1.2" || d.Summary != "Greets." ||
		!strings.Contains(string(d.SettingsSchema), `"What is said."`) {
		t.Errorf("%+v", d)
	}
	for raw, want := range map[string][]Problem{
		``:                            nil,
		`{"text":"Hi","every":"10s"}`: nil,
		`{"text":""}`:                 {{"text", "must not be empty"}},
		`{"every":5,"txt":"x"}`: {
			{"every", "5 has no unit; write 5s"},
			{"txt", `unknown key "txt"; did you mean text?`},
		},
	} {
		if diff := cmp.Diff(want, p.Check(t.Context(), Worker{Settings: json.RawMessage(raw)})); diff != "" {
			t.Errorf("%s: %s", raw, diff)
		}
	}
	none := HandlerPlugin(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if got := none.Check(t.Context(), Worker{Settings: json.RawMessage(`{"x":1}`)}); len(got) != 1 || got[0].Path != "x" {
		t.Errorf("a worker without settings takes %v", got)
	}
}

// runApp runs p and returns its endpoint; the end of the test stops it, and
// returns what Run said to ended.
func runApp(t *testing.T, p *handlerPlugin, w Worker) (Endpoint, func() error) {
	t.Helper()
	folder, err := os.MkdirTemp("", "tqs") //nolint:usetesting // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w.RuntimeFolder = folder
	states, ended := make(chan State, 4), make(chan error, 1)
	go func() { ended <- p.Run(t.Context(), w, func(s State) { states <- s }) }()
	for {
		select {
		case err := <-ended:
			t.Fatal(err)
		case s := <-states:
			if s.Kind == Ready {
				return s.Endpoints[0], func() error {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					p.Stop(ctx)
					return <-ended
				}
			}
		}
	}
}

func ask(t *testing.T, e Endpoint, params ...fastcgi.Param) string {
	t.Helper()
	nc, err := net.Dial(e.Network, e.Address)
	if err != nil {
		t.Fatal(err)
	}
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{Extended: true})
	defer c.Close()
	params = append(params, fastcgi.Param{Name: "REQUEST_METHOD", Value: "GET"}, fastcgi.Param{Name: "REQUEST_URI", Value: "/"})
	if err := c.Start(fastcgi.Responder, true, params, []byte{}); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\r\n\r\n")
	return body
}

func TestServeWithServes(t *testing.T) {
	var log bytes.Buffer // written by the handler, read after its end
	closed := make(chan struct{})
	var kept context.Context
	p := greetingApp(func(ctx context.Context, g greeting) (http.Handler, error) {
		kept = ctx
		Log(ctx).Info("made", "worker", WorkerOf(ctx).Name)
		return closingHandler{func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			state := TLSState(ctx)
			fmt.Fprintf(w, "%s %s %s %v %s %s", g.Text, RequestID(ctx), ClientAddr(ctx), QueueTime(ctx), WorkerName(ctx), r.RemoteAddr)
			if state != nil {
				fmt.Fprintf(w, " %x %s", state.Version, state.ServerName)
			}
			Log(ctx).InfoContext(ctx, "by Log")
			slog.New(p0(ctx)).WithGroup("group").InfoContext(ctx, "by context", "a", 1)
		}, closed}, nil
	}, &log)
	e, stop := runApp(t, p, Worker{Name: "greet", MaxWorkers: 3, Settings: json.RawMessage(`{"text":"Hi"}`)})
	if e.MaxConcurrent != 3 || !e.Trailers || e.Protocol != FastCGI {
		t.Errorf("%+v", e)
	}
	param := func(name, value string) fastcgi.Param { return fastcgi.Param{Name: name, Value: value} }
	for _, c := range []struct {
		params []fastcgi.Param
		want   string
	}{
		{nil, "Hi  invalid AddrPort 0s greet @"},
		{[]fastcgi.Param{
			param("REQUEST_ID", "abc"), param("REQUEST_QUEUE_TIME", "0.001500"), param("REMOTE_ADDR", "::1"), param("REMOTE_PORT", "99"),
			param("HTTPS", "on"), param("SSL_PROTOCOL", "TLSv1.3"), param("SSL_TLS_SNI", "example.org"),
		}, "Hi abc [::1]:99 1.5ms greet [::1]:99 304 example.org"},
		{[]fastcgi.Param{param("REQUEST_QUEUE_TIME", "nonsense"), param("REMOTE_ADDR", "10.0.0.1")}, "Hi  10.0.0.1:0 0s greet 10.0.0.1:0"},
	} {
		if got := ask(t, e, c.params...); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	select {
	case <-closed:
		t.Error("closed before the end")
	case <-kept.Done():
		t.Error("ended before the end")
	default:
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-closed
	if kept.Err() == nil {
		t.Error("the handler's context goes on")
	}
	for _, want := range []string{
		`"msg":"made","worker":"greet"`, `"msg":"by Log","request_id":"abc"}`,
		`"msg":"by context","request_id":"abc","group":{"a":1}}`, `"msg":"by context","group":{"a":1}}`, "said at the end",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, &log)
		}
	}
}

// p0 is the handler of the worker's log, as slog.Default has it in a worker.
func p0(ctx context.Context) slog.Handler {
	r, _ := ctx.Value(runningKey{}).(*running)
	return r.log.Handler()
}

func TestServeWithThatCannot(t *testing.T) {
	p := greetingApp(func(context.Context, greeting) (http.Handler, error) { return nil, errors.New("no database") }, io.Discard)
	if err := p.Run(t.Context(), Worker{}, func(State) {}); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Error(err)
	}
	if err := p.Run(t.Context(), Worker{Settings: json.RawMessage(`{"text":""}`)}, func(State) {}); err == nil || !strings.Contains(err.Error(), "must not be empty") {
		t.Error(err)
	}
}

// Outside of the server everything works, and says nothing.
func TestContextOfNoRequest(t *testing.T) {
	ctx := t.Context()
	if RequestID(ctx) != "" || ClientAddr(ctx).IsValid() || TLSState(ctx) != nil || QueueTime(ctx) != 0 || WorkerName(ctx) != "" || Log(ctx) != slog.Default() {
		t.Error("something out of nothing")
	}
}

func TestMetricsOption(t *testing.T) {
	mine := prometheus.NewRegistry()
	jobs := prometheus.NewCounter(prometheus.CounterOpts{Name: "jobs_total", Help: "Jobs."})
	mine.MustRegister(jobs)
	jobs.Inc()
	text, err := greetingApp(nil, io.Discard, Metrics(mine)).Metrics(t.Context())
	if want := "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 1\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	text, err = greetingApp(nil, io.Discard).Metrics(t.Context())
	if err != nil || !strings.Contains(string(text), "go_goroutines") {
		t.Errorf("%q, %v", text, err)
	}
	mine.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "large", Help: strings.Repeat("x", metricsMost)}, func() float64 { return 0 }))
	if _, err := greetingApp(nil, io.Discard, Metrics(mine)).Metrics(t.Context()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}
