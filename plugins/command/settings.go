package command

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Where a program is to listen.
const (
	listenPort   = "port"
	listenSocket = "socket"
)

// Settings are those of a worker of type command, below command: in worker.yaml.
type Settings struct {
	Exec         []string                   `conf:"exec" doc:"The program and its arguments. A name without a slash is looked for on PATH, another relative path starts at folder. $PORT, $HOST and $SOCKET_PATH, also as ${PORT}, stand for what the environment has." source:"none: it has to be given"`
	Folder       string                     `conf:"folder" doc:"Folder the program is started in, relative to the worker's folder." source:"the worker's folder"`
	Env          map[string]settings.Secret `conf:"env" doc:"Environment of the program, beside PORT and HOST, or SOCKET_PATH, which say where it is to listen, and PATH, HOME, USER, LANG, LC_ALL, TZ and TMPDIR. A value may be file:/run/secrets/x or env:NAME, which stand for what the file or the server's own environment holds." source:"none: the server's own environment may hold secrets"`
	Listen       string                     `conf:"listen" enum:"port,socket" doc:"What the program listens on: port, a free TCP port of this machine's own address, in PORT and HOST; or socket, a unix socket in a private folder, in SOCKET_PATH." source:"what Heroku and most hosts of applications do"`
	Processes    int                        `conf:"processes" doc:"How many processes of the program there are; each listens on its own, and pool.max_workers is shared between them." unit:"processes" source:"one: it may keep state of its own"`
	Health       HealthSettings             `conf:"health" doc:"How a process is asked whether it is well."`
	StartTimeout time.Duration              `conf:"start_timeout" doc:"How long a process may take until it answers." source:"our choice: half of Heroku's boot time-out, which includes a download"`
	StopTimeout  time.Duration              `conf:"stop_timeout" doc:"How long a process that is replaced may take to end after SIGTERM; then its whole process group is killed. When the server stops, server.drain_timeout says how long." source:"docker stop"`
}

// HealthSettings say how a process is asked whether it is well.
type HealthSettings struct {
	Path     string        `conf:"path" doc:"URL path that has to be answered, with a status below 500, before a process gets requests and then every interval. Empty means that a connection is enough, and that nothing is asked later." source:"the page every application has"`
	Interval time.Duration `conf:"interval" doc:"Pause between two questions." source:"periodSeconds of Kubernetes' probes"`
	Timeout  time.Duration `conf:"timeout" doc:"Longest wait for the answer." source:"our choice: Kubernetes' second is short for a page"`
	Failures int           `conf:"failures" doc:"After how many questions in a row without a good answer a process is replaced." unit:"questions" source:"failureThreshold of Kubernetes' probes"`
}

func defaultSettings() Settings {
	return Settings{
		Folder: ".", Listen: listenPort, Processes: 1, StartTimeout: 30 * time.Second, StopTimeout: 10 * time.Second,
		Health: HealthSettings{Path: "/", Interval: 10 * time.Second, Timeout: 5 * time.Second, Failures: 3},
	}
}

// processesMost bounds the processes of one worker.
const processesMost = 256

// Validate checks the bounds.
func (s *Settings) Validate() []settings.Problem {
	bad := settings.Positive(settings.Bound{Path: "start_timeout", Value: int64(s.StartTimeout)}, settings.Bound{Path: "stop_timeout", Value: int64(s.StopTimeout)})
	if s.Processes < 1 || s.Processes > processesMost {
		bad = append(bad, settings.Problem{Path: "processes", Message: fmt.Sprintf("must be from 1 to %d", processesMost)})
	}
	return bad
}

// Validate checks the bounds.
func (h *HealthSettings) Validate() []settings.Problem {
	bad := settings.Positive(settings.Bound{Path: "interval", Value: int64(h.Interval)}, settings.Bound{Path: "timeout", Value: int64(h.Timeout)},
		settings.Bound{Path: "failures", Value: int64(h.Failures)})
	if h.Path != "" && (!strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, "# \t\r\n")) {
		bad = append(bad, settings.Problem{Path: "path", Message: "give a URL path, beginning with a slash: /health"})
	}
	return bad
}

