package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
)

// bufferSize bounds, in bytes, the lines that wait to be written. As much again
// may be in the hands of the writer.
const bufferSize = 4 << 20

// Async is a writer that takes whole lines without ever waiting for the one below:
// they go into a bounded buffer that a goroutine writes out. When it is full
// the newest lines are dropped and counted, and a line with their number follows
// once there is room.
type Async struct {
	w      io.Writer
	notice func(lost uint64) []byte
	limit  int
	wake   chan struct{} // holds one: something is in buffer, or closing
	done   chan struct{} // closed when run has ended

	mu      sync.Mutex
	buffer  []byte
	dropped uint64 // in all
	told    uint64 // of these, how many a notice has named
	closing bool
}

// NewAsync returns a writer to w that keeps limit bytes at most. When lines were lost,
// notice returns the line that says so in their place, or nothing if it says so
// elsewhere; it is called again, with the whole number, until a write succeeds. The
// caller closes the Async.
func NewAsync(w io.Writer, limit int, notice func(lost uint64) []byte) *Async {
	a := &Async{w: w, notice: notice, limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	return a
}

// Write takes one line, or several whole ones, and never blocks. A line that
// finds no room is dropped without an error; after Close the error is
// os.ErrClosed.
func (a *Async) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return 0, os.ErrClosed
	}
	if len(a.buffer)+len(line) > a.limit {
		a.dropped += lines(line)
		return len(line), nil
	}
	a.buffer = append(a.buffer, line...)
	a.signal()
	return len(line), nil
}

// Dropped returns how many lines were lost since the start.
func (a *Async) Dropped() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dropped
}

// Close takes no more lines, writes out those it has, and returns when that is
// done or ctx has ended; then a goroutine stays behind in the write that hangs.
// It may be called twice.
func (a *Async) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closing = true
	a.signal()
	a.mu.Unlock()
	select {
	case <-a.done:
		return nil
	default:
	}
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush log: %w", ctx.Err())
	}
}

func (a *Async) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run writes batches until closing finds nothing left. Two buffers take turns.
func (a *Async) run() {
	defer close(a.done)
	var batch []byte
	torn := false // the last write ended within a line
	for range a.wake {
		for {
			a.mu.Lock()
			batch, a.buffer = a.buffer, batch[:0]
			lost, closing := a.dropped-a.told, a.closing
			a.mu.Unlock()
			if len(batch) == 0 && lost == 0 {
				if closing {
					return
				}
				break
			}
			var noticed int
			if lost > 0 {
				notice := a.notice(lost)
				batch, noticed = append(batch, notice...), len(notice)
			}
			lead := 0
			if torn { // one event is one line, even after a write that failed half way
				batch, lead = append([]byte{'\n'}, batch...), 1
			}
			n, err := a.w.Write(batch)
			if err == nil {
				n = len(batch)
			}
			n = min(max(n, 0), len(batch))
			if n > 0 {
				torn = batch[n-1] != '\n'
			}
			a.account(batch[max(n, lead):max(n, len(batch)-noticed)], lost, n == len(batch))
			if err != nil {
				// Try again with the next line, not at once: the disk may be full.
				if closing {
					return
				}
				break
			}
		}
	}
}

// account counts the lines that could not be written, and remembers that lost
// ones were told of.
func (a *Async) account(unwritten []byte, lost uint64, told bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped += lines(unwritten)
	if told {
		a.told += lost
	}
}

func lines(b []byte) uint64 { return uint64(bytes.Count(b, []byte("\n"))) }
