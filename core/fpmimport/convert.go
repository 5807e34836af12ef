package fpmimport

import (
	"fmt"
	"net/netip"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noLimit stands for PHP-FPM's 0 where a wait has to have an end here.
const noLimit = bareText("1h")

// pool is a pool on its way to become a worker; the global section, too, whose
// settings go to tqserver.yaml.
type pool struct {
	*job
	name string // of the pool
	out  node   // worker.yaml, or tqserver.yaml
	set  map[string]string
}

// known says whether the server has the setting of worker.yaml.
func (p *pool) known(key string) bool { return p.options.Known("worker." + key) }

// write sets a setting of worker.yaml, if the server has it.
func (p *pool) write(key string, value any, why string) outcome {
	if !p.known(key) {
		return lost("this version of the server has no " + key)
	}
	p.out.set(strings.Split(key, "."), value, "")
	return taken(key, why)
}

func refused(format string, args ...any) outcome { return lost(fmt.Sprintf(format, args...)) }

// number reads what FPM takes for one.
func number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil
}

var fpmTime = regexp.MustCompile(`^([0-9]+)([smhd]?)$`)

// duration reads FPM's times: seconds, or a number with s, m, h or d.
func duration(text string) (value bareText, zero, ok bool) {
	m := fpmTime.FindStringSubmatch(text)
	if m == nil {
		return "", false, false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n > 1<<31 {
		return "", false, false
	}
	switch m[2] {
	case "d":
		return bareText(strconv.Itoa(24*n) + "h"), n == 0, true
	case "":
		return bareText(m[1] + "s"), n == 0, true
	}
	return bareText(text), n == 0, true
}

const noTime = "%q is no time: seconds, or a number with s, m, h or d"

func (p *pool) prefix(line) outcome {
	return equivalent("", "relative paths of the pool were made absolute by it")
}

// path makes a path of the pool absolute, as fpm_evaluate_full_path does.
func (p *pool) path(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$prefix"), "/")
	prefix := p.set["prefix"]
	if prefix == "" {
		prefix = p.options.Prefix
	}
	if !filepath.IsAbs(prefix) {
		prefix = filepath.Join(p.options.Prefix, prefix)
	}
	return filepath.Join(prefix, path)
}

func (p *pool) user(l line) outcome {
	name := l.value
	if u, err := user.LookupId(name); err == nil && !nameExists(name) {
		name = u.Username // FPM takes numbers as well
	}
	return p.write("user", name, "")
}

func nameExists(name string) bool {
	_, err := user.Lookup(name)
	return err == nil
}

func (p *pool) group(l line) outcome {
	name := l.value
	if _, err := user.LookupGroup(name); err != nil {
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
	}
	return p.write("group", name, "")
}

// isUnix says whether listen is the path of a socket (fpm_sockets.c,
// fpm_sockets_domain_from_address).
func isUnix(listen string) bool {
	if strings.ContainsRune(listen, '/') {
		return true
	}
	_, isNumber := number(listen)
	return !isNumber && !strings.ContainsRune(listen, ':')
}

func (p *pool) listen(l line) outcome {
	address := l.value
	_, isNumber := number(address)
	switch {
	case address == "":
		return lost("it is empty")
	case isUnix(address):
		if !strings.HasPrefix(address, "/") {
			address = p.path(address)
		}
		address = "unix:" + address
	case isNumber:
		address = ":" + address // on all addresses
	}
	o := p.write("fastcgi.listen", []string{address}, "the web server goes on using it as it is")
	if host, _, ok := strings.Cut(address, ":"); o.verdict == Taken && ok && host != "unix" && !isLoopback(address) && p.set["listen.allowed_clients"] == "" {
		o.look = true
		o.why = "PHP-FPM lets everybody who reaches this address run scripts; here only this machine may connect. Name your web servers in fastcgi.allowed_clients of its worker.yaml"
	}
	return o
}

func isLoopback(address string) bool {
	ip, err := netip.ParseAddrPort(address)
	return err == nil && ip.Addr().IsLoopback() || strings.HasPrefix(address, "localhost:")
}

func (p *pool) backlog(l line) outcome {
	n, ok := number(l.value)
	if !ok {
		return refused("%q is no number", l.value)
	}
	if n <= 0 {
		return equivalent("php.pool.queue", "requests wait in a queue that is bounded, timed and counted: 256 of them, 10s")
	}
	o := p.write("php.pool.queue.length", bareText(strconv.Itoa(min(n, 100_000))), "")
	if o.verdict == Taken {
		o.verdict, o.why = Equivalent, "requests wait in the pool's own queue, which is bounded, timed and counted"
	}
	return o
}

// onUnix refuses what is only for unix sockets.
func (p *pool) onUnix() (outcome, bool) {
	if isUnix(p.set["listen"]) {
		return outcome{}, true
	}
	return notNeeded("the pool listens on TCP"), false
}

func (p *pool) acl(l line) outcome {
	if o, ok := p.onUnix(); !ok {
		return o
	}
	names := strings.FieldsFunc(p.set["listen.acl_users"]+","+p.set["listen.acl_groups"], func(r rune) bool { return r == ',' || r == ' ' })
	if len(names) != 1 {
		return lost("no access lists are set on sockets; put the web servers' users into one group and name it in fastcgi.socket_group")
	}
	key := "fastcgi.socket_group"
	if l.name == "listen.acl_users" {
		key = "fastcgi.socket_owner"
	}
	o := p.write(key, l.value, "")
	if o.verdict == Taken {
		o.verdict, o.why = Equivalent, "one name needs no access list"
	}
	return o
}

// listed says whether an access list takes the place of owner, group and mode,
// as in PHP-FPM.
func (p *pool) listed() bool {
	return p.set["listen.acl_users"] != "" || p.set["listen.acl_groups"] != ""
}

func (p *pool) socket(key, value string) outcome {
	if o, ok := p.onUnix(); !ok {
		return o
	}
	if p.listed() {
		return notNeeded("PHP-FPM leaves it out beside listen.acl_users and listen.acl_groups")
	}
	return p.write(key, value, "")
}

func (p *pool) socketOwner(l line) outcome {
	name := l.value
	if u, err := user.LookupId(name); err == nil && !nameExists(name) {
		name = u.Username
	}
	return p.socket("fastcgi.socket_owner", name)
}

func (p *pool) socketGroup(l line) outcome { return p.socket("fastcgi.socket_group", l.value) }

func (p *pool) socketMode(l line) outcome {
	mode, err := strconv.ParseUint(l.value, 8, 16)
	if err != nil || mode > 0o777 {
		return refused("%q is no mode: three octal digits", l.value)
	}
	return p.socket("fastcgi.socket_mode", fmt.Sprintf("%04o", mode))
}

func (p *pool) allowedClients(l line) outcome {
	if isUnix(p.set["listen"]) {
		return notNeeded("the pool listens on a unix socket, whose owner, group and mode say who may connect")
	}
	clients := strings.FieldsFunc(l.value, func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Contains(clients, "any") {
		return lost("any: whoever reaches the address could run scripts; here only this machine may. Name your web servers in fastcgi.allowed_clients of its worker.yaml")
	}
	for _, c := range clients {
		if _, err := netip.ParseAddr(c); err != nil {
			return refused("%q is no IP address", c)
		}
	}
	return p.write("fastcgi.allowed_clients", clients, "")
}

func (p *pool) priority(l line) outcome {
	n, ok := number(l.value)
	if !ok || n < -20 || n > 20 {
		return refused("%q is not from -19 to 20", l.value)
	}
	return p.write("isolation.nice", bareText(strconv.Itoa(min(n, 19))), "")
}

func (p *pool) files(l line) outcome {
	n, ok := number(l.value)
	if !ok || n < 32 {
		return refused("%q: php-cgi needs 32 descriptors to start", l.value)
	}
	return p.write("isolation.files", bareText(strconv.Itoa(n)), "")
}

func (p *pool) core(l line) outcome {
	if l.value == "unlimited" {
		return lost("a size has to be given: isolation.core; without it the server's own limit holds")
	}
	n, ok := number(l.value)
	if !ok || n < 0 {
		return refused("%q is no number of bytes", l.value)
	}
	if n == 0 {
		return p.write("isolation.core", bareText("0"), "")
	}
	return p.write("isolation.core", bareText(strconv.Itoa(n)+"B"), "")
}

func (p *pool) manager(l line) outcome {
	m := strings.ToLower(l.value)
	if !slices.Contains([]string{"static", "dynamic", "ondemand"}, m) {
		return refused("%q is none of static, dynamic, ondemand", l.value)
	}
	return p.write("php.pool.manager", bareText(m), "")
}

// maxWorkers is the most a pool may have here.
const maxWorkers = 10_000

func (p *pool) children() int {
	n, _ := number(p.set["pm.max_children"])
	return min(n, maxWorkers)
}

func (p *pool) maxChildren(l line) outcome {
	n, ok := number(l.value)
	if !ok || n < 1 {
		return refused("%q is no number above 0", l.value)
	}
	if n > maxWorkers {
		p.write("php.pool.max_workers", bareText(strconv.Itoa(maxWorkers)), "")
		return refused("a worker has 10000 processes at most, which is what was written")
	}
	return p.write("php.pool.max_workers", bareText(strconv.Itoa(n)), "")
}

// spare converts what only dynamic pools have.
func spare(setting string) func(*pool, line) outcome {
	return func(p *pool, l line) outcome {
		if pm := strings.ToLower(p.set["pm"]); pm != "dynamic" {
			return notNeeded("PHP-FPM leaves it out with pm = " + pm)
		}
		n, ok := number(l.value)
		if !ok || n < 0 || n > p.children() {
			return refused("%q is no number up to pm.max_children", l.value)
		}
		return p.write("php.pool."+setting, bareText(strconv.Itoa(n)), "")
	}
}

func (p *pool) idleTimeout(l line) outcome {
	value, zero, ok := duration(l.value)
	switch {
	case !ok || zero:
		return refused(noTime+", above 0", l.value)
	case strings.ToLower(p.set["pm"]) != "ondemand":
		return notNeeded("PHP-FPM leaves it out with pm = " + p.set["pm"])
	}
	return p.write("php.pool.idle_timeout", value, "")
}

func (p *pool) maxRequests(l line) outcome {
	n, ok := number(l.value)
	if !ok || n < 0 {
		return refused("%q is no number", l.value)
	}
	return p.write("php.pool.max_requests", bareText(strconv.Itoa(n)), "up to a tenth sooner, so that not all processes are replaced at once")
}

func urlPath(key string) func(*pool, line) outcome {
	return func(p *pool, l line) outcome {
		if !strings.HasPrefix(l.value, "/") || strings.ContainsAny(l.value, "?#") {
			return refused("%q is no URL path, beginning with a slash", l.value)
		}
		return p.write(key, l.value, "answered without a process of the pool")
	}
}

func plainText(key string) func(*pool, line) outcome {
	return func(p *pool, l line) outcome { return p.write(key, l.value, "") }
}

func (p *pool) slowLog(l line) outcome {
	value, zero, ok := duration(l.value)
	if !ok {
		return refused(noTime, l.value)
	}
	if zero {
		return equivalent("php.pool.slow_log.threshold", "0 is the default here, too: none")
	}
	return p.write("php.pool.slow_log.threshold", value, "in the server's log")
}

// unlimited lets requests run as long as PHP-FPM does, nearly.
func (p *pool) unlimited() outcome {
	p.write("php.pool.request_timeout", noLimit, "")
	p.write("php.pool.abort_timeout", noLimit, "")
	return equivalent("php.pool.request_timeout", "0 is no limit in PHP-FPM; no wait is without an end here, so an hour was written")
}

func (p *pool) terminate(l line) outcome {
	value, zero, ok := duration(l.value)
	if !ok {
		return refused(noTime, l.value)
	}
	if zero {
		return p.unlimited()
	}
	p.write("php.pool.abort_timeout", value, "")
	return p.write("php.pool.request_timeout", value, "the client gets 504, where PHP-FPM resets the connection")
}

func (p *pool) chdir(line) outcome {
	return notNeeded("PHP changes to the script's folder for every request")
}

func (p *pool) clearEnv(l line) outcome {
	if isTrue(l.value) {
		return equivalent("", "the environment is always clear")
	}
	return lost("PHP does not get the server's environment; name the variables it needs in php.env: NAME: env:NAME")
}

func isTrue(value string) bool { return value == "1" }

func (p *pool) extensions(l line) outcome {
	var other []string
	for e := range strings.FieldsSeq(strings.ReplaceAll(l.value, ",", " ")) {
		if e != ".php" {
			other = append(other, e)
		}
	}
	switch {
	case strings.TrimSpace(l.value) == "":
		return lost("empty lets PHP run every file; here only .php runs")
	case len(other) > 0:
		return refused("only .php runs; files that end in %s do not", strings.Join(other, ", "))
	}
	return equivalent("", "only .php runs")
}
