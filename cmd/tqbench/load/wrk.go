package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Wrk is one run of wrk: kept connections, each of which sends its next
// request when the last one was answered.
type Wrk struct {
	Binary      string
	Dir         string // for its script
	URL         string // of the server, without the path
	Request     Request
	Connections int
	Duration    time.Duration // whole seconds
}

// Result is what a load measured.
type Result struct {
	Requests int // that got an answer or an error
	Good     int // that got an answer of status 2xx
	Errors   map[string]int
	Elapsed  time.Duration
	P50, P99 time.Duration
	Max      time.Duration
}

const (
	// wrkTimeout is when wrk counts a request as timed out.
	wrkTimeout = 10 * time.Second
	// wrkGrace is what a run may take beyond its duration.
	wrkGrace = 15 * time.Second
)

// wrkDone makes wrk print exact numbers in place of rounded ones.
const wrkDone = `
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("tqbench: duration_us=%d requests=%d connect=%d read=%d write=%d status=%d timeout=%d p50_us=%d p99_us=%d max_us=%d\n",
    summary.duration, summary.requests, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
`

// Run runs wrk and reads what it measured.
func (w Wrk) Run(ctx context.Context) (Result, error) {
	if w.Duration < time.Second || w.Duration%time.Second != 0 {
		return Result{}, fmt.Errorf("wrk runs for whole seconds, not for %v", w.Duration)
	}
	script := filepath.Join(w.Dir, "wrk.lua")
	text := wrkDone
	if w.Request.Body != "" {
		text += "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/octet-stream\"\nwrk.body = " + luaString(w.Request.Body) + "\n"
	}
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return Result{}, fmt.Errorf("writing wrk's script: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.Duration+wrkGrace)
	defer cancel()
	// One thread: it is far from busy, and the servers need the other cores.
	cmd := exec.CommandContext(ctx, w.Binary, "-t1", "-c"+strconv.Itoa(w.Connections), "-d"+strconv.Itoa(int(w.Duration/time.Second))+"s",
		"--timeout", strconv.Itoa(int(wrkTimeout/time.Second))+"s", "-s", script, w.URL+w.Request.Path)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Result{}, fmt.Errorf("running wrk: %w: %.500s", errors.Join(ctx.Err(), err), bytes.TrimSpace(out))
	}
	return parseWrk(out)
}

// luaString is s as a Lua literal; runs of one byte, which our bodies are,
// stay short.
func luaString(s string) string {
	if n := len(s); n > 64 && s == string(bytes.Repeat([]byte{s[0]}, n)) {
		return fmt.Sprintf("string.rep(%q, %d)", s[:1], n)
	}
	return strconv.QuoteToASCII(s)
}

// parseWrk finds the line of wrkDone.
func parseWrk(out []byte) (Result, error) {
	line := regexp.MustCompile(`(?m)^tqbench: (.*)$`).FindSubmatch(out)
	if line == nil {
		return Result{}, fmt.Errorf("wrk did not say what it measured: %.500q", out)
	}
	numbers := map[string]int{}
	for pair := range bytes.FieldsSeq(line[1]) {
		name, value, _ := bytes.Cut(pair, []byte("="))
		n, err := strconv.Atoi(string(value))
		if err != nil {
			return Result{}, fmt.Errorf("wrk said %q: %w", pair, err)
		}
		numbers[string(name)] = n
	}
	us := func(name string) time.Duration { return time.Duration(numbers[name]) * time.Microsecond }
	r := Result{
		Requests: numbers["requests"], Elapsed: us("duration_us"),
		P50: us("p50_us"), P99: us("p99_us"), Max: us("max_us"), Errors: map[string]int{},
	}
	for _, name := range []string{"connect", "read", "write", "status", "timeout"} {
		n, ok := numbers[name]
		if !ok {
			return Result{}, fmt.Errorf("wrk said nothing about %q: %q", name, line[0])
		}
		if n > 0 {
			r.Errors[name] = n
		}
	}
	r.Good = r.Requests - r.Errors["status"]
	for _, name := range []string{"connect", "read", "write"} {
		r.Requests += r.Errors[name] // a timeout is a late answer, and counted already
	}
	if r.Elapsed <= 0 {
		return Result{}, fmt.Errorf("wrk measured no time: %q", line[0])
	}
	return r, nil
}
