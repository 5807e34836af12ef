package pluginhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

const (
	// guardWrite bounds one write to the guardian's pipe, which holds thousands
	// of registrations.
	guardWrite = time.Second
	// guardEnd bounds the guardian's own end.
	guardEnd = 2 * time.Second
	// guardPause is the first pause before a guardian that died is replaced.
	guardPause     = 50 * time.Millisecond
	guardPauseMost = 10 * time.Second
)

// guard keeps a guardian process running and tells it what there is.
type guard struct {
	executable, folder string
	log                *slog.Logger
	done               chan struct{} // closed when the watch has ended

	mu     sync.Mutex
	groups map[process.Group]struct{}
	cells  map[string]struct{}
	proc   *process.Process
	pipe   *os.File // nil while there is none
	closed chan struct{}
}

func newGuard(executable, folder string, log *slog.Logger) (*guard, error) {
	g := &guard{
		executable: executable, folder: folder, log: log,
		done: make(chan struct{}), closed: make(chan struct{}), groups: make(map[process.Group]struct{}), cells: make(map[string]struct{}),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.start(); err != nil {
		return nil, err
	}
	go g.watch()
	return g, nil
}

// start starts a guardian and registers everything with it. Callers hold mu.
func (g *guard) start() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	g.proc, err = process.Start(process.Spec{Path: g.executable, Args: []string{GuardianArg}, Stdin: r, NewSession: true})
	if err != nil {
		_ = w.Close()
		return err
	}
	g.pipe = w
	g.send("folder " + g.folder)
	for group := range g.groups {
		g.send(registered("add", group))
	}
	for cell := range g.cells {
		g.send("enter " + cell)
	}
	return nil
}

func registered(verb string, g process.Group) string {
	return fmt.Sprintf("%s %d %d", verb, g.ID, g.Start)
}

// send writes a line; a guardian that does not read is ended, and the watch
// starts another. Callers hold mu.
func (g *guard) send(line string) {
	if g.pipe == nil {
		return // the next one is told everything
	}
	_ = g.pipe.SetWriteDeadline(time.Now().Add(guardWrite))
	if _, err := g.pipe.WriteString(line + "\n"); err != nil {
		_ = g.proc.Signal(syscall.SIGKILL)
	}
}

func (g *guard) add(group process.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups[group] = struct{}{}
	g.send(registered("add", group))
}

func (g *guard) remove(group process.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.groups, group)
	g.send(registered("remove", group))
}

func (g *guard) addCell(cell string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cells[cell] = struct{}{}
	g.send("enter " + cell)
}

func (g *guard) removeCell(cell string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.cells, cell)
	g.send("leave " + cell)
}

// watch replaces a guardian that died.
func (g *guard) watch() {
	defer close(g.done)
	pause := guardPause
	for {
		g.mu.Lock()
		proc := g.proc
		g.mu.Unlock()
		started := time.Now()
		select {
		case <-proc.Done():
		case <-g.closed:
			return
		}
		if time.Since(started) > guardPauseMost {
			pause = guardPause
		}
		g.log.Warn("the guardian ended; starting another", "pid", proc.PID(), "error", proc.Err(), "in", pause)
		g.mu.Lock()
		_ = g.pipe.Close()
		g.pipe = nil
		g.mu.Unlock()
		for again := true; again; {
			select {
			case <-time.After(pause):
			case <-g.closed:
				return
			}
			pause = min(2*pause, guardPauseMost)
			g.mu.Lock()
			err := g.start()
			g.mu.Unlock()
			if again = err != nil; again {
				g.log.Error("starting the guardian", "error", err, "again_in", pause)
			}
		}
	}
}

// close ends the guardian: at the end of its pipe it finds nothing to do. Once.
func (g *guard) close() {
	g.mu.Lock()
	select {
	case <-g.closed:
		g.mu.Unlock()
		return
	default:
		close(g.closed)
	}
	g.mu.Unlock()
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe == nil {
		return
	}
	_ = g.pipe.Close()
	g.pipe = nil
	ctx, cancel := context.WithTimeout(context.Background(), guardEnd)
	defer cancel()
	select {
	case <-g.proc.Done():
	case <-ctx.Done():
		_ = g.proc.Group().Kill(ctx)
		_ = g.proc.Signal(syscall.SIGKILL)
		<-g.proc.Done()
	}
}
