package sdktest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

// hoard is how much more memory a plugin may have for a large body: one that holds the
// body has all of it, one that collects garbage much of what it has passed on (Node 20
// was seen with two thirds).
func (o *Options) hoard() int64 { return o.Large / 8 * 7 }

// serves: endpoints where they belong, several requests on one connection.
func (s *suite) serves(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		errs := []error{r.outside()}
		for _, e := range r.last.Endpoints {
			p, err := dial(ctx, e)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for n := range 3 {
				status, _, reusable, err := whole(p, s.get())
				if err != nil {
					errs = append(errs, fmt.Errorf("request %d on a connection: %w", n+1, err))
					break
				}
				if status >= 500 {
					errs = append(errs, fmt.Errorf("GET %s is answered with %d", s.Path, status))
				}
				if !reusable {
					errs = append(errs, errors.New("the connection cannot be kept for the next request"))
					break
				}
			}
			_ = p.Close()
		}
		return errors.Join(errs...)
	})
}

// concurrent: as many as the plugin was told to expect, several times.
func (s *suite) concurrent(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		lent := 0
		for _, e := range r.last.Endpoints {
			lent += e.MaxConcurrent
		}
		if lent < 1 || lent > 4*maxWorkers {
			return fmt.Errorf("it lends room for %d requests at once, max_workers is %d", lent, maxWorkers)
		}
		errs := make([]error, len(r.last.Endpoints))
		var all sync.WaitGroup
		for i, e := range r.last.Endpoints {
			all.Go(func() { errs[i] = s.crowd(ctx, e) })
		}
		all.Wait()
		return errors.Join(errs...)
	})
}

// crowd uses all places of an endpoint at once.
func (s *suite) crowd(ctx context.Context, e sdk.Endpoint) error {
	errs := make([]error, e.MaxConcurrent)
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() {
			p, err := dial(ctx, e)
			if err != nil {
				errs[n] = err
				return
			}
			defer func() { _ = p.Close() }()
			for range 5 {
				if _, _, reusable, err := whole(p, s.get()); err != nil || !reusable {
					errs[n] = errors.Join(err, fmt.Errorf("one of %d requests at once failed, its connection can be kept: %t", len(errs), reusable))
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// streams: what is sent comes back while the request is still open.
func (s *suite) streams(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		p, err := dial(ctx, r.endpoint())
		if err != nil {
			return err
		}
		body, send := io.Pipe()
		defer func() {
			_ = send.Close()
			_ = p.Close()
		}()
		const piece = "one piece of a body\n"
		go func() { _, _ = io.WriteString(send, piece) }() // ends with the pipe
		a, err := p.ask(s.echo(body, -1))
		if err != nil {
			return fmt.Errorf("no answer to a request that is still being sent: %w", err)
		}
		for n := range 3 {
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(a, got); err != nil || string(got) != piece {
				return fmt.Errorf("piece %d came back as %q: %w", n+1, got, err)
			}
			if n < 2 {
				if _, err := io.WriteString(send, piece); err != nil {
					return err
				}
			}
		}
		_ = send.Close()
		if rest, err := io.ReadAll(a); err != nil || len(rest) > 0 {
			return fmt.Errorf("at the end %q came: %w", rest, err)
		}
		if reusable, err := a.end(); err != nil || !reusable {
			return fmt.Errorf("afterwards the connection can be kept: %t: %w", reusable, err)
		}
		return nil
	})
}

// noise is bytes that are the same each time.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

// bodies: 64 MiB, with and without a length.
func (s *suite) bodies(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		want := sha256.New()
		if _, err := io.Copy(want, noise(s.Large)); err != nil {
			return err
		}
		lengths := []int64{s.Large, -1}
		if s.Buffers {
			lengths = lengths[:1]
		}
		for _, length := range lengths {
			m := s.watchMemory(r)
			p, err := dial(ctx, r.endpoint())
			if err != nil {
				return err
			}
			a, err := p.ask(s.echo(noise(s.Large), length))
			if err != nil {
				return fmt.Errorf("%d MiB, length told %t: %w", s.Large>>20, length >= 0, err)
			}
			got := sha256.New()
			n, err := io.Copy(got, a)
			if err == nil {
				_, err = a.end()
			}
			_ = p.Close()
			if err != nil || n != s.Large || string(got.Sum(nil)) != string(want.Sum(nil)) {
				return fmt.Errorf("%d MiB, length told %t: %d bytes came back, the same ones: %t: %w",
					s.Large>>20, length >= 0, n, string(got.Sum(nil)) == string(want.Sum(nil)), err)
			}
			if err := m.grown(); err != nil {
				return err
			}
		}
		return nil
	})
}

