package fpmimport

// Verdict is what became of a directive.
type Verdict string

// The verdicts.
const (
	Taken        Verdict = "taken over"    // as a setting with the same meaning
	Equivalent   Verdict = "equivalent"    // the purpose is served in another way
	NotNeeded    Verdict = "not needed"    // there is nothing here it would do
	NotSupported Verdict = "not supported" // it is lost
	Unknown      Verdict = "unknown"       // PHP-FPM has no such directive
)

// directive is one of PHP-FPM's.
type directive struct {
	name string
	// def is its default in PHP-FPM; empty for none.
	def string
	// unset is told when it was not written.
	unset Verdict
	why   string
	// convert is called for a written one.
	convert func(p *pool, l line) outcome
}

// outcome is what became of a written directive.
type outcome struct {
	verdict Verdict
	to      string // the setting it became
	why     string
	look    bool // somebody should look at it
}

func taken(to, why string) outcome      { return outcome{verdict: Taken, to: to, why: why} }
func equivalent(to, why string) outcome { return outcome{verdict: Equivalent, to: to, why: why} }
func notNeeded(why string) outcome      { return outcome{verdict: NotNeeded, why: why} }
func lost(why string) outcome           { return outcome{verdict: NotSupported, why: why, look: true} }

// say makes a convert of one and the same outcome.
func say(o outcome) func(*pool, line) outcome { return func(*pool, line) outcome { return o } }

// globals are the directives of [global] (fpm_conf.c, ini_fpm_global_options).
func globals() []directive {
	const journal = "the log goes to stderr, which journald or the container's runtime keeps"
	return []directive{
		{"pid", "", NotNeeded, "the control socket reaches the server", say(notNeeded("the control socket reaches the server: tqserver reload, restart, status"))},
		{"error_log", "log/php-fpm.log", Equivalent, journal, say(equivalent("", journal))},
		{"syslog.ident", "php-fpm", Equivalent, journal, say(equivalent("", journal))},
		{"syslog.facility", "daemon", Equivalent, journal, say(equivalent("", journal))},
		{"log_buffering", "yes", NotNeeded, "lines are written in the background, and dropped and counted before a request waits for the log", say(notNeeded("lines are written in the background"))},
		{"log_level", "notice", Equivalent, "log.level is info", logLevel},
		{"log_limit", "1024", NotNeeded, "a line is never cut below 64 KiB", say(notNeeded("a line is never cut below 64 KiB"))},
		{"emergency_restart_threshold", "0", Equivalent, "what dies is started again at once, with back-off when it goes on", say(equivalent("", "what dies is started again at once, with back-off when it goes on"))},
		{"emergency_restart_interval", "0", Equivalent, "as emergency_restart_threshold", say(equivalent("", "as emergency_restart_threshold"))},
		{"process_control_timeout", "0", Equivalent, "server.drain_timeout: requests may finish within 30s, where PHP-FPM cuts them off", controlTimeout},
		{"process.max", "0", NotNeeded, "PHP-FPM has no bound either unless it is set", say(lost("nothing bounds the processes of all workers together; each has php.pool.max_workers, and isolation.cgroup.processes"))},
		{"process.priority", "", NotNeeded, "workers run with the server's own priority, as in PHP-FPM", inherited("process.priority")},
		{"daemonize", "yes", NotNeeded, "it runs in the foreground, as systemd and containers want it", say(notNeeded("it runs in the foreground, as systemd and containers want it"))},
		{"rlimit_files", "", NotNeeded, "the server's own limit, as in PHP-FPM", inherited("rlimit_files")},
		{"rlimit_core", "", NotNeeded, "the server's own limit, as in PHP-FPM", inherited("rlimit_core")},
		{"events.mechanism", "", NotNeeded, "Go's runtime uses epoll", say(notNeeded("Go's runtime uses epoll"))},
		{"systemd_interval", "10", NotNeeded, "status is asked for, not sent every ten seconds", say(notNeeded("status is asked for: tqserver status"))},
		{"fastcgi.script_path_encoded", "0", NotNeeded, "a web server's SCRIPT_FILENAME is taken as it comes, as in PHP-FPM", say(lost("SCRIPT_FILENAME is taken as it comes, not decoded"))},
	}
}

