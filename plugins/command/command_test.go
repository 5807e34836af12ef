package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

func factsOf(t *testing.T, e sdk.Endpoint) facts {
	t.Helper()
	var f facts
	if err := json.Unmarshal([]byte(get(e, "/facts")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestProgramIsToldWhereToListen(t *testing.T) {
	t.Setenv("HOST_SECRET", "x")
	files := uint64(99)
	w := newWorker(t, "serve", map[string]any{"processes": 2, "folder": "app"})
	w.Limits = process.Limits{Files: &files}
	app := filepath.Join(w.Folder, "app")
	if err := os.Mkdir(app, 0o700); err != nil {
		t.Fatal(err)
	}
	h := run(t, w)
	s, _ := h.ready(0, 2)
	for _, e := range s.Endpoints {
		f := factsOf(t, e)
		if e.Protocol != sdk.HTTP || e.Network != "tcp" || e.MaxConcurrent != 5 || !slices.Equal(e.ProcessGroups, []int{f.PID}) {
			t.Errorf("%+v", e)
		}
		port, _ := getEnv(f.Env, "PORT")
		if f.Dir != app || !slices.Equal(f.Args, []string{"on", "127.0.0.1:" + port}) || e.Address != "127.0.0.1:"+port || f.Files != files {
			t.Errorf("%+v", f)
		}
		if color, _ := getEnv(f.Env, "COLOR"); color != "red" {
			t.Errorf("COLOR is %q", color)
		}
		if _, leaked := getEnv(f.Env, "HOST_SECRET"); leaked {
			t.Error("the environment of the plugin is passed on")
		}
		if home, _ := getEnv(f.Env, "HOME"); home == "" {
			t.Error("no HOME")
		}
	}
	h.stop(time.Minute)
	if !strings.Contains(h.log.String(), `"msg":"goodbye","worker":"test","stream":"stdout"`) {
		t.Errorf("no goodbye in %s", h.log)
	}
}

func TestSocketAndOtherLoopback(t *testing.T) {
	t.Parallel()
	h := run(t, newWorker(t, "serve", map[string]any{"listen": "socket", "exec": []string{os.Args[0], "unix:$SOCKET_PATH"}}))
	s, _ := h.ready(0, 1)
	if f := factsOf(t, s.Endpoints[0]); s.Endpoints[0].Network != "unix" || !slices.Equal(f.Args, []string{"unix:" + s.Endpoints[0].Address}) {
		t.Errorf("%+v, %+v", s.Endpoints, f)
	}
	h = run(t, newWorker(t, "localhost", nil))
	s, _ = h.ready(0, 1)
	if !strings.HasPrefix(s.Endpoints[0].Address, "[::1]:") {
		t.Errorf("%+v", s.Endpoints)
	}
}

// One of two dies: the other serves on, a third takes its place.
func TestProcessThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	h := run(t, newWorker(t, "serve", map[string]any{"processes": 2}))
	first, n := h.ready(0, 2)
	get(first.Endpoints[0], "/exit")
	one, n := h.ready(n, 1)
	if one.Endpoints[0].ID != first.Endpoints[1].ID {
		t.Errorf("%+v serves on", one.Endpoints)
	}
	ill, n := h.degraded(n, "cannot go on")
	if !strings.Contains(ill.Reason, "exit status 6") {
		t.Error(ill.Reason)
	}
	two, _ := h.ready(n, 2)
	if slices.ContainsFunc(two.Endpoints, func(e sdk.Endpoint) bool { return e.ID == first.Endpoints[0].ID }) {
		t.Errorf("%+v", two.Endpoints)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	h := run(t, newWorker(t, "serve", nil))
	n := 0
	for range loopAfter {
		var s sdk.State
		s, n = h.ready(n, 1)
		get(s.Endpoints[0], "/exit")
		_, n = h.degraded(n, "cannot go on")
	}
	_, n = h.ready(n, 1)
	h.degraded(n, "it failed 3 times in a row") // though it serves just now
	if strings.Count(h.log.String(), "crash loop") != 1 {
		t.Errorf("not told once: %s", h.log)
	}
}

// A process that answers with errors, or not at all, is replaced by another
// before it is ended.
func TestIllProcessIsReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, timeout string }{{"/sick", "20s"}, {"/freeze", "100ms"}} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			h := run(t, newWorker(t, "serve", map[string]any{
				"health": map[string]any{"interval": "50ms", "timeout": c.timeout, "failures": 2}, "stop_timeout": "100ms",
			}))
			first, n := h.ready(0, 1)
			go get(first.Endpoints[0], c.path)
			_, n = h.degraded(n, "is not well")
			second, _ := h.await(n, "another", func(s sdk.State) bool {
				return s.Kind == sdk.Ready && s.Endpoints[0].ID != first.Endpoints[0].ID
			})
			group := process.FindGroup(first.Endpoints[0].ProcessGroups[0])
			if !group.Alive() {
				t.Error("it was ended before it was released")
			}
			h.plugin.Release([]string{first.Endpoints[0].ID, "unknown"})
			h.gone(group)
			if get(second.Endpoints[0], "/") != strconv.Itoa(second.Endpoints[0].ProcessGroups[0]) {
				t.Error("the other does not serve")
			}
		})
	}
}

