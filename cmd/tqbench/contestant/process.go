package contestant

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/cmd/tqbench/usage"
)

const (
	// startWait bounds a start; 1,000 workers need some of it.
	startWait = 60 * time.Second
	// stopWait is what a contestant gets to stop in order.
	stopWait = 10 * time.Second
	// pollPause is the pause between two looks.
	pollPause = 2 * time.Millisecond
)

// process is a program of a contestant.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has been waited for
}

// launch starts a program whose output goes to a file in dir. It gets a
// signal when tqbench dies.
func launch(dir, name, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".out"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer func() { _ = out.Close() }()
	p.cmd = exec.Command(path, args...) //nolint:noctx // stop ends it in order
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	// What the XDG variables say is where Caddy keeps things.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(), "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	p.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { // ends with the process, which stop ends
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// err says that the program ended, and what it said.
func (p *process) err() error {
	select {
	case <-p.done:
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s ended: %v: %.3000s", p.name, p.cmd.ProcessState, text[max(0, len(text)-3000):])
	default:
		return nil
	}
}

// stop ends the program and all it started.
func (p *process) stop() {
	family, _ := usage.NewFamily(p.cmd.Process.Pid).Members()
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWait):
	}
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	<-p.done
	for _, was := range family[min(1, len(family)):] {
		now, err := usage.Read(was.PID)
		if err == nil && now.Started == was.Started {
			_ = unix.Kill(was.PID, unix.SIGKILL)
		}
	}
}

// await polls until ok, an error or the bound of a start.
func await(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	ticker := time.NewTicker(pollPause)
	defer ticker.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// listens waits until p accepts connections at a unix socket.
func (p *process) listens(ctx context.Context, socket string) error {
	var dialer net.Dialer
	return await(ctx, p.name, func() (bool, error) {
		c, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil, p.err()
	})
}

// freePort is a port of 127.0.0.1 that nobody uses now.
func freePort(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", errors.New("finding a free port: not a TCP address")
	}
	return strconv.Itoa(address.Port), l.Close()
}