// pools are the directives of a pool (fpm_conf.c, ini_fpm_pool_options).
func pools() []directive {
	const output = "what PHP writes is always caught, line by line, whole and undecorated"
	return []directive{
		{"prefix", "", NotNeeded, "", (*pool).prefix},
		{"user", "", NotNeeded, "the server's own user, as in PHP-FPM without root", (*pool).user},
		{"group", "", Equivalent, "the user's own group, as in PHP-FPM", (*pool).group},
		{"listen", "", NotSupported, "PHP-FPM needs it, too", (*pool).listen},
		{"listen.backlog", "511", Equivalent, "requests wait in php.pool.queue, which is bounded, timed and counted", (*pool).backlog},
		{"listen.acl_users", "", NotNeeded, "", (*pool).acl},
		{"listen.acl_groups", "", NotNeeded, "", (*pool).acl},
		{"listen.owner", "", NotNeeded, "the server's own user owns the socket, as in PHP-FPM", (*pool).socketOwner},
		{"listen.group", "", NotNeeded, "the server's own group, as in PHP-FPM", (*pool).socketGroup},
		{"listen.mode", "0660", Equivalent, "fastcgi.socket_mode is 0660, too", (*pool).socketMode},
		{"listen.allowed_clients", "", Equivalent, "by TCP only fastcgi.allowed_clients may connect: loopback; PHP-FPM lets everybody", (*pool).allowedClients},
		{"listen.setfib", "-1", NotNeeded, "it is for FreeBSD", say(lost("it is for FreeBSD"))},
		{"process.priority", "", NotNeeded, "the server's own priority, as in PHP-FPM", (*pool).priority},
		{"process.dumpable", "no", NotNeeded, "the slow log reads a script's stack without it; isolation.core bounds core dumps", say(notNeeded("the slow log reads a script's stack without it; isolation.core bounds core dumps"))},
		{"pm", "", NotSupported, "PHP-FPM needs it, too", (*pool).manager},
		{"pm.max_children", "", NotSupported, "PHP-FPM needs it, too", (*pool).maxChildren},
		{"pm.start_servers", "between the spare servers", Equivalent, "php.pool.start_workers is 1: processes exist from the start, touched or not", spare("start_workers")},
		{"pm.min_spare_servers", "", Equivalent, "php.pool.min_workers is 1", spare("min_workers")},
		{"pm.max_spare_servers", "", Equivalent, "an idle process is ended after php.pool.idle_timeout, down to min_workers", say(equivalent("php.pool.idle_timeout", "an idle process is ended after that time, down to min_workers"))},
		{"pm.max_spawn_rate", "32", NotNeeded, "all processes exist from the start: none has to be started for a request", say(notNeeded("all processes exist from the start: none has to be started for a request"))},
		{"pm.process_idle_timeout", "10s", Equivalent, "php.pool.idle_timeout is 10s, too", (*pool).idleTimeout},
		{"pm.max_requests", "0", Equivalent, "php.pool.max_requests is 0, too: never", (*pool).maxRequests},
		{"pm.status_path", "", NotNeeded, "the address of the section admin shows the status of all workers", urlPath("php.pool.status_path")},
		{"pm.status_listen", "", NotNeeded, "the status page is answered without a process of the pool", say(equivalent("admin.listen", "the section admin of tqserver.yaml answers for all workers on an address of its own: /status/WORKER; it is not written here"))},
		{"ping.path", "", NotNeeded, "", urlPath("php.pool.ping_path")},
		{"ping.response", "pong", Equivalent, "php.pool.ping_response is pong, too", plainText("php.pool.ping_response")},
		{"access.log", "", NotNeeded, "", (*pool).accessLog},
		{"access.format", `"%R - %u %t \"%m %r\" %s"`, NotNeeded, "", (*pool).accessFormat},
		{"access.suppress_path", "", NotNeeded, "", (*pool).suppressPath},
		{"slowlog", "", NotNeeded, "slow requests go to the server's log", say(equivalent("", "slow requests go to the server's log, with the stack of their script"))},
		{"request_slowlog_timeout", "0", Equivalent, "php.pool.slow_log.threshold is 0, too: none", (*pool).slowLog},
		{"request_slowlog_trace_depth", "20", NotNeeded, "the stack is logged to a depth of its own", say(notNeeded("the stack is logged to a depth of its own"))},
		{"request_terminate_timeout", "0", Equivalent, "php.pool.request_timeout and abort_timeout are an hour: no wait is without an end", (*pool).terminate},
		{"request_terminate_timeout_track_finished", "no", NotNeeded, "php-cgi has no fastcgi_finish_request()", say(notNeeded("php-cgi has no fastcgi_finish_request()"))},
		{"rlimit_files", "", NotNeeded, "the server's own limit, as in PHP-FPM", (*pool).files},
		{"rlimit_core", "", NotNeeded, "the server's own limit, as in PHP-FPM", (*pool).core},
		{"chroot", "", NotNeeded, "", say(lost("php-cgi runs in the server's own root; run the server in a container, or with RootDirectory= of systemd, for that. nginx then sends paths as PHP sees them already"))},
		{"chdir", "", NotNeeded, "PHP changes to the script's folder", (*pool).chdir},
		{"catch_workers_output", "no", Equivalent, output, say(equivalent("", output))},
		{"decorate_workers_output", "yes", Equivalent, output, say(equivalent("", output))},
		{"clear_env", "yes", Equivalent, "the environment is always clear", (*pool).clearEnv},
		{"security.limit_extensions", ".php .phar", Equivalent, "only .php runs", (*pool).extensions},
		{"apparmor_hat", "", NotNeeded, "", say(lost("the server sets no hat; give its unit an AppArmorProfile="))},
		{"env", "", NotNeeded, "", (*pool).environment},
		{"php_value", "", NotNeeded, "", iniSetting("settings", false)},
		{"php_flag", "", NotNeeded, "", iniSetting("settings", true)},
		{"php_admin_value", "", NotNeeded, "", iniSetting("admin_settings", false)},
		{"php_admin_flag", "", NotNeeded, "", iniSetting("admin_settings", true)},
	}
}
