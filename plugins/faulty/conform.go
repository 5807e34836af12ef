package faulty

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/process"
)

// breaches are modes of Main that break the plugin protocol in one way each,
// for the conformance suite to find.
func breaches() []string {
	return []string{
		"cheerful", // runs without a host
		"liar",     // speaks any version of the protocol
		"fickle",   // has another version each time
		"delicate", // dies of a start that takes its time
		"mortal",   // dies of SIGTERM
		"elsewhere",
		"narrow", // closes connections above four
		"hoarder",
		"deaf", // does not notice that clients leave
		"hasty",
		"parent", // leaves a child when its host is gone
	}
}

// breach runs a plugin with one of the breaches.
func breach(mode string) {
	if !slices.Contains(breaches(), mode) {
		fmt.Fprintln(os.Stderr, "no such breach:", mode)
		os.Exit(2)
	}
	log := sdk.Logger()
	p := &breaching{plugin: &plugin{log: log, Plugin: sdk.HandlerPlugin(Handler(log), log)}, mode: mode, stopped: make(chan struct{})}
	switch mode {
	case "cheerful":
		if os.Getenv(control.CookieKey) == "" {
			forever()
		}
	case "liar":
		if v := os.Getenv("PLUGIN_PROTOCOL_VERSIONS"); v == "99" {
			fmt.Fprintf(os.Stdout, "1|%s|unix|/nowhere|grpc|\n", v)
			forever()
		}
	case "mortal":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			os.Exit(6)
		}()
	}
	sdk.ServePlugin(p)
}

// delicateTime is as long as a start may take for the delicate.
const delicateTime = 900 * time.Millisecond

type breaching struct {
	*plugin
	mode    string
	stopped chan struct{}
}

// Describe implements sdk.Plugin.
func (p *breaching) Describe() sdk.Description {
	d := p.plugin.Describe()
	if p.mode == "fickle" {
		d.Version = fmt.Sprint("built by ", os.Getpid())
	}
	return d
}

// Run implements sdk.Plugin.
func (p *breaching) Run(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	switch p.mode {
	case "delicate":
		if s, err := process.ReadStat(os.Getpid()); err != nil || time.Since(s.StartTime()) > delicateTime {
			os.Exit(6)
		}
	case "elsewhere":
		w.RuntimeFolder = filepath.Dir(filepath.Dir(w.RuntimeFolder))
		_ = os.Remove(filepath.Join(w.RuntimeFolder, "fcgi.sock"))
	case "narrow", "hoarder", "deaf", "hasty":
		return p.serveOddly(ctx, w, report)
	case "parent":
		p.settings.Hidden = true
		if err := p.makeMess(); err != nil {
			return err
		}
	}
	return p.plugin.Run(ctx, w, report)
}

// Stop implements sdk.Plugin.
func (p *breaching) Stop(ctx context.Context) {
	switch p.mode {
	case "hasty":
		over, cancel := context.WithCancel(ctx)
		cancel()
		p.plugin.Stop(over)
	case "narrow":
		close(p.stopped)
	default:
		p.plugin.Stop(ctx)
	}
}

// serveOddly is for faults of the data path.
func (p *breaching) serveOddly(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	inner := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.mode == "hoarder":
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		case p.mode == "deaf" && r.Method == http.MethodPost && r.ContentLength > 1<<20:
			forever()
		default:
			_ = echo(w, r)
		}
	}))
	if p.mode != "narrow" {
		p.Plugin = sdk.HandlerPlugin(inner, p.log)
		return p.Plugin.Run(ctx, w, report)
	}
	listener, err := listenUnix(ctx, filepath.Join(w.RuntimeFolder, "narrow.sock"))
	if err != nil {
		return err
	}
	server := &fastcgi.Server{Handler: fastcgi.HTTPHandler(inner, fastcgi.HTTPOptions{}), Limits: fastcgi.Limits{MaxConns: 4}}
	go func() { _ = server.Serve(listener) }()
	report(sdk.State{Kind: sdk.Ready, Endpoints: []sdk.Endpoint{
		{ID: "narrow", Network: "unix", Address: listener.Addr().String(), MaxConcurrent: w.MaxWorkers},
	}})
	select {
	case <-ctx.Done():
	case <-p.stopped:
	}
	return server.Close()
}

// echo answers with the body, as it comes.
func echo(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// isBreach says that a mode of Main is one.
func isBreach(mode string) bool { return strings.HasPrefix(mode, "breach ") }
