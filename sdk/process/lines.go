package process

import (
	"bytes"
	"os"
	"sync"
	"time"
)

const (
	// MaxLine is the longest piece of a line handed on, in bytes.
	MaxLine = 64 << 10
	// linesQueued and bytesQueued bound what waits for emit; more is dropped.
	linesQueued = 1024
	bytesQueued = 1 << 20
	// pipeGrace is how long a pipe is read on after the child's end: what the
	// child wrote is in it at once, what a grandchild writes is not waited for.
	pipeGrace = 250 * time.Millisecond
	// emitGrace is how long Close waits for emit to take what is queued.
	emitGrace = time.Second
)

// Line is one line of output, without its end.
type Line struct {
	Text string
	// Part says that the line was longer than MaxLine and goes on in the next one.
	Part bool
	// Dropped is how many lines were lost before this one because they came
	// faster than they were taken; the Text may be empty then.
	Dropped int
}

// LineWriter cuts what is written into lines and hands them to a function on
// a goroutine of its own. Write never blocks and never fails.
type LineWriter struct {
	emit func(Line)
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	partial []byte
	queue   []Line
	size    int // bytes in queue
	dropped int
	closed  bool
}

// NewLineWriter returns a writer that calls emit for each line, one at a time.
func NewLineWriter(emit func(Line)) *LineWriter {
	w := &LineWriter{emit: emit, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes all of p. It may be called from several goroutines.
func (w *LineWriter) Write(p []byte) (int, error) {
	n := len(p)
	w.mu.Lock()
	for len(p) > 0 && !w.closed {
		end := bytes.IndexByte(p, '\n')
		take, rest := p, []byte(nil)
		if end >= 0 {
			take, rest = p[:end], p[end+1:]
		}
		if room := MaxLine - len(w.partial); len(take) > room {
			w.partial = append(w.partial, take[:room]...)
			w.push(true)
			p = p[room:]
			continue
		}
		w.partial = append(w.partial, take...)
		if end >= 0 {
			w.push(false)
		}
		p = rest
	}
	w.mu.Unlock()
	w.signal()
	return n, nil
}

// push queues the line collected so far. Callers hold mu.
func (w *LineWriter) push(part bool) {
	text := bytes.TrimSuffix(w.partial, []byte{'\r'})
	w.partial = w.partial[:0]
	if len(w.queue) >= linesQueued || w.size+len(text) > bytesQueued {
		w.dropped++
		return
	}
	w.queue = append(w.queue, Line{Text: string(text), Part: part, Dropped: w.dropped})
	w.size += len(text)
	w.dropped = 0
}

func (w *LineWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *LineWriter) run() {
	defer close(w.done)
	for range w.wake {
		w.mu.Lock()
		lines, closed := w.queue, w.closed
		if w.dropped > 0 {
			lines = append(lines, Line{Dropped: w.dropped})
		}
		w.queue, w.size, w.dropped = nil, 0, 0
		w.mu.Unlock()
		for _, line := range lines {
			w.emit(line)
		}
		if closed {
			return
		}
	}
}

// Close hands on the last line, finished or not. It waits a second for emit at most.
func (w *LineWriter) Close() error {
	w.mu.Lock()
	if !w.closed {
		if len(w.partial) > 0 {
			w.push(false)
		}
		w.closed = true
	}
	w.mu.Unlock()
	w.signal()
	timer := time.NewTimer(emitGrace)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
	return nil
}

// Lines reads a child's output from a pipe and never lets the child wait.
type Lines struct {
	r    *os.File
	w    *LineWriter
	done chan struct{}
}

// LinePipe returns the writing end of a pipe, which goes to a child as Stdout
// or Stderr and is then closed by the caller, and what reads it: emit is
// called for each line, one at a time.
func LinePipe(emit func(Line)) (*os.File, *Lines, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	l := &Lines{r: r, w: NewLineWriter(emit), done: make(chan struct{})}
	go l.read()
	return w, l, nil
}

func (l *Lines) read() {
	defer close(l.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := l.r.Read(buf)
		_, _ = l.w.Write(buf[:n])
		if err != nil {
			return // end of file, or the deadline that Close has set
		}
	}
}

// Close is called after the child's end: it reads what is left, for 250 ms at
// most if somebody else holds the pipe too, and closes it.
func (l *Lines) Close() {
	_ = l.r.SetReadDeadline(time.Now().Add(pipeGrace))
	<-l.done
	_ = l.r.Close()
	_ = l.w.Close()
}
