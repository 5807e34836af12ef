package process

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestLineWriter(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	for name, c := range map[string]struct {
		writes []string
		want   []Line
	}{
		"nothing":          {nil, nil},
		"one":              {[]string{"a\n"}, []Line{{Text: "a"}}},
		"without its end":  {[]string{"a\nb"}, []Line{{Text: "a"}, {Text: "b"}}},
		"in pieces":        {[]string{"a", "b", "\nc", "\n"}, []Line{{Text: "ab"}, {Text: "c"}}},
		"CR LF":            {[]string{"a\r\nb\rc\n"}, []Line{{Text: "a"}, {Text: "b\rc"}}},
		"empty lines":      {[]string{"\n\na\n"}, []Line{{}, {}, {Text: "a"}}},
		"exactly the most": {[]string{long + "\n"}, []Line{{Text: long}}},
		"one byte more":    {[]string{long + "y\n"}, []Line{{Text: long, Part: true}, {Text: "y"}}},
		"much more":        {[]string{long + long, "z\nb\n"}, []Line{{Text: long, Part: true}, {Text: long, Part: true}, {Text: "z"}, {Text: "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []Line
			w := NewLineWriter(func(l Line) { got = append(got, l) })
			for _, s := range c.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Error(n, err)
				}
			}
			_ = w.Close()
			_ = w.Close()
			if n, err := w.Write([]byte("late\n")); n != 5 || err != nil {
				t.Error(n, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A consumer that hangs costs lines, and they are counted; the writer never waits.
func TestLineWriterNeverBlocks(t *testing.T) {
	const lines = 10 * linesQueued
	var mu sync.Mutex
	var got []Line
	entered, resume := make(chan struct{}), make(chan struct{})
	enter := sync.OnceFunc(func() { close(entered); <-resume })
	w := NewLineWriter(func(l Line) {
		enter()
		mu.Lock()
		defer mu.Unlock()
		got = append(got, l)
	})
	fmt.Fprintln(w, "first")
	<-entered
	for i := range lines {
		fmt.Fprintln(w, i)
	}
	close(resume)
	_ = w.Close()
	mu.Lock()
	defer mu.Unlock()
	dropped, whole := 0, 0
	for _, l := range got {
		dropped += l.Dropped
		if l.Text != "" {
			whole++
		}
	}
	if dropped+whole != lines+1 || dropped == 0 {
		t.Errorf("%d lines came, %d were counted as lost, of %d", whole, dropped, lines+1)
	}
}

// What is lost is told at once, not with the next line, which may never come.
func TestDroppedIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		resume := make(chan struct{})
		w := NewLineWriter(func(l Line) { <-resume; dropped += l.Dropped })
		for range 3 * linesQueued {
			fmt.Fprintln(w, "x")
		}
		close(resume)
		synctest.Wait()
		if dropped == 0 {
			t.Error("not told")
		}
		_ = w.Close()
	})
}

func TestLinePipeTakesAFlood(t *testing.T) {
	w, lines, got := collected(t)
	p := started(t, Spec{Stdout: w}, "flood", "20000000")
	_ = w.Close()
	<-p.Done()
	lines.Close()
	size := 0
	for _, l := range got() {
		if len(l.Text) > MaxLine {
			t.Errorf("a piece of %d bytes", len(l.Text))
		}
		size += len(l.Text)
	}
	if p.Err() != nil || size == 0 {
		t.Error(size, p.Err())
	}
}