// backpressure: a client that sends and takes nothing is made to wait.
func (s *suite) backpressure(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		m := s.watchMemory(r)
		p, err := dial(ctx, r.endpoint())
		if err != nil {
			return err
		}
		sent := &counter{Reader: noise(s.Large)}
		a, err := p.ask(s.echo(sent, -1))
		if err != nil {
			_ = p.Close()
			return err
		}
		// The answer's head is here; its body is left where it is until nothing
		// moves any more.
		last, since := int64(-1), time.Now()
		waiting, cancel := quickly(ctx, 10*time.Second)
		defer cancel()
		err = until(waiting, "a client that takes nothing is still being sent to, or taken from", func() bool {
			if n := sent.count(); n != last {
				last, since = n, time.Now()
			}
			return time.Since(since) > 300*time.Millisecond
		})
		if taken := sent.count(); err == nil && taken > s.hoard() {
			err = fmt.Errorf("it took %d MiB of a client that takes nothing back", taken>>20)
		}
		if err == nil {
			err = m.grown()
		}
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, a); err != nil || n != s.Large {
				err = fmt.Errorf("when the client took its answer, %d bytes came: %w", n, err)
			}
		}
		_ = p.Close()
		_, _ = a.end()
		return err
	})
}

// counter counts what was read.
type counter struct {
	io.Reader
	mu sync.Mutex
	n  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += int64(n)
	return n, err
}

func (c *counter) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// cancels: clients leave in the middle of their request, on every place at once
// and again, and then there is room as before.
func (s *suite) cancels(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		e := r.endpoint()
		for range 3 {
			for range e.MaxConcurrent {
				if err := s.leaves(ctx, e); err != nil {
					return err
				}
			}
		}
		// It may take the plugin a moment to see that they have left.
		soon, cancel := quickly(ctx, 10*time.Second)
		defer cancel()
		var last error
		if err := until(soon, "", func() bool {
			attempt, cancel := quickly(soon, 3*time.Second)
			defer cancel()
			last = s.crowd(attempt, e)
			return last == nil
		}); err != nil {
			return fmt.Errorf("after clients have left in the middle of %d requests: %w", 3*e.MaxConcurrent, last)
		}
		if r.State().Restarts > 0 {
			return errors.New("clients that left have ended the plugin")
		}
		return nil
	})
}

// leaves is a client that goes away in the middle of its request.
func (s *suite) leaves(ctx context.Context, e sdk.Endpoint) error {
	p, err := dial(ctx, e)
	if err != nil {
		return err
	}
	q := s.get()
	if s.Echo != "" {
		q = s.echo(nil, s.Large)
	}
	body, send := io.Pipe()
	q.method, q.body, q.length = "POST", body, s.Large
	gone := make(chan struct{})
	go func() { // ends with the connection
		defer close(gone)
		if a, err := p.ask(q); err == nil {
			_, _ = io.Copy(io.Discard, a)
			_, _ = a.end()
		}
		_ = body.Close()
	}()
	// A plugin that has not seen the last one leave yet may refuse this one.
	_, _ = io.WriteString(send, "the beginning of a body")
	_ = p.Close()
	_ = send.CloseWithError(errors.New("the client has left"))
	<-gone
	return nil
}

// memory looks at how much of it the plugin has.
type memory struct {
	family              family
	before, body, hoard int64
	off                 bool
}

func (s *suite) watchMemory(r *running) memory {
	f := descendants(r.State().PID)
	return memory{f, f.resident(), s.Large, s.hoard(), s.Buffers}
}

// grown says that the plugin has taken more than it may for what it passes on.
func (m memory) grown() error {
	if now := m.family.resident(); !m.off && now-m.before > m.hoard {
		return fmt.Errorf("its memory grew by %d MiB for a body of %d MiB: it must not hold a body whole", (now-m.before)>>20, m.body>>20)
	}
	return nil
}
