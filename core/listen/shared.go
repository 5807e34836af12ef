package listen

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Bounds of the pause after a failed accept, and how often failures are logged
// while they go on.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
	logEvery   = 10 * time.Second
)

// handOver is how long the last handle waits for its taker of a connection that
// was accepted just before the end.
const handOver = 50 * time.Millisecond

// shared is one open socket. A single goroutine accepts for all handles: a closed
// handle then has nothing to be woken from, and no connection is lost between
// two of them. It takes at most one connection that no handle waits for yet.
type shared struct {
	set      *Set
	key      string
	address  string
	listener net.Listener
	file     *socketFile // nil for TCP
	vital    bool        // see Options

	accepted chan net.Conn
	ending   chan struct{} // closed when nothing is to be accepted any more
	closing  chan struct{} // closed when the last handle is
	ended    chan struct{} // closed when the loop has returned

	handles []*handle // the oldest first; guarded by set.mu
}

func newShared(set *Set, key, address string, l net.Listener, file *socketFile, vital bool) *shared {
	s := &shared{
		set: set, key: key, address: address, listener: l, file: file, vital: vital,
		accepted: make(chan net.Conn), ending: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go s.loop()
	return s
}

// handle returns another handle; set.mu is held.
func (s *shared) handle(o Options) *handle {
	h := &handle{shared: s, options: o, done: make(chan struct{})}
	s.handles = append(s.handles, h)
	return h
}

func (s *shared) loop() {
	defer close(s.ended)
	var pause time.Duration
	var logged time.Time
	for {
		conn, err := s.listener.Accept()
		if err == nil {
			pause = 0
			short := !s.vital && s.set.descriptors.short(conn)
			if short {
				s.report(&logged, s.set.descriptors)
			}
			select {
			case s.accepted <- conn:
				if short {
					s.set.descriptors.await(s.ending)
				}
				continue
			case <-s.closing:
				_ = conn.Close() // as the kernel does with those it has queued
				return
			}
		}
		if errors.Is(err, net.ErrClosed) || s.isEnding() {
			return
		}
		// Mostly descriptors are short (EMFILE, ENFILE). Nothing that accept
		// reports is cured by giving the address up.
		s.report(&logged, err)
		pause = min(max(2*pause, firstPause), lastPause)
		select {
		case <-time.After(pause):
		case <-s.ending:
			return
		}
	}
}

// report logs why connections wait, now and then.
func (s *shared) report(logged *time.Time, err error) {
	if time.Since(*logged) >= logEvery {
		*logged = time.Now()
		s.set.log.Error("connections wait because they cannot be accepted", "address", s.address, "error", err)
	}
}

func (s *shared) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

// end accepts nothing more: what waits in the kernel's queue stays there, which
// matters when another process has the socket as well. A connection in hand goes
// to who waits in Accept.
func (s *shared) end() {
	close(s.ending)
	if l, ok := s.listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(time.Unix(1, 0))
	}
	timer := time.NewTimer(handOver)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
}

// close ends the socket; set.mu is held, so that nobody opens it anew meanwhile.
func (s *shared) close() error {
	delete(s.set.open, s)
	var errs []error
	if s.file != nil {
		// First the file: who finds none of it will not take it for stale.
		errs = append(errs, s.file.remove())
	}
	close(s.closing)
	errs = append(errs, s.listener.Close())
	<-s.ended
	return errors.Join(errs...)
}

// handle is what Listen returns.
type handle struct {
	shared  *shared
	options Options
	done    chan struct{}
	once    sync.Once
}

// Accept waits for a connection. It returns net.ErrClosed as soon as the handle
// is closed, even while others keep the socket open.
func (h *handle) Accept() (net.Conn, error) {
	select {
	case <-h.done: // a closed handle must not win a connection by chance
		return nil, h.closed()
	default:
	}
	select {
	case conn := <-h.shared.accepted:
		return conn, nil
	case <-h.done:
		return nil, h.closed()
	}
}

// Close closes the handle, and the socket if it was the last one. It may be
// called twice.
func (h *handle) Close() (err error) {
	h.once.Do(func() {
		s := h.shared
		s.set.mu.Lock()
		defer s.set.mu.Unlock()
		if len(s.handles) == 1 {
			s.end()
		}
		close(h.done)
		s.handles = slices.DeleteFunc(s.handles, func(o *handle) bool { return o == h })
		switch n := len(s.handles); {
		case n == 0:
			err = s.close()
		case s.file != nil && s.file.isOurs():
			err = s.file.grant(s.handles[n-1].options)
		}
		if err != nil {
			err = fmt.Errorf("close %s: %w", s.address, err)
		}
	})
	return err
}

// Addr returns the address of the socket: a *net.TCPAddr or a *net.UnixAddr.
func (h *handle) Addr() net.Addr { return h.shared.listener.Addr() }

func (h *handle) closed() error {
	return &net.OpError{Op: "accept", Net: h.Addr().Network(), Addr: h.Addr(), Err: net.ErrClosed}
}
