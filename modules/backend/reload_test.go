package backend

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// pickyPlugins refuse settings that hold a word; nothing runs.
type pickyPlugins struct{ refuse, down string }

func (p *pickyPlugins) Check(_ context.Context, spec api.PluginSpec) ([]sdk.Problem, error) {
	if strings.Contains(string(spec.Settings), p.refuse) {
		return []sdk.Problem{{Path: "env.MARK", Message: "is refused"}}, nil
	}
	return nil, nil
}

func (p *pickyPlugins) Start(ctx context.Context, spec api.PluginSpec, _ api.PluginEvents) (api.Plugin, error) {
	if problems, _ := p.Check(ctx, spec); problems != nil {
		return nil, &api.SettingsError{Problems: problems}
	}
	if strings.Contains(string(spec.Settings), p.down) {
		return nil, errors.New("it does not start")
	}
	return &idlePlugin{}, nil
}

type idlePlugin struct{ api.Plugin }

func (*idlePlugin) Stop(context.Context) error { return nil }

// A reloads is the workers' folder, and what generations keep.
type reloads struct {
	folder string
	deps   Deps
}

func (r *reloads) worker(t *testing.T, name, path, mark string) {
	t.Helper()
	file := filepath.Join(r.folder, name, "config", "worker.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "path: " + path + "\ntype: php\ndocument_root: .\nphp:\n  env: {MARK: " + mark + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newReloads(t *testing.T) *reloads {
	t.Helper()
	return &reloads{t.TempDir(), Deps{
		Plugins: &pickyPlugins{refuse: "bad", down: "dead"}, Runtime: api.Runtime{Executable: "/bin/tqserver"}, Kept: &api.Kept{}, Log: slog.New(slog.DiscardHandler),
	}}
}

// next builds the next generation as core/app does, and starts it.
func (r *reloads) next(t *testing.T) (b *Backend, err error) {
	t.Helper()
	r.deps.Refused = &api.Refused{}
	var attempts []*Backend
	defer func() {
		for _, attempt := range attempts {
			err = errors.Join(err, attempt.Stop(t.Context()))
		}
	}()
	for range 3 {
		b = New(Config{Workers: r.folder}, r.deps)
		if err = errors.Join(b.Check(t.Context(), false), b.Start(t.Context())); err == nil {
			r.deps.Reloading = true
			return b, nil
		}
		attempts = append(attempts, b)
		if _, ok := errors.AsType[*api.Refusal](err); !ok {
			break
		}
	}
	return b, err
}

// paths are the workers' routes, and which of them are outdated.
func paths(b *Backend) string {
	var list []string
	for _, h := range b.workers {
		s := h.name + " " + h.api.Path
		if h.outdated != "" {
			s += " outdated"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func TestReloadKeepsWorkersThatAreRefused(t *testing.T) {
	r := newReloads(t)
	r.worker(t, "a", "/a", "one")
	r.worker(t, "b", "/b", "one")
	first, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	r.worker(t, "a", "/a2", "bad")
	r.worker(t, "b", "/b2", "two")
	r.worker(t, "c", "/c", "dead")
	second, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(second); got != "a /a outdated, b /b2" {
		t.Error(got)
	}
	if second.workers[0].site != first.workers[0].site {
		t.Error("the refused worker's processes were not carried over")
	}
	report := second.Report()
	if report == nil || !strings.Contains(report.Error(), "worker.yaml:5:9: php.env.MARK: is refused") || !strings.Contains(report.Error(), "does not start") {
		t.Error(report)
	}
	status, err := second.Status(t.Context(), "a", false)
	if err != nil || !strings.Contains(status.Outdated, "is refused") {
		t.Error(status.Outdated, err)
	}
	if err := errors.Join(first.Stop(t.Context()), second.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if n := len(second.sites.used); n > 0 {
		t.Errorf("%d sites are left", n)
	}
}

// A generation that was given up does not say what serves; neither does one that
// finishes its requests.
func TestReloadThatFailedIsNotWhatServes(t *testing.T) {
	r := newReloads(t)
	r.worker(t, "a", "/a", "one")
	r.worker(t, "gone", "/gone", "one")
	first, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	r.worker(t, "a", "/failed", "one") // the same processes, another route
	failed, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := failed.Stop(t.Context()); err != nil { // as when a front does not start
		t.Fatal(err)
	}
	r.worker(t, "a", "nonsense", "one")
	if err := os.RemoveAll(filepath.Join(r.folder, "gone")); err != nil {
		t.Fatal(err)
	}
	third, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(third); got != "a /a outdated" {
		t.Error(got)
	}
	r.worker(t, "gone", "nonsense", "one") // the first generation still has it
	fourth, err := r.next(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(fourth); got != "a /a outdated" {
		t.Error(got)
	}
	for _, b := range []*Backend{first, third, fourth} {
		if err := b.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A start that ran out of time says nothing about single workers.
func TestFirstStartAndLateReloadRefuseAll(t *testing.T) {
	r := newReloads(t)
	r.worker(t, "a", "/a", "bad")
	b := New(Config{Workers: r.folder}, r.deps)
	if _, ok := errors.AsType[*api.Refusal](b.Start(t.Context())); ok {
		t.Error("a first start was refused in part")
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.deps.Reloading = true
	over, cancel := context.WithCancel(t.Context())
	cancel()
	late := New(Config{Workers: r.folder}, r.deps)
	err := late.Start(over)
	if _, ok := errors.AsType[*api.Refusal](err); ok || err == nil {
		t.Errorf("a start out of time was refused in part: %v", err)
	}
	if err := late.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
