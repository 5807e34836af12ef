package fastcgi

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers requests of a Server.
type Handler interface {
	// ServeFastCGI answers one request. When it returns the response is
	// complete. A panic closes the connection without END_REQUEST, so that the
	// response looks as broken as it is; http.ErrAbortHandler does so silently.
	ServeFastCGI(w *ResponseWriter, r *Request)
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(w *ResponseWriter, r *Request)

// ServeFastCGI calls f.
func (f HandlerFunc) ServeFastCGI(w *ResponseWriter, r *Request) { f(w, r) }

// Server is a FastCGI application: web servers connect to it. Its fields must
// not change once Serve is called, but for the Limits by SetLimits.
type Server struct {
	// Handler answers the requests.
	Handler Handler
	// Roles the handler serves; others get FCGI_UNKNOWN_ROLE. Nil means
	// Responder only.
	Roles []Role

	// Extended is for applications whose only peer is TQServer's pool. Then
	// responses 1xx go out, each as a head before the final one, and trailers
	// in both directions, as records of type 128; FastCGI knows neither.
	Extended bool

	Limits

	// OnError is told of every error of a connection; nil drops them. It is
	// called from several goroutines and must not block.
	OnError func(ConnError)

	state serverState
}

// Limits of a Server. Zero means the default of Defaults.
type Limits struct {
	// MaxConns bounds the connections; one more is closed at once.
	MaxConns int
	// MaxRequestsPerConn bounds the concurrent requests of one connection; one
	// more gets FCGI_OVERLOADED. With 1 there is no multiplexing, and one more
	// gets FCGI_CANT_MPX_CONN.
	MaxRequestsPerConn int
	// MaxParamsSize bounds the params of a request in bytes on the wire, and
	// MaxParams their number; a request with more gets a 431 response.
	MaxParamsSize, MaxParams int
	// MaxStdinBuffer bounds in bytes what of a request's STDIN (and DATA) waits
	// in memory for its handler.
	MaxStdinBuffer int

	// ReadTimeout is how long the head of a request may take from its first
	// byte, and after that each record of its STDIN.
	ReadTimeout time.Duration
	// WriteTimeout is how long the web server may take to accept a write of at
	// most 1 MiB.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may be without a request.
	IdleTimeout time.Duration
	// StallTimeout is how long a handler that does not read its STDIN may hold
	// up other requests of its connection, once MaxStdinBuffer is full. FastCGI
	// has no flow control per request.
	StallTimeout time.Duration

	// AllowConn says whether a connection may stay; nil allows all. AllowAddrs
	// makes one. It must not block.
	AllowConn func(net.Conn) bool
}

// Defaults returns a Server with the defaults filled in. The limits on params
// are above what nginx (one record, 64 KiB) and the usual 16 KiB of headers
// ask for; 60 s is nginx's fastcgi_send_timeout and fastcgi_read_timeout.
func Defaults() *Server {
	s := &Server{}
	s.setDefaults()
	return s
}

func (s *Server) setDefaults() {
	s.Limits.setDefaults()
	if len(s.Roles) == 0 {
		s.Roles = []Role{Responder}
	}
}

func (s *Limits) setDefaults() {
	setInt(&s.MaxConns, 4096)
	setInt(&s.MaxRequestsPerConn, 128)
	setInt(&s.MaxParamsSize, 128<<10)
	setInt(&s.MaxParams, 500)
	setInt(&s.MaxStdinBuffer, 256<<10)
	setDuration(&s.ReadTimeout, time.Minute)
	setDuration(&s.WriteTimeout, time.Minute)
	setDuration(&s.IdleTimeout, 5*time.Minute)
	setDuration(&s.StallTimeout, time.Second)
}

// limits are those of now.
func (s *Server) limits() *Limits { return s.state.limits.Load() }

// SetLimits takes over other limits with all connections open: that is how
// settings change without losing a request, for FastCGI cannot tell a web server
// that an answer was the last one of its connection. A wait that is under way ends
// by the limit of before. Connections that the new AllowConn refuses end after
// their next answer.
func (s *Server) SetLimits(l Limits) {
	st := &s.state
	st.once.Do(s.init)
	l.setDefaults()
	st.limits.Store(&l)
	if l.AllowConn == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for c := range st.conns {
		if !l.AllowConn(c.nc) {
			c.retiring.Store(true)
		}
	}
}

// init readies the server for its first listener, or its end without one.
func (s *Server) init() {
	s.setDefaults()
	limits := s.Limits
	s.state.limits.Store(&limits)
	s.state.quit = make(chan struct{})
}

func setInt(p *int, def int) {
	if *p <= 0 {
		*p = def
	}
}

func setDuration(p *time.Duration, def time.Duration) {
	if *p <= 0 {
		*p = def
	}
}

// serverState is what changes. Lock order: mu before a conn's mu.
type serverState struct {
	once    sync.Once
	quit    chan struct{} // closed when the server ends
	limits  atomic.Pointer[Limits]
	buffers sync.Pool // *[outSize]byte, of responses

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	drained   chan struct{} // closed when closing and no connection is left

	accepted, requests atomic.Uint64
	active             atomic.Int64
	retiring           atomic.Bool
	errors             [numKinds]atomic.Uint64
}

// Stats are counters of a Server since its start, but for Conns and Active.
type Stats struct {
	// Conns is how many connections there are, Active how many requests run.
	Conns, Active int
	// Accepted counts connections, Requests the requests handed to the handler.
	Accepted, Requests uint64
	// Errors counts by ErrorKind; kinds without one are left out.
	Errors map[ErrorKind]uint64
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	st := &s.state
	st.mu.Lock()
	conns := len(st.conns)
	st.mu.Unlock()
	stats := Stats{
		Conns: conns, Active: int(st.active.Load()),
		Accepted: st.accepted.Load(), Requests: st.requests.Load(),
		Errors: map[ErrorKind]uint64{},
	}
	for k := range numKinds {
		if n := st.errors[k].Load(); n > 0 {
			stats.Errors[k] = n
		}
	}
	return stats
}

func (s *Server) report(kind ErrorKind, remote net.Addr, err error) {
	s.state.errors[kind].Add(1)
	if s.OnError != nil {
		s.OnError(ConnError{Kind: kind, Err: err, Remote: remote})
	}
}

// Serve accepts connections from l until Shutdown or Close, and then returns
// ErrServerClosed. It may be called for several listeners. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	s.state.once.Do(s.init)
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	delay := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			delay = 0
			s.start(nc)
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors, most likely: what runs goes on, and frees some.
		s.report(KindAccept, nil, err)
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.state.quit:
			timer.Stop()
		}
	}
}

