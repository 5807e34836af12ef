package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	slowClients = 500
	slowLimit   = 200 * time.Millisecond // for the p99 of others
	slowTime    = 4 * time.Second        // of measuring
)

// Not parallel: it measures time.
func TestSlowClientsHoldNoChild(t *testing.T) {
	needPHP(t)
	s := start(t, options{})
	var slow sync.WaitGroup
	stop := make(chan struct{})
	defer func() { close(stop); slow.Wait() }()
	var served atomic.Int64 // of the slow ones: in the middle of a body or of a response
	for i := range slowClients {
		var head []byte
		var c net.Conn
		reads := i%2 == 0
		byFastCGI := i%4 >= 2
		const length = 1 << 20
		switch {
		case byFastCGI && reads:
			c, head = dial(t, "unix", s.unix), request(1, false, nil, s.scriptParams("/big.php", "QUERY_STRING", "blocks=80")...)
		case byFastCGI:
			c = dial(t, "unix", s.unix)
			head = append(begin(1, false), stream(fcgiParams, 1, pairs(s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_LENGTH", itoa(length))...))...)
		case reads:
			c, head = dial(t, "tcp", s.http), []byte(target("/big.php?blocks=80", "", ""))
		default:
			c, head = dial(t, "tcp", s.http), fmt.Appendf(nil, "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", length)
		}
		if tcp, ok := c.(*net.TCPConn); ok && reads {
			_ = tcp.SetReadBuffer(4096)
		}
		slow.Go(func() {
			defer c.Close()
			if _, err := c.Write(head); err != nil {
				t.Errorf("slow client %d: %v", i, err)
				return
			}
			if reads {
				if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
					t.Errorf("slow client %d: %v", i, err)
					return
				}
			}
			served.Add(1)
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for { // 1 kB/s
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				var err error
				switch {
				case reads:
					_, err = io.ReadFull(c, make([]byte, 200))
				case byFastCGI:
					_, err = c.Write(record(fcgiStdin, 1, make([]byte, 192)))
				default:
					_, err = c.Write(make([]byte, 200))
				}
				if err != nil {
					t.Errorf("slow client %d: %v", i, err)
					return
				}
			}
		})
	}
	poll(t, 30*time.Second, "every slow client is being served", func() bool { return served.Load() == slowClients })

	for attempt := range 2 { // a machine others use has bad seconds
		p50, p99, worst, n := s.latency(t)
		t.Logf("%d slow clients, attempt %d: %d other requests, p50 %v, p99 %v, longest %v", slowClients, attempt, n, p50, p99, worst)
		if p99 < slowLimit {
			return
		}
	}
	t.Errorf("p99 above %v beside %d slow clients", slowLimit, slowClients)
}

// latency measures requests by HTTP and by FastCGI, 4 at a time.
func (s *server) latency(t *testing.T) (p50, p99, worst time.Duration, n int) {
	t.Helper()
	c := newClient(t)
	var mu sync.Mutex
	var all []time.Duration
	var clients sync.WaitGroup
	until := time.Now().Add(slowTime)
	for i := range 4 {
		clients.Go(func() {
			for pause := time.NewTicker(5 * time.Millisecond); time.Now().Before(until); <-pause.C {
				begun := time.Now()
				if i%2 == 0 {
					if a, err := do(c, http.MethodGet, "http://"+s.http+"/answer.php?body=x", nil); err != nil || a.body != "x" {
						t.Errorf("%v %v", err, a.Response)
						return
					}
				} else if a, err := fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "QUERY_STRING", "body=x")...); err != nil || a.body() != "x" {
					t.Errorf("%v %q", err, a.stdout)
					return
				}
				mu.Lock()
				all = append(all, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if len(all) == 0 {
		t.Fatal("no request was served")
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], all[len(all)-1], len(all)
}
