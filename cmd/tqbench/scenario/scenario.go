// Package scenario says what is asked of the contestants, and asks them: round
// by round, one after the other, so that what disturbs the machine for a while
// disturbs them all.
package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/load"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// Scenario is a question to some contestants.
type Scenario struct {
	ID          string
	Title       string
	How         string
	Baseline    contestant.ID // that ratios are to
	Contestants []contestant.ID
	Tools       []contestant.Tool // beyond those of the contestants
	Metrics     []result.Metric   // the main one first
	Computes    bool              // it asks for cpu.php, which has to be timed before
	MostRounds  int               // above 0: no more rounds than this
	app         contestant.App
	request     func(*contestant.Site) load.Request
	// One of these measures: steady a contestant that serves all rounds,
	// fresh one that it starts itself.
	steady func(context.Context, *env, *contestant.Running, load.Request) (result.Round, error)
	fresh  func(context.Context, *env, contestant.Contestant, load.Request) (result.Round, error)
}

// env is what measuring functions know of the run.
type env struct {
	Options
	app contestant.App
}

// Options of a run.
type Options struct {
	Site     *contestant.Site
	Rounds   int
	Duration time.Duration // of a round under load; whole seconds
	Quick    bool
	Progress func(format string, args ...any)
}

// The numbers that the targets are about.
const (
	phpProcesses = 4
	clients      = 16
	crowd        = 256
	burst        = 20
	pools        = 1000
)

// All returns the scenarios in the order of reports.
func All() []Scenario {
	php := []contestant.ID{
		contestant.NginxFPM, contestant.NginxFPMKeepalive, contestant.ApacheFPM, contestant.CaddyFPM, contestant.LighttpdCGI,
		contestant.NginxTQServer, contestant.TQServer,
	}
	// A kept connection is of no use to a start.
	once := slices.DeleteFunc(slices.Clone(php), func(id contestant.ID) bool { return id == contestant.NginxFPMKeepalive })
	// What starts processes is PHP-FPM, whatever web server is before it.
	managers := []contestant.ID{contestant.NginxFPM, contestant.LighttpdCGI, contestant.NginxTQServer, contestant.TQServer}
	app := contestant.App{PHP: true, Processes: phpProcesses}
	rate := []result.Metric{result.Rate, result.P50, result.P99, result.Visitor, result.CPU, result.CPUPHP, result.Memory}
	cgi := []contestant.Tool{contestant.PHPCGI}
	wrk := []contestant.Tool{contestant.PHPCGI, contestant.Wrk}
	return []Scenario{
		{
			ID: "hello", Title: "hello.php", How: "a script that prints one line; 4 PHP processes, 16 clients with kept connections (wrk)",
			Baseline: contestant.NginxFPM, Contestants: php, Tools: wrk, Metrics: rate, app: app, request: hello, steady: throughput,
		},
		{
			ID: "cpu", Title: "a script that computes for 5 ms", How: "the same loop for everyone, timed before the start; 4 PHP processes, 16 clients (wrk)",
			Baseline: contestant.NginxFPM, Contestants: php, Tools: wrk, Computes: true, Metrics: rate, app: app, request: cpu, steady: throughput,
		},
		{
			ID: "large", Title: "a response of 200 kB", How: "4 PHP processes, 16 clients (wrk)",
			Baseline: contestant.NginxFPM, Contestants: php, Tools: wrk, Metrics: rate, app: app, request: large, steady: throughput,
		},
		{
			ID: "post", Title: "a POST of 1 MiB", How: "the script reads all of it and answers with length and checksum; 4 PHP processes, 16 clients (wrk)",
			Baseline: contestant.NginxFPM, Contestants: php, Tools: wrk, Metrics: rate, app: app, request: post, steady: throughput,
		},
		{
			ID: "dokuwiki", Title: "a page of dokuwiki", How: "Debian's package, the start page, no cookies; 4 PHP processes, 16 clients (wrk)",
			Baseline: contestant.NginxFPM, Contestants: php, Tools: append(wrk, contestant.Dokuwiki), Metrics: rate, app: app, request: wiki, steady: throughput,
		},
		{
			ID: "overload", Title: "overload", How: "256 clients with kept connections ask 4 PHP processes for the 5 ms script; requests without an answer at the end count with the time they have waited",
			Baseline: contestant.NginxFPMKeepalive, Contestants: php, Tools: cgi, Computes: true,
			Metrics: []result.Metric{result.P99, result.P50, result.Rate, result.CPU, result.CPUPHP, result.Memory}, app: app, request: cpu, steady: overload,
		},
		{
			ID: "burst", Title: "a burst of 20 slow requests on an idle pool", How: "20 PHP processes at most (PHP-FPM: dynamic, 2 spare), 20 requests of 4 s (--quick: 1 s) at once; started anew every round",
			Baseline: contestant.NginxFPM, Contestants: managers, Tools: cgi, MostRounds: 5,
			Metrics: []result.Metric{result.LastRun, result.FirstRun, result.Memory, result.Processes},
			app:     contestant.App{PHP: true, Processes: burst, Dynamic: true}, request: slow, fresh: fromIdle,
		},
		{
			ID: "start", Title: "cold start", How: "from the start of the first program to the right answer of hello.php; PHP first, then the web server",
			Baseline: contestant.NginxFPM, Contestants: once, Tools: cgi,
			Metrics: []result.Metric{result.Answer, result.Memory, result.Processes}, app: app, request: hello, fresh: coldStart,
		},
		{
			ID: "go", Title: "an application written in Go", How: "a handler that prints one line; 16 clients with kept connections (wrk)",
			Baseline: contestant.NginxNetHTTP, Tools: []contestant.Tool{contestant.Wrk, contestant.Peer},
			Contestants: []contestant.ID{
				contestant.NginxNetHTTP, contestant.CaddyNetHTTP, contestant.ReverseProxy, contestant.PluginGRPC, contestant.NetHTTP,
				contestant.NginxTQServer, contestant.TQServer,
			},
			Metrics: []result.Metric{result.Rate, result.P50, result.P99, result.Visitor, result.CPU, result.Memory},
			app:     contestant.App{Go: true}, request: goHello, steady: throughput,
		},
		{
			ID: "idle", Title: "memory when idle", How: "after one request to each application: TQServer with a PHP worker (4 processes) and a Go worker; nginx + php-fpm with the same PHP, without a Go application",
			Baseline: contestant.NginxFPM, Contestants: []contestant.ID{contestant.NginxFPM, contestant.TQServer}, MostRounds: 3,
			Tools:   []contestant.Tool{contestant.PHPCGI, contestant.Peer},
			Metrics: []result.Metric{result.MemoryOwn, result.Memory, result.MemoryPHP, result.Processes},
			app:     contestant.App{PHP: true, Go: true, Processes: phpProcesses}, request: hello, fresh: idle,
		},
		{
			ID: "thousand", Title: "1,000 applications configured", How: "each with PHP processes of its own, started when they are needed (ondemand): from start to the first answer; then 20 that were idle; then one under load, 16 clients (wrk)",
			Baseline: contestant.NginxFPM, Contestants: []contestant.ID{contestant.NginxFPM, contestant.TQServer}, MostRounds: 3, Tools: wrk,
			Metrics: []result.Metric{result.Answer, result.Wake, result.Rate, result.CPU, result.Memory, result.Processes},
			app:     contestant.App{PHP: true, Processes: phpProcesses, Pools: pools}, request: firstPool, fresh: manyPools,
		},
	}
}
