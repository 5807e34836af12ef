package php

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk"
)

// fakeMemory is a process's memory from base on.
type fakeMemory struct {
	bytes []byte
	reads int
}

const fakeBase = 0x5500_0000_0000

func (m *fakeMemory) read(address uint64, p []byte) error {
	m.reads++
	if address < fakeBase || address-fakeBase+uint64(len(p)) > uint64(len(m.bytes)) {
		return errMoved
	}
	copy(p, m.bytes[address-fakeBase:])
	return nil
}

// take returns the address of n new bytes, and a way to write words there.
func (m *fakeMemory) take(n int) (uint64, func(offset, word uint64)) {
	at := len(m.bytes)
	m.bytes = append(m.bytes, make([]byte, (n+7)/8*8)...)
	return fakeBase + uint64(at), func(offset, word uint64) {
		binary.NativeEndian.PutUint64(m.bytes[at+int(offset):], word)
	}
}

func (m *fakeMemory) text(s string) uint64 {
	at, set := m.take(stringBytes + len(s) + 1)
	set(0, 1|isString<<32)
	set(stringLen, uint64(len(s)))
	copy(m.bytes[at-fakeBase+stringBytes:], s)
	return at
}

// call adds a frame whose caller is previous.
func (m *fakeMemory) call(l layout, previous uint64, kind byte, class, name, file string, line uint32, object bool) uint64 {
	frame, setFrame := m.take(frameSize)
	function, setFunction := m.take(int(l.filename) + 16)
	setFunction(0, uint64(kind))
	if name != "" {
		setFunction(funcName, m.text(name))
	}
	if class != "" {
		entry, setEntry := m.take(className + 8)
		setEntry(className, m.text(class))
		setFunction(funcScope, entry)
	}
	if file != "" {
		opcodes, setOpline := m.take(3 * oplineSize)
		setOpline(2*oplineSize+oplineLine, uint64(line))
		setFrame(frameOpline, opcodes+2*oplineSize)
		setFunction(l.opcodes, opcodes)
		binary.NativeEndian.PutUint32(m.bytes[function-fakeBase+l.last:], 3)
		setFunction(l.filename, m.text(file))
		setFunction(l.filename+8, 2) // where it begins
	}
	if object {
		setFrame(frameThis, isObject)
	}
	setFrame(frameFunc, function)
	setFrame(framePrev, previous)
	return frame
}

// start adds the executor's globals, with the innermost frame.
func (m *fakeMemory) start(l layout, top uint64) uint64 {
	globals, set := m.take(int(l.current) + 8)
	set(l.current, top)
	return globals
}