// program is what Check makes of a worker and Run works with.
type program struct {
	Settings
	path string // of the executable, absolute
	dir  string
	env  []string // without where to listen
}

// prepare checks everything; what it returns is good only without problems.
func prepare(w sdk.Worker) (program, []sdk.Problem) {
	p := program{Settings: defaultSettings()}
	var problems []sdk.Problem
	for _, found := range settings.DecodeJSON(w.Settings, &p.Settings) {
		problems = append(problems, sdk.Problem(found))
	}
	add := func(path, format string, args ...any) {
		problems = append(problems, sdk.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	p.dir = filepath.Join(w.Folder, p.Folder)
	if filepath.IsAbs(p.Folder) {
		p.dir = filepath.Clean(p.Folder)
	}
	if info, err := os.Stat(p.dir); err != nil {
		add("folder", "%v", err)
	} else if !info.IsDir() {
		add("folder", "%s is not a folder", p.dir)
	}
	p.env = environment()
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		value := p.Env[name].Reveal()
		switch {
		case !settings.EnvName(name):
			add(settings.Join("env", name), "not a name of an environment variable: letters, digits and _, not beginning with a digit")
		case name == "PORT" || name == "SOCKET_PATH":
			add(settings.Join("env", name), "the server sets this itself: see listen")
		case strings.Contains(value, "\x00"):
			add(settings.Join("env", name), "a value cannot have a NUL byte")
		}
		p.env = setEnv(p.env, name, value)
	}
	p.checkExec(add)
	return p, problems
}

// checkExec finds the executable.
func (p *program) checkExec(add func(path, format string, args ...any)) {
	if len(p.Exec) == 0 || p.Exec[0] == "" {
		add("exec", "give the program and its arguments: [node, server.js]")
		return
	}
	other := map[string]string{listenPort: "SOCKET_PATH", listenSocket: "PORT"}[p.Listen]
	for i, arg := range p.Exec {
		if strings.Contains(arg, "\x00") {
			add(settings.Index("exec", i), "an argument cannot have a NUL byte")
		}
		for _, m := range placeholder.FindAllStringSubmatch(arg, -1) {
			if m[1]+m[2] == other {
				add(settings.Index("exec", i), "there is no %s where listen is %s", other, p.Listen)
			}
		}
	}
	path, err := lookUp(p.Exec[0], p.dir, p.env)
	if err != nil {
		add(settings.Index("exec", 0), "%v", err)
	}
	p.path = path
}

// lookUp finds a program as a shell does that stands in dir.
func lookUp(name, dir string, env []string) (string, error) {
	if filepath.IsAbs(name) {
		return name, executable(name)
	}
	if strings.Contains(name, "/") {
		path := filepath.Join(dir, name)
		return path, executable(path)
	}
	list, _ := getEnv(env, "PATH")
	for _, folder := range filepath.SplitList(list) {
		if !filepath.IsAbs(folder) {
			continue // it would mean another place by and by
		}
		if path := filepath.Join(folder, name); executable(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s on PATH (%s); install it, or give its path", name, list)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is not an executable file", path)
	}
	return nil
}

// environment is what every program gets of the plugin's own.
func environment() []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	if own, err := user.Current(); err == nil {
		env = append(env, "HOME="+own.HomeDir, "USER="+own.Username)
	}
	for _, name := range []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = setEnv(env, name, value)
		}
	}
	return env
}

func setEnv(env []string, name, value string) []string {
	env = slices.DeleteFunc(env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
	return append(env, name+"="+value)
}

func getEnv(env []string, name string) (string, bool) {
	for _, pair := range env {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value, true
		}
	}
	return "", false
}

var placeholder = regexp.MustCompile(`\$(?:\{(PORT|HOST|SOCKET_PATH)\}|(PORT|HOST|SOCKET_PATH)\b)`)

// expand puts into an argument what the environment says of where to listen.
func expand(arg string, env []string) string {
	return placeholder.ReplaceAllStringFunc(arg, func(found string) string {
		value, _ := getEnv(env, strings.Trim(found, "${}"))
		return value
	})
}
