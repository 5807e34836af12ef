package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/pluginhost"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/process"
)

// within bounds everything a plugin is asked for.
const within = 20 * time.Second

// Options says how to run the plugin.
type Options struct {
	// Command is the executable (absolute) and its arguments. A test names its
	// own binary, whose TestMain calls sdk.ServePlugin when the arguments say so.
	Command []string
	// Folder and DocumentRoot of the worker; Folder is "/" when empty.
	Folder, DocumentRoot string
	// Settings that are right; nil when the plugin has none.
	Settings json.RawMessage
	// BadSettings that Check must refuse; nil leaves that out.
	BadSettings json.RawMessage
	// Params of a request that the plugin answers; nil is GET /.
	Params fastcgi.Params
}

// Run fails the test for each part of the contract the plugin does not keep.
func Run(t *testing.T, o Options) {
	t.Helper()
	for _, err := range Check(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil))) {
		t.Error(err)
	}
}

// Check returns what of the contract the plugin does not keep.
func Check(ctx context.Context, o Options, log *slog.Logger) []error {
	// Not a test's own temporary folder: its path may be too long for sockets.
	folder, err := os.MkdirTemp("", "tqs")
	if err != nil {
		return []error{err}
	}
	defer func() { _ = os.RemoveAll(folder) }()
	host, err := pluginhost.New(pluginhost.Options{RuntimeFolder: folder, Log: log})
	if err != nil {
		return []error{err}
	}
	s := suite{Options: o, host: host}
	for _, c := range []struct {
		name  string
		check func(context.Context) error
	}{
		{"check", s.checks},
		{"serve", s.serves},
		{"signals", s.ignoresSignals},
		{"killed", s.comesBack},
		{"stop", s.stops},
	} {
		ctx, cancel := context.WithTimeout(ctx, within)
		if err := c.check(ctx); err != nil {
			s.found = append(s.found, fmt.Errorf("%s: %w", c.name, err))
		}
		cancel()
	}
	if err := host.Close(); err != nil { //nolint:contextcheck // nothing may cut the last reaper short
		s.found = append(s.found, err)
	}
	return s.found
}

type suite struct {
	Options
	host  *pluginhost.Host
	found []error
}

func (s *suite) spec(settings json.RawMessage) api.PluginSpec {
	folder := s.Folder
	if folder == "" {
		folder = "/"
	}
	return api.PluginSpec{
		Type: "tested", Command: s.Command, Worker: "tested", Folder: folder, DocumentRoot: s.DocumentRoot,
		MaxWorkers: 2, Settings: settings,
	}
}

// checks: Check refuses what is wrong, takes what is right, starts nothing.
func (s *suite) checks(ctx context.Context) error {
	problems, err := s.host.Check(ctx, s.spec(s.Settings))
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("good settings are refused: %v", problems)
	}
	if s.BadSettings == nil {
		return nil
	}
	if problems, err = s.host.Check(ctx, s.spec(s.BadSettings)); err != nil {
		return err
	}
	if len(problems) == 0 {
		return errors.New("bad settings are not refused")
	}
	for _, p := range problems {
		if p.Message == "" || strings.HasSuffix(p.Message, ".") {
			return fmt.Errorf("problem of %q: the message %q is empty or ends with a period", p.Path, p.Message)
		}
	}
	return nil
}

// running is a started plugin.
type running struct {
	api.Plugin
	sets chan api.EndpointSet
	// last set and the process groups named so far.
	last   api.EndpointSet
	groups []process.Group
}

func (s *suite) start(ctx context.Context) (*running, error) {
	r := &running{sets: make(chan api.EndpointSet, 16)}
	var err error
	r.Plugin, err = s.host.Start(ctx, s.spec(s.Settings), api.PluginEvents{
		Ready: func(set api.EndpointSet) { r.sets <- set },
	})
	if err != nil {
		return nil, err
	}
	return r, r.next(ctx)
}

// next waits for the next set, and releases the last one as a pool would.
func (r *running) next(ctx context.Context) error {
	select {
	case set := <-r.sets:
		if r.last.Release != nil {
			r.last.Release()
		}
		r.last = set
		for _, e := range set.Endpoints {
			for _, id := range e.ProcessGroups {
				r.groups = append(r.groups, process.FindGroup(id))
			}
		}
		return nil
	case <-ctx.Done():
		return errors.New("no endpoints are lent in time")
	}
}

// end stops the plugin and looks for what it left.
func (r *running) end(ctx context.Context) error {
	if err := r.Stop(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	for _, g := range r.groups {
		if members := g.Members(); len(members) > 0 {
			return fmt.Errorf("processes are left: %v", members)
		}
	}
	for _, e := range r.last.Endpoints {
		if _, err := os.Stat(e.Address); e.Network == "unix" && err == nil {
			return fmt.Errorf("a socket is left: %s", e.Address)
		}
	}
	return nil
}

func (s *suite) serves(ctx context.Context) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range r.last.Endpoints {
		if dir := filepath.Dir(e.Address); e.Network == "unix" && !strings.HasPrefix(dir, s.host.Folder()) {
			errs = append(errs, fmt.Errorf("endpoint %s is outside of the runtime folder", e.Address))
		}
		for range 3 {
			errs = append(errs, s.request(ctx, e))
		}
	}
	return errors.Join(append(errs, r.end(ctx))...)
}

// ignoresSignals: a service manager sends SIGTERM to all processes while the
// server drains.
func (s *suite) ignoresSignals(ctx context.Context) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	pid := s.pluginProcess()
	err = errors.Join(syscall.Kill(pid, syscall.SIGTERM), syscall.Kill(pid, syscall.SIGINT))
	err = errors.Join(err, s.request(ctx, r.last.Endpoints[0]))
	if now := s.pluginProcess(); now != pid {
		err = errors.Join(err, errors.New("SIGTERM ended the plugin while its host was there"))
	}
	return errors.Join(err, r.end(ctx))
}

// comesBack: after SIGKILL another process serves, and what the first one left
// is gone at the end.
func (s *suite) comesBack(ctx context.Context) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	err = syscall.Kill(s.pluginProcess(), syscall.SIGKILL)
	if err == nil {
		err = r.next(ctx)
	}
	if err == nil {
		err = s.request(ctx, r.last.Endpoints[0])
	}
	return errors.Join(err, r.end(ctx))
}

// stops: Stop of a plugin that has nothing to do does not take its whole time.
func (s *suite) stops(ctx context.Context) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	err = r.end(ctx)
	if took := time.Since(began); took > within/2 {
		err = errors.Join(err, fmt.Errorf("stopping an idle plugin took %v", took))
	}
	return err
}

// pluginProcess is the child of ours that runs the command; 0 when there is none.
func (s *suite) pluginProcess() int {
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for text := range strings.FieldsSeq(string(children)) {
			line, _ := os.ReadFile("/proc/" + text + "/cmdline")
			if string(line) == strings.Join(s.Command, "\x00")+"\x00" {
				pid, _ := strconv.Atoi(text)
				return pid
			}
		}
	}
	return 0
}
