package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary is its own children.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "exit":
			code, _ := strconv.Atoi(os.Args[2])
			syscall.Exit(code)
		case "wait": // says that it runs, ends on SIGTERM
			fmt.Fprintln(os.Stdout, "up")
			forever()
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			fmt.Fprintln(os.Stdout, "up")
			forever()
		case "parent": // a child in its own group, holding stdout, in ours
			child := exec.Command(os.Args[0], "stubborn")
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			if child.Start() != nil {
				syscall.Exit(9)
			}
			forever()
		case "shortparent":
			child := exec.Command(os.Args[0], "stubborn")
			child.Stdout = os.Stdout
			_ = child.Start()
			syscall.Exit(0)
		case "dying": // starts one child that dies with it, and one that does not
			for _, die := range []bool{true, false} {
				p, err := Start(Spec{Path: os.Args[0], Args: []string{"wait"}, DieWithParent: die})
				if err != nil {
					syscall.Exit(9)
				}
				fmt.Fprintln(os.Stdout, p.PID())
			}
			forever()
		case "print":
			fmt.Fprint(os.Stdout, strings.Join(os.Environ(), "\n"))
			wd, _ := os.Getwd()
			fmt.Fprintf(os.Stdout, "\nwd %s pgrp %v args %q\n", wd, syscall.Getpgrp() == os.Getpid(), os.Args[2:])
			names, _ := os.ReadDir("/proc/self/fd")
			for _, n := range names {
				target, _ := os.Readlink("/proc/self/fd/" + n.Name())
				fmt.Fprintf(os.Stdout, "fd %s %s\n", n.Name(), target)
			}
			syscall.Exit(0)
		case "flood":
			n, _ := strconv.Atoi(os.Args[2])
			_, _ = os.Stdout.Write(bytes.Repeat([]byte{'x'}, n))
			syscall.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

// forever is not select{}, which the runtime takes for a deadlock.
func forever() {
	for {
		_ = unix.Pause()
	}
}

const patience = 15 * time.Second

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(pause)
	}
}

// started starts the test binary with these arguments; it is gone when the
// test ends.
func started(t *testing.T, s Spec, args ...string) *Process {
	t.Helper()
	s.Path, s.Args = os.Args[0], args
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Group().Signal(syscall.SIGKILL)
		<-p.Done()
	})
	return p
}

// collected gathers lines.
func collected(t *testing.T) (*os.File, *Lines, func() []Line) {
	t.Helper()
	got := make(chan Line, 1<<16)
	w, lines, err := LinePipe(func(l Line) { got <- l })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lines.Close)
	var all []Line
	return w, lines, func() []Line {
		for {
			select {
			case l := <-got:
				all = append(all, l)
			default:
				return all
			}
		}
	}
}
