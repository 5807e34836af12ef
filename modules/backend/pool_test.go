package backend

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint listens and keeps every connection open until the test ends.
func endpoint(t *testing.T, most int) sdk.Endpoint {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, true)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
	})
	return sdk.Endpoint{ID: l.Addr().String(), Network: "unix", Address: l.Addr().String(), MaxConcurrent: most}
}

// testPool is a pool that does nothing by itself.
func testPool(length int, wait time.Duration) *pool {
	config := defaultPool()
	config.Manager, config.StartWorkers = managerStatic, 0
	config.Queue = queueSettings{Length: length, Wait: wait}
	return newPool("w", config, slog.New(slog.DiscardHandler))
}

// acquire takes a connection for a request that only has a context.
func acquire(ctx context.Context, p *pool) (*poolConn, error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	return p.acquire(&call{worker: &worker{pool: p, log: p.log}, r: r, arrived: time.Now()})
}

func lend(p *pool, released *atomic.Int32, endpoints ...sdk.Endpoint) {
	p.ready(api.EndpointSet{Endpoints: endpoints, Release: func() { released.Add(1) }})
}

func stopPool(t *testing.T, p *pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.stop(ctx); err != nil {
		t.Error(err)
	}
}

func mustAcquire(t *testing.T, p *pool) *poolConn {
	t.Helper()
	c, err := acquire(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPoolGivesTheConnectionUsedLast(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, time.Second)
	lend(p, &released, endpoint(t, 3))
	a, b := mustAcquire(t, p), mustAcquire(t, p)
	p.put(a)
	p.put(b)
	if c := mustAcquire(t, p); c != b {
		t.Error("not the one used last")
	} else {
		p.put(c)
	}
	stopPool(t, p)
	if released.Load() != 1 {
		t.Errorf("released %d times", released.Load())
	}
}

func TestPoolQueueIsFirstComeFirstServed(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, 10*time.Second)
	lend(p, &released, endpoint(t, 1))
	held := mustAcquire(t, p)
	order := make(chan int, 5)
	for i := range 5 {
		go func() {
			c, err := acquire(t.Context(), p)
			if err != nil {
				t.Error(err)
				return
			}
			order <- i
			p.put(c)
		}()
		await(t, func() bool { return p.waiting() == i+1 })
	}
	p.put(held)
	for want := range 5 {
		if got := <-order; got != want {
			t.Errorf("number %d was served as number %d", got, want)
		}
	}
	stopPool(t, p)
}

func TestPoolQueueIsBoundedInLengthAndTime(t *testing.T) {
	var released atomic.Int32
	p := testPool(1, 50*time.Millisecond)
	lend(p, &released, endpoint(t, 1))
	held := mustAcquire(t, p)
	waited := make(chan error, 1)
	go func() {
		_, err := acquire(t.Context(), p)
		waited <- err
	}()
	await(t, func() bool { return p.waiting() == 1 })
	if _, err := acquire(t.Context(), p); !errors.Is(err, errQueueFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := <-waited; !errors.Is(err, errQueueWait) {
		t.Errorf("waited too long: %v", err)
	}
	p.put(held)
	stopPool(t, p)
}

func TestPoolForgetsAWaiterWhoseClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(10, time.Hour)
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := acquire(ctx, p)
			done <- err
		}()
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if p.waiting() != 0 {
			t.Error("still in the queue")
		}
	})
}

func TestPoolMovesToTheNewestEndpoints(t *testing.T) {
	var oldReleased, newReleased atomic.Int32
	p := testPool(10, 10*time.Second)
	lend(p, &oldReleased, endpoint(t, 2))
	running, idle := mustAcquire(t, p), mustAcquire(t, p)
	p.put(idle)
	next := endpoint(t, 2)
	lend(p, &newReleased, next)
	if c := mustAcquire(t, p); c.set.Endpoints[c.endpoint].ID != next.ID {
		t.Error("a new request went to the old endpoint")
	} else {
		p.put(c)
	}
	if oldReleased.Load() != 0 {
		t.Error("released while a request still ran there")
	}
	p.put(running)
	if oldReleased.Load() != 1 {
		t.Errorf("old endpoints released %d times", oldReleased.Load())
	}
	stopPool(t, p)
	if oldReleased.Load() != 1 || newReleased.Load() != 1 {
		t.Errorf("released %d and %d times", oldReleased.Load(), newReleased.Load())
	}
}

