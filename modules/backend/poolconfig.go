package backend

import (
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Managers of a pool, with the meaning they have in PHP-FPM.
const (
	managerStatic   = "static"
	managerDynamic  = "dynamic"
	managerOndemand = "ondemand"
)

// poolSettings is the pool section below the worker's type.
type poolSettings struct {
	Manager        string          `conf:"manager" enum:"static,dynamic,ondemand" doc:"static keeps all used processes; dynamic ends those that nobody needed for idle_timeout, down to min_workers; ondemand ends them all, and the plugin, and starts them at the next request." source:"pm in Debian's www.conf"`
	MaxWorkers     int             `conf:"max_workers" doc:"How many requests run at once; for php, its processes, which all exist from the start and share their memory until they are used." unit:"requests" source:"pm.max_children in Debian's www.conf"`
	MinWorkers     int             `conf:"min_workers" doc:"How many used processes dynamic keeps, however idle." unit:"processes" source:"pm.min_spare_servers in Debian's www.conf"`
	StartWorkers   int             `conf:"start_workers" doc:"How many processes are connected to at the start, before the first request; not for ondemand." unit:"processes" source:"min_workers: more would be touched for nothing"`
	MaxRequests    int             `conf:"max_requests" doc:"After how many requests a process is replaced, up to a tenth sooner by chance; 0 means never." unit:"requests" source:"pm.max_requests of PHP-FPM"`
	MaxAge         time.Duration   `conf:"max_age" doc:"After what time since its first request a process is replaced, up to a tenth sooner by chance; 0 means never." source:"none: PHP-FPM has no such bound"`
	MaxMemory      settings.Bytes  `conf:"max_memory" doc:"Private memory above which a process is replaced, measured between two requests; 0 means never." source:"none: PHP-FPM has no such bound"`
	IdleTimeout    time.Duration   `conf:"idle_timeout" doc:"After what time without a request dynamic and ondemand end a process." source:"pm.process_idle_timeout of PHP-FPM"`
	RequestTimeout time.Duration   `conf:"request_timeout" doc:"Longest time a request may run; then the client gets 504 and the one process that runs it is ended." source:"PHP's max_execution_time"`
	AbortTimeout   time.Duration   `conf:"abort_timeout" doc:"How long a script may go on when its client has left; then its process is ended. Its next output ends it sooner, unless it has called ignore_user_abort." source:"request_timeout: nobody waits for it any more"`
	Queue          queueSettings   `conf:"queue" doc:"Where requests wait for a free process."`
	SlowLog        slowLogSettings `conf:"slow_log" doc:"What is said of requests that run long."`
	Warmup         []string        `conf:"warmup" doc:"URL paths that new processes must have answered, with a status below 500, before they take over." source:"none: nothing is known of the application"`
	StatusPath     string          `conf:"status_path" doc:"URL path that answers with PHP-FPM's status page, without a process; empty means none." source:"pm.status_path of PHP-FPM"`
	PingPath       string          `conf:"ping_path" doc:"URL path that answers with ping_response, without a process; empty means none." source:"ping.path of PHP-FPM"`
	PingResponse   string          `conf:"ping_response" doc:"What ping_path answers." source:"ping.response of PHP-FPM"`
}

type queueSettings struct {
	Length int           `conf:"length" doc:"How many requests may wait; one more gets 503. 0 means none waits." unit:"requests" source:"half of PHP-FPM's listen.backlog (511)"`
	Wait   time.Duration `conf:"wait" doc:"Longest time a request waits; then it gets 503." source:"our choice: users have gone by then"`
}

type slowLogSettings struct {
	Threshold time.Duration `conf:"threshold" doc:"Requests that run longer are logged, once, with the stack of their script; 0 means none." source:"request_slowlog_timeout of PHP-FPM"`
}

// defaultPool: 5 children, 1 of them spare, an idle time of 10 s, no bound of
// requests, no slow log and "pong" are PHP-FPM's defaults or Debian's www.conf;
// dynamic is Debian's. A request time-out and a bounded queue PHP-FPM has not.
func defaultPool() poolSettings {
	return poolSettings{
		Manager:        managerDynamic,
		MaxWorkers:     5,
		MinWorkers:     1,
		StartWorkers:   1,
		IdleTimeout:    10 * time.Second,
		RequestTimeout: 30 * time.Second,
		AbortTimeout:   30 * time.Second,
		Queue:          queueSettings{Length: 256, Wait: 10 * time.Second},
		PingResponse:   "pong",
	}
}

// streamPool is for processes that serve many requests at once, where a request
// costs little until it does something: as many as nginx's worker_connections.
func streamPool() poolSettings {
	p := defaultPool()
	p.MaxWorkers = 512
	return p
}

// Validate checks the bounds.
func (p *poolSettings) Validate() []settings.Problem {
	var bad []settings.Problem
	say := func(wrong bool, path, message string) {
		if wrong {
			bad = append(bad, settings.Problem{Path: path, Message: message})
		}
	}
	say(p.MaxWorkers < 1 || p.MaxWorkers > 10_000, "max_workers", "must be from 1 to 10000")
	say(p.MinWorkers < 0 || p.MinWorkers > max(p.MaxWorkers, 1), "min_workers", "must be from 0 to max_workers")
	say(p.StartWorkers < 0 || p.StartWorkers > max(p.MaxWorkers, 1), "start_workers", "must be from 0 to max_workers")
	say(p.MaxRequests < 0, "max_requests", "must not be below 0")
	say(p.MaxAge < 0, "max_age", "must not be below 0")
	say(p.MaxMemory < 0, "max_memory", "must not be below 0")
	say(p.IdleTimeout <= 0, "idle_timeout", "must be above 0; manager: static keeps idle processes")
	say(p.RequestTimeout <= 0, "request_timeout", "must be above 0: no wait is without an end")
	say(p.AbortTimeout <= 0, "abort_timeout", "must be above 0: no wait is without an end")
	say(p.Queue.Length < 0, "queue.length", "must not be below 0")
	say(p.Queue.Wait <= 0, "queue.wait", "must be above 0")
	say(p.SlowLog.Threshold < 0, "slow_log.threshold", "must not be below 0")
	path := func(name, value string) {
		say(value != "" && (!strings.HasPrefix(value, "/") || strings.ContainsAny(value, "?#")), name,
			"give a URL path, beginning with a slash and without a query: /status")
	}
	path("status_path", p.StatusPath)
	path("ping_path", p.PingPath)
	say(p.StatusPath != "" && p.StatusPath == p.PingPath, "ping_path", "is status_path too; give each its own")
	for i, target := range p.Warmup {
		say(!strings.HasPrefix(target, "/"), settings.Index("warmup", i), "give a URL path, beginning with a slash")
	}
	return bad
}