func TestStackOfEveryVersion(t *testing.T) {
	for _, version := range []string{"8.0.30", "8.1.2", "8.2.36", "8.3.1", "8.4.0", "8.5.0RC1", "8.6.0rc3"} {
		l, err := layoutOf(version)
		if err != nil {
			t.Fatal(err)
		}
		m := &fakeMemory{}
		at := m.call(l, 0, userFunction, "", "", "/srv/index.php", 3, false)
		at = m.call(l, at, userFunction, "", "", "/srv/inc.php", 7, false)
		at = m.call(l, at, evalCode, "", "", "/srv/inc.php(7) : eval()'d code", 1, false)
		at = m.call(l, at, userFunction, "class@anonymous\x00/srv/inc.php:12$0", "run", "/srv/inc.php", 12, true)
		placeholder, set := m.take(frameSize)
		set(framePrev, at)
		at = m.call(l, placeholder, userFunction, `App\Tool`, "make", "/srv/tool.php", 9, false)
		at = m.call(l, at, internalFunction, "PDO", "query", "", 0, true)
		stack, err := readStack(m, l, m.start(l, at))
		want := []string{
			"PDO->query() /srv/tool.php:9",
			`App\Tool::make() /srv/tool.php:9`,
			"class@anonymous->run() /srv/inc.php:12",
			"eval() /srv/inc.php(7) : eval()'d code:1",
			"include() /srv/inc.php:7",
			"main() /srv/index.php:3",
		}
		if d := cmp.Diff(want, stack); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", version, err, d)
		}
	}
	for _, version := range []string{"", "7.4.33", "8.7.0", "9.0.1", "x"} {
		if _, err := layoutOf(version); err == nil || !strings.Contains(err.Error(), "8.0 to 8.6") {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestStackIsBoundedAndChecked(t *testing.T) {
	l, err := layoutOf("8.2")
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeMemory{}
	if stack, err := readStack(m, l, m.start(l, 0)); len(stack) > 0 || !errors.Is(err, errNoScript) {
		t.Errorf("idle: %v, %v", stack, err)
	}
	lone, _ := m.take(frameSize)
	if stack, err := readStack(m, l, m.start(l, lone)); len(stack) > 0 || !errors.Is(err, errNoScript) {
		t.Errorf("a placeholder alone: %v, %v", stack, err)
	}
	deep := uint64(0)
	for range 3 * stackDepth {
		deep = m.call(l, deep, userFunction, "", "f", "/a.php", 1, false)
	}
	if stack, err := readStack(m, l, m.start(l, deep)); len(stack) != stackDepth || !errors.Is(err, errDeep) {
		t.Errorf("deep: %d frames, %v", len(stack), err)
	}
	ring, set := m.take(frameSize) // placeholders that lead nowhere
	set(framePrev, ring)
	if stack, err := readStack(m, l, m.start(l, ring)); len(stack) != 0 || err == nil {
		t.Errorf("ring: %v, %v", stack, err)
	}
	outer := m.call(l, 0, userFunction, "", "", "/index.php", 3, false)
	long := strings.Repeat("x", 5000)
	if stack, err := readStack(m, l, m.start(l, m.call(l, outer, userFunction, long, long, "/"+long, 1, false))); err != nil || len(stack) != 2 || len(stack[0]) > 2*nameBytes+pathBytes+100 {
		t.Errorf("long: %.100q, %v", stack, err)
	}
	if stack, err := readStack(m, l, m.start(l, m.call(l, outer, userFunction, "", "a\nb\x1b[31m\xff", "/a", 1, false))); err != nil || stack[0] != "a?b?[31m?() /a:1" {
		t.Errorf("unprintable: %q, %v", stack, err)
	}
	good := m.call(l, outer, userFunction, "C", "f", "/a.php", 1, true)
	for name, broken := range map[string]func(inner uint64) uint64{
		"the kernel's address": func(uint64) uint64 { return 1 << 63 },
		"a small address":      func(uint64) uint64 { return 8 },
		"an odd address":       func(inner uint64) uint64 { return inner + 1 },
		"beyond the end":       func(uint64) uint64 { return fakeBase + 1<<30 },
		"not a function":       func(uint64) uint64 { return m.call(l, outer, 77, "", "f", "/a", 1, false) },
		"not a line":           func(uint64) uint64 { return m.call(l, outer, userFunction, "", "f", "/a", 1<<31, false) },
	} {
		stack, err := readStack(m, l, m.start(l, broken(good)))
		if len(stack) != 0 || !errors.Is(err, errMoved) {
			t.Errorf("%s: %v, %v", name, stack, err)
		}
	}
	// A function that has not saved its opline is told by its first line.
	fresh := m.call(l, outer, userFunction, "", "fresh", "/a.php", 8, false)
	for _, opline := range []uint64{0, 1 << 63, fakeBase, binary.NativeEndian.Uint64(m.bytes[fresh-fakeBase:]) + 1, binary.NativeEndian.Uint64(m.bytes[fresh-fakeBase:]) + oplineSize} {
		binary.NativeEndian.PutUint64(m.bytes[fresh-fakeBase:], opline)
		if stack, err := readStack(m, l, m.start(l, fresh)); err != nil || stack[0] != "fresh() /a.php:2" {
			t.Errorf("opline %x: %v, %v", opline, stack, err)
		}
	}
	// The frames before the broken one are told.
	half := m.call(l, 12345, userFunction, "", "inner", "/a.php", 8, false)
	if stack, err := readStack(m, l, m.start(l, half)); len(stack) != 1 || stack[0] != "inner() /a.php:8" || !errors.Is(err, errMoved) {
		t.Errorf("half: %v, %v", stack, err)
	}
}

func FuzzReadStack(f *testing.F) {
	l, err := layoutOf("8.2")
	if err != nil {
		f.Fatal(err)
	}
	m := &fakeMemory{}
	globals := m.start(l, m.call(l, m.call(l, 0, userFunction, "", "", "/index.php", 3, false), userFunction, "C", "f", "/a.php", 1, true))
	f.Add(m.bytes, globals)
	for seed := range uint64(20) { // the same with bytes changed, as a running script changes them
		r := rand.New(rand.NewPCG(seed, 1))
		b := append([]byte{}, m.bytes...)
		for range 1 + seed {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		f.Add(b, globals)
	}
	f.Fuzz(func(t *testing.T, bytes []byte, globals uint64) {
		m := &fakeMemory{bytes: bytes}
		stack, err := readStack(m, l, globals)
		if len(stack) > stackDepth || m.reads > stackTries*(2+stackSteps*12) || (len(stack) == 0 && err == nil) {
			t.Errorf("%d frames, %d reads, %v", len(stack), m.reads, err)
		}
		for _, line := range stack {
			if len(line) > 4*(2*nameBytes+pathBytes)+100 || strings.ContainsAny(line, "\n\x00\x1b") {
				t.Errorf("%q", line)
			}
		}
	})
}

// stackOf inspects a connection until want is its stack, or fails.
func (h *host) stackOf(c wire, ok func(p sdk.Process) bool) {
	h.t.Helper()
	var last []sdk.Process
	defer func() {
		if h.t.Failed() {
			h.t.Logf("last: %+v", last)
		}
	}()
	h.eventually("the stack", func() bool {
		last = h.inspect(sdk.Inspection{Connections: []sdk.Connection{c.id}, Stack: true})
		return len(last) == 1 && ok(last[0])
	})
}

func TestStackOfRealScripts(t *testing.T) {
	t.Parallel()
	lock := filepath.Join(t.TempDir(), "lock")
	h := start(t, newWorker(t, ``,
		"sleep.php", "<?php\nfunction f() {\n  sleep(60);\n}\nf();",
		"loop.php", "<?php\nclass C { function run() {\n  while (true) { $x = 1; }\n} }\n(new C)->run();",
		"flock.php", "<?php\nclass C { static function wait() {\n  flock(fopen('"+lock+"', 'w'),\n    LOCK_EX);\n} }\nC::wait();",
		"deep.php", "<?php\nfunction down($n) {\n  if ($n == 0) sleep(60);\n  down($n - 1);\n}\ndown(1000);",
		"gen.php", "<?php\nfunction inner() {\n  sleep(60);\n  yield 1;\n}\nfunction outer() { yield from inner(); }\nforeach (outer() as $x) {\n}",
		"inc.php", "<?php\n(function () {\n  include 'part.inc';\n})();",
		"part.inc", "<?php\n\neval('sleep(60);');",
		"busy.php", "<?php\nfunction fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }\nfib(60);"))
	holder, err := os.Create(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := syscall.Flock(int(holder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	at := func(script, line string) string {
		return " " + filepath.Join(h.worker.DocumentRoot, script) + ":" + line
	}
	for _, c := range []struct {
		script string
		want   []string // the beginning
		unread string
	}{
		{"sleep.php", []string{"sleep()" + at("sleep.php", "3"), "f()" + at("sleep.php", "3"), "main()" + at("sleep.php", "5")}, ""},
		{"loop.php", []string{"C->run()" + at("loop.php", "3"), "main()" + at("loop.php", "5")}, ""},
		{"flock.php", []string{"flock()" + at("flock.php", "3"), "C::wait()" + at("flock.php", "3"), "main()" + at("flock.php", "6")}, ""},
		{"deep.php", []string{"sleep()" + at("deep.php", "3"), "down()" + at("deep.php", "3"), "down()" + at("deep.php", "4")}, errDeep.Error()},
		{"gen.php", []string{"sleep()" + at("gen.php", "3"), "inner()" + at("gen.php", "3"), "main()" + at("gen.php", "7")}, ""},
		{
			"inc.php",
			[]string{
				"sleep()" + at("part.inc", "3) : eval()'d code:1"), "eval()" + at("part.inc", "3) : eval()'d code:1"), "include()" + at("part.inc", "3"),
				"{closure}()" + at("inc.php", "3"), "main()" + at("inc.php", "4"),
			},
			"",
		},
	} {
		t.Run(c.script, func(t *testing.T) {
			w := h.wire(h.endpoint())
			over := h.run(w.Conn, c.script)
			same := func(p sdk.Process) bool {
				for i, want := range c.want {
					// eval's file is "part.inc(3) : eval()'d code"; the loop has no
					// opline that PHP must save; from PHP 8.4 on a closure has a place.
					closure := "{closure:" + filepath.Join(h.worker.DocumentRoot, "inc.php") + ":2}"
					alike := strings.NewReplacer("(3)", ":3)", "loop.php:2", "loop.php:3", closure, "{closure}")
					if i >= len(p.Stack) || alike.Replace(p.Stack[i]) != want {
						return false
					}
				}
				return p.Unread == c.unread && (c.unread != "" || len(p.Stack) == len(c.want))
			}
			h.stackOf(w, same)
			told, err := h.retire(sdk.Retirement{Connection: w.id, Busy: true, Reason: "test"})
			if err != nil || !same(told) {
				t.Errorf("%+v, %v", told, err)
			}
			<-over
		})
	}
	t.Run("a stack that never rests", func(t *testing.T) {
		w := h.wire(h.endpoint())
		over := h.run(w.Conn, "busy.php")
		frames, odd := 0, 0
		for range 300 {
			for _, p := range h.inspect(sdk.Inspection{Connections: []sdk.Connection{w.id}, Stack: true}) {
				for _, line := range p.Stack {
					frames++
					if line != "fib()"+at("busy.php", "2") && line != "main()"+at("busy.php", "3") {
						odd++
						t.Logf("frame %q", line)
					}
				}
			}
		}
		if frames == 0 || odd*100 > frames {
			t.Errorf("%d of %d frames are not of this script", odd, frames)
		}
		if _, err := h.retire(sdk.Retirement{Connection: w.id}); err != nil {
			t.Error(err)
		}
		<-over
	})
	t.Run("idle", func(t *testing.T) {
		for _, p := range h.inspect(sdk.Inspection{Stack: true}) {
			if len(p.Stack) > 0 || p.Unread == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestStackThatCannotBeReadSaysWhy(t *testing.T) {
	var p programs
	if _, err := p.globals(1 << 30); !errors.Is(err, errGone) {
		t.Errorf("no process: %v", err)
	}
	if _, err := p.globals(os.Getpid()); err == nil || !strings.Contains(err.Error(), "does not export executor_globals") {
		t.Errorf("not PHP: %v", err)
	}
	if err := processMemory(1<<30).read(fakeBase, make([]byte, 8)); !errors.Is(err, errGone) {
		t.Errorf("no process: %v", err)
	}
	if err := processMemory(os.Getpid()).read(lowestPointer, make([]byte, 8)); !errors.Is(err, errMoved) {
		t.Errorf("nothing there: %v", err)
	}
}