func (h *host) gone(g process.Group) {
	h.t.Helper()
	h.await(0, "the group is gone", func(sdk.State) bool { return !g.Alive() })
}

// What ignores SIGTERM is killed, with what it has started.
func TestStubbornProgramIsKilled(t *testing.T) {
	t.Parallel()
	h := run(t, newWorker(t, "stubborn", nil))
	s, _ := h.ready(0, 1)
	group := process.FindGroup(s.Endpoints[0].ProcessGroups[0])
	if n := len(group.Members()); n < 2 {
		t.Fatalf("%d processes", n)
	}
	h.stop(100 * time.Millisecond)
	if group.Alive() {
		t.Error("it lives")
	}
}

func TestProgramThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for mode, c := range map[string]struct {
		more map[string]any
		want []string
	}{
		"crash": {nil, []string{"exit status 3", "no database"}},
		"mute":  {map[string]any{"start_timeout": "2s"}, []string{"start_timeout (2s)", "connection refused"}},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := run(t, newWorker(t, mode, c.more))
			s, _ := h.await(0, "failed", func(s sdk.State) bool { return s.Kind == sdk.Failed })
			for _, want := range c.want {
				if !strings.Contains(s.Reason, want) {
					t.Errorf("no %q in %s", want, s.Reason)
				}
			}
			if err := <-h.ended; err == nil {
				t.Error("Run has no error")
			} else {
				h.ended <- err
			}
		})
	}
}

// A leader that is gone takes what it has started with it.
func TestKilledProcessLeavesNothing(t *testing.T) {
	t.Parallel()
	h := run(t, newWorker(t, "stubborn", map[string]any{"stop_timeout": "100ms"}))
	s, n := h.ready(0, 1)
	group := process.FindGroup(s.Endpoints[0].ProcessGroups[0])
	if err := syscall.Kill(group.ID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, n = h.degraded(n, "signal: killed")
	h.ready(n, 1)
	h.gone(group)
	h.stop(100 * time.Millisecond) // the next one is as stubborn
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for settings, want := range map[string]string{
		`{}`:                          "exec: give the program and its arguments: [node, server.js]",
		`{"exec": ["no-such-thing"]}`: "exec[0]: there is no no-such-thing on PATH",
		`{"exec": ["./x"]}`:           "exec[0]: stat " + folder + "/x: no such file",
		`{"exec": ["/etc/passwd"]}`:   "exec[0]: /etc/passwd is not an executable file",
		`{"exec": ["sh", "${PORT}"], "listen": "socket"}`: "exec[1]: there is no PORT where listen is socket",
		`{"exec": ["sh"], "listen": "udp"}`:               "listen: ",
		`{"exec": ["sh"], "env": {"PORT": "80"}}`:         "env.PORT: the server sets this itself: see listen",
		`{"exec": ["sh"], "env": {"A B": ""}}`:            `env["A B"]: not a name`,
		`{"exec": ["sh"], "folder": "gone"}`:              "folder: stat " + folder + "/gone: no such file",
		`{"exec": ["sh"], "processes": 0}`:                "processes: must be from 1 to 256",
		`{"exec": ["sh"], "health": {"path": "x"}}`:       "health.path: give a URL path",
		`{"exec": ["sh"], "health": {"interval": "0s"}}`:  "health.interval: ",
		`{"exec": ["sh"], "colour": 1}`:                   "colour: ",
	} {
		problems := New(nil).Check(t.Context(), sdk.Worker{Folder: folder, Settings: json.RawMessage(settings)})
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Path+": "+problems[0].Message, want) {
			t.Errorf("%s: %v, want %s", settings, problems, want)
		}
	}
	if d := New(nil).Describe(); d.Name != "command" || !json.Valid(d.SettingsSchema) {
		t.Errorf("%+v", d)
	}
}
