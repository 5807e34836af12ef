package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStart(t *testing.T) {
	leaky, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leaky)
	t.Setenv("TQ_SECRET", "x")
	given, err := os.Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	w, lines, got := collected(t)
	p := started(t, Spec{Env: []string{"A=1"}, Stdout: w, Files: []*os.File{given}}, "print", "x y")
	_ = w.Close()
	<-p.Done()
	if p.Err() != nil || !p.State().Success() {
		t.Fatal(p.Err())
	}
	lines.Close()
	var text strings.Builder
	for _, l := range got() {
		text.WriteString(l.Text + "\n")
	}
	for _, want := range []string{"A=1\n", "wd / pgrp true args [\"x y\"]\n", "fd 0 /dev/null\n", "fd 2 /dev/null\n", "fd 3 /dev/full\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %s", want, text.String())
		}
	}
	for _, not := range []string{"TQ_SECRET", "/dev/zero"} {
		if strings.Contains(text.String(), not) {
			t.Errorf("%q was inherited: %s", not, text.String())
		}
	}
}

func TestStartFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Spec{
		"missing":        {Path: "/nonexistent"},
		"not executable": {Path: file},
		"no folder":      {Path: os.Args[0], Dir: "/nonexistent"},
		"empty":          {},
	} {
		for _, die := range []bool{false, true} {
			s.DieWithParent = die
			if p, err := Start(s); err == nil || !strings.Contains(err.Error(), "starting "+s.Path) {
				t.Errorf("%s: %v, %v", name, p, err)
			}
		}
	}
}

func TestExitCode(t *testing.T) {
	p := started(t, Spec{}, "exit", "3")
	<-p.Done()
	if p.Err() == nil || p.Err().Error() != "exit status 3" || !p.Ended() {
		t.Error(p.Err())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to one that has ended: %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Stop of one that has ended: %v", err)
	}
}

// up waits until the child has said so, and its handlers are in place.
func up(t *testing.T, got func() []Line, n int) {
	t.Helper()
	eventually(t, "the child is up", func() bool { return len(got()) >= n })
}

func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		args   string
		killed bool
	}{"in order": {"wait", false}, "stubborn": {"stubborn", true}, "stubborn grandchild": {"parent", false}} {
		t.Run(name, func(t *testing.T) {
			w, _, got := collected(t)
			p := started(t, Spec{Stdout: w}, c.args)
			_ = w.Close()
			up(t, got, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := p.Stop(ctx); errors.Is(err, ErrKilled) != c.killed {
				t.Errorf("Stop: %v", err)
			}
			if p.Group().Alive() {
				t.Errorf("left: %v", p.Group().Members())
			}
			if err := p.Stop(ctx); err != nil {
				t.Errorf("second Stop: %v", err)
			}
		})
	}
}

// G1: the end is noticed although a grandchild holds the pipes.
func TestEndIsNoticedWithoutThePipes(t *testing.T) {
	w, lines, got := collected(t)
	p := started(t, Spec{Stdout: w}, "shortparent")
	_ = w.Close()
	<-p.Done()
	up(t, got, 1)
	if !p.Group().Alive() {
		t.Error("the grandchild is gone")
	}
	began := time.Now()
	lines.Close()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Group().End(ctx); !errors.Is(err, ErrKilled) {
		t.Errorf("End: %v", err)
	}
	if p.Group().Alive() {
		t.Error("the grandchild is alive")
	}
}

func TestDieWithParent(t *testing.T) {
	w, _, got := collected(t)
	p := started(t, Spec{Stdout: w}, "dying")
	_ = w.Close()
	up(t, got, 2)
	var pids [2]int
	for i, l := range got() {
		pid, err := strconv.Atoi(l.Text)
		if err != nil {
			t.Fatal(err)
		}
		pids[i] = pid
	}
	dies, lives := FindGroup(pids[0]), FindGroup(pids[1])
	if !dies.Alive() || !lives.Alive() || !dies.Descends(p.PID()) || dies.Descends(pids[1]) {
		t.Fatal("the children are not there")
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	eventually(t, "death with the parent", func() bool { return !dies.Alive() })
	if !lives.Alive() {
		t.Error("the other one died, too")
	}
	if err := lives.Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStrangersAreSpared(t *testing.T) {
	p := started(t, Spec{}, "wait")
	reused := p.Group()
	reused.Start++
	leaderless := Group{ID: p.PID()}
	for _, g := range []Group{reused, leaderless} {
		if g.Alive() || g.Members() != nil {
			t.Errorf("%v is taken for alive", g)
		}
		if err := g.Kill(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if p.Ended() {
		t.Fatal("a stranger was killed")
	}
	for _, id := range []int{-1, 0, 1} {
		if err := (Group{ID: id}).Signal(syscall.SIGKILL); err == nil {
			t.Errorf("group %d may be killed", id)
		}
		if (Group{ID: id}).Alive() {
			t.Errorf("group %d is alive", id)
		}
	}
	if err := KillGroup(p.PID()); err != nil {
		t.Error(err)
	}
	<-p.Done()
	if err := KillGroup(p.PID()); err != nil {
		t.Errorf("a group that is gone: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	const good = "12 (a) b) c)) S 7 9 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n"
	s, err := parseStat([]byte(good))
	if err != nil || s != (Stat{State: 'S', Parent: 7, Group: 9, Start: 4711}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "12", "12 (a", "12 (a) S 1 2", strings.Replace(good, "4711", "x", 1), strings.Replace(good, " 9 9", " y 9", 1), strings.Replace(good, " S ", " SS ", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken for good", bad)
		}
	}
}