func (s *Server) track(l net.Listener) bool {
	st := &s.state
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closing {
		return false
	}
	if st.listeners == nil {
		st.listeners = map[net.Listener]struct{}{}
	}
	st.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.state.mu.Lock()
	delete(s.state.listeners, l)
	s.state.mu.Unlock()
}

func (s *Server) isClosing() bool {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.closing
}

var (
	errTooManyConns = errors.New("too many connections")
	errNotAllowed   = errors.New("the peer is not allowed")
)

// start serves a new connection in a goroutine of its own.
func (s *Server) start(nc net.Conn) {
	st := &s.state
	st.accepted.Add(1)
	limits := s.limits()
	if limits.AllowConn != nil && !limits.AllowConn(nc) {
		_ = nc.Close()
		s.report(KindRefused, nc.RemoteAddr(), errNotAllowed)
		return
	}
	st.mu.Lock()
	full, closing := len(st.conns) >= limits.MaxConns, st.closing
	if full || closing {
		st.mu.Unlock()
		_ = nc.Close()
		if full {
			s.report(KindRefused, nc.RemoteAddr(), errTooManyConns)
		}
		return
	}
	if st.conns == nil {
		st.conns = map[*conn]struct{}{}
	}
	c := newConn(s, nc)
	st.conns[c] = struct{}{}
	st.mu.Unlock()
	go c.loop()
}

// remove forgets a connection of which nothing runs any more.
func (s *Server) remove(c *conn) {
	st := &s.state
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.conns, c)
	if st.drained != nil && len(st.conns) == 0 {
		close(st.drained)
		st.drained = nil
	}
}

// Shutdown closes the listeners and the connections without a request, waits
// until the running requests are answered, and closes their connections. When
// ctx ends first its error is returned and Close is what is left to do.
func (s *Server) Shutdown(ctx context.Context) error {
	done, conns := s.close()
	for _, c := range conns {
		c.drain()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Retire makes every connection end after its next answer, also one that the web
// server would keep; an idle one waits for that until IdleTimeout, since closing
// it could lose a request that is on its way. New connections are still served: the
// caller closes the listener before.
func (s *Server) Retire() { s.state.retiring.Store(true) }

// Close closes the listeners and all connections. Contexts of running requests
// end; Close does not wait for their handlers.
func (s *Server) Close() error {
	_, conns := s.close()
	for _, c := range conns {
		c.abandon()
	}
	return nil
}

// close stops accepting and returns what there is, and a channel that ends
// when nothing is left.
func (s *Server) close() (<-chan struct{}, []*conn) {
	st := &s.state
	st.once.Do(s.init)
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.closing {
		st.closing = true
		close(st.quit)
	}
	for l := range st.listeners {
		_ = l.Close()
	}
	conns := make([]*conn, 0, len(st.conns))
	for c := range st.conns {
		conns = append(conns, c)
	}
	if st.drained == nil {
		st.drained = make(chan struct{})
	}
	done := st.drained
	if len(conns) == 0 {
		close(done)
		st.drained = nil
	}
	return done, conns
}