func TestPoolRequestsWaitWhileNothingIsLent(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, 10*time.Second)
	lend(p, &released, endpoint(t, 1))
	p.lost("the plugin died")
	got := make(chan *poolConn, 1)
	go func() {
		c, err := acquire(t.Context(), p)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	await(t, func() bool { return p.waiting() == 1 })
	lend(p, &released, endpoint(t, 1))
	p.put(<-got)
	stopPool(t, p)
}

func TestPoolDialsAgainWhatRefuses(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, 5*time.Second)
	lend(p, &released, sdk.Endpoint{ID: "gone", Network: "unix", Address: filepath.Join(t.TempDir(), "gone"), MaxConcurrent: 1})
	got := make(chan *poolConn, 1)
	go func() {
		c, err := acquire(t.Context(), p)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	await(t, func() bool { return p.dialed(1) })
	lend(p, &released, endpoint(t, 1))
	p.put(<-got)
	stopPool(t, p)
}

func TestPoolStopFailsThoseWhoWaitAndWaitsForThoseWhoRun(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, 10*time.Second)
	lend(p, &released, endpoint(t, 1))
	running := mustAcquire(t, p)
	waited := make(chan error, 1)
	go func() {
		_, err := acquire(t.Context(), p)
		waited <- err
	}()
	await(t, func() bool { return p.waiting() == 1 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); stopPool(t, p) }()
	if err := <-waited; !errors.Is(err, errPoolStopped) {
		t.Errorf("who waited got %v", err)
	}
	select {
	case <-stopped:
		t.Error("stopped while a request ran")
	default:
	}
	p.put(running)
	<-stopped
	if _, err := acquire(t.Context(), p); !errors.Is(err, errPoolStopped) {
		t.Errorf("after the stop: %v", err)
	}
	stopPool(t, p)
}

// Every connection comes back exactly once, whatever happens meanwhile.
func TestPoolLosesNoPlace(t *testing.T) {
	var released atomic.Int32
	p := testPool(1000, 10*time.Second)
	lend(p, &released, endpoint(t, 4))
	var users sync.WaitGroup
	for i := range 50 {
		users.Go(func() {
			for n := range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(i+n)%5)*time.Millisecond)
				c, err := acquire(ctx, p)
				switch {
				case err != nil:
				case (i+n)%3 == 0:
					p.discard(c)
				default:
					p.put(c)
				}
				cancel()
			}
		})
	}
	for range 5 {
		lend(p, &released, endpoint(t, 4))
	}
	users.Wait()
	p.mu.Lock()
	open, idle := p.open, len(p.set.idle)
	p.mu.Unlock()
	if open != idle {
		t.Errorf("%d connections are counted, %d are there", open, idle)
	}
	stopPool(t, p)
	if released.Load() != 6 {
		t.Errorf("6 sets were lent, %d released", released.Load())
	}
}

func (p *pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters.Len()
}

// dialed says whether nobody waits and nothing is open: between two dials.
func (p *pool) dialed(int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == 0 && p.waiters.Len() == 0
}

// await polls, with a deadline.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("did not happen within 5 s")
		}
	}
}

// A set with one endpoint more or less leaves alone what is open to the others.
func TestPoolCarriesEndpointsOver(t *testing.T) {
	var released atomic.Int32
	p := testPool(10, time.Second)
	stays, leaves, comes := endpoint(t, 2), endpoint(t, 2), endpoint(t, 2)
	lend(p, &released, leaves, stays)
	var conns []*poolConn
	for range 4 {
		conns = append(conns, mustAcquire(t, p))
	}
	kept, gone := conns[:0:0], conns[:0:0]
	for _, c := range conns {
		if c.set.Endpoints[c.endpoint].ID == stays.ID {
			kept = append(kept, c)
		} else {
			gone = append(gone, c)
		}
	}
	if len(kept) != 2 {
		t.Fatalf("%d of 4 connections to one of two endpoints", len(kept))
	}
	p.put(kept[0]) // idle
	lend(p, &released, stays, comes)
	if c := mustAcquire(t, p); c != kept[0] {
		t.Error("the idle connection was not kept")
	}
	if released.Load() != 0 {
		t.Error("released while busy")
	}
	for _, c := range gone {
		p.put(c)
	}
	if n := released.Load(); n != 1 {
		t.Errorf("released %d times", n)
	}
	p.mu.Lock()
	if used := p.set.used; used[0] != 2 || used[1] != 0 || p.set.total != 2 || p.open != 2 {
		t.Errorf("used %v, %d in all, %d open", used, p.set.total, p.open)
	}
	p.mu.Unlock()
	for _, c := range kept {
		p.put(c)
	}
	stopPool(t, p)
	if n := released.Load(); n != 2 {
		t.Errorf("released %d times", n)
	}
}
