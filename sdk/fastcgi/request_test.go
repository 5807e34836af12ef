package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestWriteAfterReturn: what outlives its handler gets errors, and never
// another request's stream.
func TestWriteAfterReturn(t *testing.T) {
	type pair struct {
		w *ResponseWriter
		r *Request
	}
	leak := make(chan pair, 1)
	reading := make(chan error, 1)
	g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
		if r.Params.Get("LEAK") == "" {
			dump(w, r)
			return
		}
		go func() {
			_, err := r.Stdin.Read(make([]byte, 100))
			reading <- err
		}()
		eventually(t, "the leaked read", func() bool {
			r.conn.mu.Lock()
			defer r.conn.mu.Unlock()
			return r.conn.reading
		})
		leak <- pair{w, r}
	}), nil)
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "LEAK", "1"))
	p.answer(1)
	l := within(t, "the handler", leak)
	if err := within(t, "the read", reading); !errors.Is(err, ErrHandlerDone) {
		t.Errorf("Read: %v", err)
	}
	if _, err := l.w.Write([]byte("x")); !errors.Is(err, ErrHandlerDone) {
		t.Errorf("Write: %v", err)
	}
	if _, err := l.w.Stderr().Write([]byte("x")); !errors.Is(err, ErrHandlerDone) {
		t.Errorf("Stderr: %v", err)
	}
	if _, err := l.r.Stdin.Read(make([]byte, 1)); !errors.Is(err, ErrHandlerDone) {
		t.Errorf("Read: %v", err)
	}
	if l.r.Context().Err() == nil || !errors.Is(l.r.Cause(), ErrHandlerDone) {
		t.Errorf("context: %v", l.r.Cause())
	}
	p.send(request(1, true, "abc"))
	if a := p.answer(1); !strings.HasSuffix(a.Stdout, fmt.Sprintf("stdin=3:%x", sum([]byte("abc")))) {
		t.Errorf("next: %q", a.Stdout)
	}
}

// TestStderr: STDERR is its own stream (F29, F30), of any size.
func TestStderr(t *testing.T) {
	long := strings.Repeat("e", 70_001)
	g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
		_, _ = io.WriteString(w.Stderr(), "one\n")
		_, _ = w.WriteString("out")
		_, _ = io.WriteString(r.Stderr(), long)
	}), nil)
	p := g.dial()
	p.send(request(1, true, ""))
	if a := p.answer(1); a != (answer{Stdout: "out", Stderr: "one\n" + long}) {
		t.Errorf("got %d bytes of STDOUT, %d of STDERR", len(a.Stdout), len(a.Stderr))
	}
}

// TestDeadlines: those of a request, set while it waits.
func TestDeadlines(t *testing.T) {
	g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
		_ = w.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		_, err := r.Stdin.Read(make([]byte, 10))
		fmt.Fprintln(w, err)
		_ = w.SetReadDeadline(time.Time{})
		_ = w.Flush()
		b, err := io.ReadAll(r.Stdin)
		fmt.Fprintln(w, len(b), err)
	}), nil)
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1))
	if r := p.recv(); r.Content != "i/o timeout\n" {
		t.Errorf("got %v", r)
	}
	p.send(streamOf(typeStdin, 1, "abc"))
	if a := p.answer(1); a.Stdout != "3 <nil>\n" {
		t.Errorf("got %q", a.Stdout)
	}
	g.quiet()
}

// TestContextChildren: derived contexts end with the request's, AfterFunc runs, and
// the context package needs no goroutine that waits for the parent's end.
func TestContextChildren(t *testing.T) {
	waits := make(chan bool, 1)
	ran := make(chan struct{})
	g := serve(t, HandlerFunc(func(_ *ResponseWriter, r *Request) {
		child, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		stop := context.AfterFunc(r.Context(), func() { t.Error("a stopped function ran") })
		context.AfterFunc(child, func() { close(ran) })
		stacks := make([]byte, 1<<20)
		waits <- bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("context.(*cancelCtx).propagateCancel"))
		if !stop() || stop() {
			t.Error("stop")
		}
		if FromContext(child) != r || FromContext(context.Background()) != nil {
			t.Error("FromContext")
		}
		<-child.Done()
	}), nil)
	p := g.dial()
	p.send(request(1, true, ""))
	if within(t, "the handler", waits) {
		t.Error("a goroutine waits for the end of the children's parent")
	}
	p.send(raw(typeAbortRequest, 1, ""))
	within(t, "AfterFunc", ran)
	p.answer(1)
}
