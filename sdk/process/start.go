package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Spec says what to start. Its zero value is no program; everything but Path
// may stay zero.
type Spec struct {
	// Path of the executable; no search on PATH.
	Path string
	// Args without the program's name, which is Path.
	Args []string
	// Env is the whole environment; nil is an empty one.
	Env []string
	// Dir is the working directory; empty means "/".
	Dir string
	// Stdin, Stdout and Stderr become descriptors 0, 1 and 2; nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
	// Files become descriptors 3, 4, ... The caller keeps its copies, and closes them.
	Files []*os.File
	// Credential is the user the child runs as; nil means the same one.
	Credential *syscall.Credential
	// DieWithParent has the kernel kill the child (SIGKILL) when this process
	// dies. It costs an operating-system thread for as long as the child lives,
	// because the signal is bound to the thread that started it (golang/go#27505).
	DieWithParent bool
	// NewSession makes the child the leader of a session too (setsid).
	NewSession bool
	// Cgroup is the folder of a control group (cgroup v2) that the child is
	// born into, and so all that it starts; nil is this process's own.
	Cgroup *os.File
}

// Process is a started child.
type Process struct {
	cmd   *exec.Cmd
	name  string
	group Group
	done  chan struct{}
	err   error // once done is closed
}

// Start starts the child as leader of a new process group. The error names
// the path. Every descriptor this process has open, 0 to 2 aside, is marked
// close-on-exec by it.
func Start(s Spec) (*Process, error) {
	p := &Process{name: s.Path, done: make(chan struct{})}
	if s.DieWithParent {
		started := make(chan error, 1)
		go func() {
			// Never unlocked before the child has ended: the death signal is
			// sent when this thread ends.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			err := p.start(s)
			started <- err
			if err == nil {
				p.wait()
			}
		}()
		if err := <-started; err != nil {
			return nil, err
		}
		return p, nil
	}
	if err := p.start(s); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

func (p *Process) start(s Spec) error {
	closeOnExec()
	// Only *os.File, so that os/exec starts no copying goroutine and Wait waits
	// for the process alone.
	//nolint:noctx // the child outlives any one context; Stop ends it
	p.cmd = exec.Command(s.Path)
	p.cmd.Args = append([]string{s.Path}, s.Args...)
	p.cmd.Env = append([]string{}, s.Env...) // not nil: nil would inherit
	p.cmd.Dir = s.Dir
	if s.Dir == "" {
		p.cmd.Dir = "/"
	}
	if s.Stdin != nil {
		p.cmd.Stdin = s.Stdin
	}
	if s.Stdout != nil {
		p.cmd.Stdout = s.Stdout
	}
	if s.Stderr != nil {
		p.cmd.Stderr = s.Stderr
	}
	p.cmd.ExtraFiles = s.Files
	attr := &syscall.SysProcAttr{Credential: s.Credential, Setpgid: !s.NewSession, Setsid: s.NewSession}
	if s.DieWithParent {
		attr.Pdeathsig = syscall.SIGKILL
	}
	if s.Cgroup != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(s.Cgroup.Fd())
	}
	p.cmd.SysProcAttr = attr
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", s.Path, err)
	}
	p.group = FindGroup(p.cmd.Process.Pid) // nobody has waited for it yet, so it is there
	return nil
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID of the child, which is the number of its process group as well.
func (p *Process) PID() int { return p.group.ID }

// Group of the child.
func (p *Process) Group() Group { return p.group }

// Done is closed when the child itself has ended and is waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended: nil for exit code 0. Only after Done.
func (p *Process) Err() error { return p.err }

// State of the ended child. Only after Done.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Ended reports whether Done is closed.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
