package php

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

const (
	// stackDepth is the most frames told, as PHP-FPM's
	// request_slowlog_trace_depth.
	stackDepth = 20
	// stackSteps bounds the frames looked at: those between generators are not
	// told.
	stackSteps = 3 * stackDepth
	// stackTries is how often a stack that changed is read.
	stackTries = 3
	// nameBytes and pathBytes are how much of a name and of a path is told.
	nameBytes = 256
	pathBytes = 1024
	// stringMost is more than a name or path has: what is longer is no string.
	stringMost = 1 << 20
	// lineMost is the same for a line number.
	lineMost = 100_000_000
)

// stackFrame is one call.
type stackFrame struct {
	call, file string
	line       uint32
}

// String is "call() /path/file.php:12".
func (f stackFrame) String() string {
	switch {
	case f.file == "":
		return f.call
	case f.line == 0:
		return f.call + " " + f.file
	}
	return fmt.Sprintf("%s %s:%d", f.call, f.file, f.line)
}

// readStack reads the PHP stack of a process that is not stopped for it, the
// innermost call first. What it reads may be half of one moment and half of
// the next: everything is bounded and checked, and a stack that changes gives
// the frames read so far. The error says why that is not all.
//
// A generator that another one delegates to by `yield from` is shown as called
// by who resumed it. With the JIT, lines can be those of an earlier call.
func readStack(m memory, l layout, globals uint64) (stack []string, err error) {
	for range stackTries {
		top, err := readPointer(m, globals, l.current)
		switch {
		case err != nil:
			return nil, err
		case top == 0:
			return nil, errNoScript
		}
		var frames []stackFrame
		frames, err = readFrames(m, l, top)
		if told := tellFrames(frames); len(told) > 0 {
			stack = told
		}
		if err != nil && !errors.Is(err, errMoved) {
			return stack, err
		}
		if now, err2 := readPointer(m, globals, l.current); err == nil && err2 == nil && now == top {
			if len(stack) == 0 { // placeholders alone
				return nil, errNoScript
			}
			return stack, nil
		}
	}
	return stack, errMoved
}

var (
	errNoScript = errors.New("no script runs")
	errDeep     = fmt.Errorf("only the innermost %d calls are told", stackDepth)
)

// readFrames follows the frames from the innermost one.
func readFrames(m memory, l layout, at uint64) (frames []stackFrame, err error) {
	for range stackSteps {
		if at == 0 {
			return frames, nil
		}
		if len(frames) == stackDepth {
			return frames, errDeep
		}
		raw, err := readBytes(m, at, frameSize)
		if err != nil {
			return frames, err
		}
		previous := binary.NativeEndian.Uint64(raw[framePrev:])
		if function := binary.NativeEndian.Uint64(raw[frameFunc:]); function != 0 { // 0: a generator's placeholder
			frame, err := readFrame(m, l, raw, function, previous == 0)
			if err != nil {
				return frames, err
			}
			frames = append(frames, frame)
		}
		at = previous
	}
	return frames, errDeep
}

// readFrame reads what raw, a zend_execute_data, points at.
func readFrame(m memory, l layout, raw []byte, function uint64, outermost bool) (f stackFrame, err error) {
	head, err := readBytes(m, function, funcSize)
	if err != nil {
		return f, err
	}
	kind := head[funcType]
	if kind != internalFunction && kind != userFunction && kind != evalCode {
		return f, errMoved
	}
	if f.call, err = readCall(m, head, raw[frameThis] == isObject, outermost); err != nil || kind == internalFunction {
		return f, err
	}
	code, err := readBytes(m, function, int(l.filename)+16)
	if err != nil {
		return f, err
	}
	if f.file, err = readString(m, binary.NativeEndian.Uint64(code[l.filename:]), pathBytes); err != nil {
		return f, err
	}
	f.line, err = readLine(m, l, code, binary.NativeEndian.Uint64(raw[frameOpline:]))
	return f, err
}

// readLine reads the line of the opline saved last. PHP saves it for what can
// call or fail; a function that has done neither yet has none of its own there,
// and is told by the line it begins at.
func readLine(m memory, l layout, code []byte, opline uint64) (line uint32, err error) {
	opcodes := binary.NativeEndian.Uint64(code[l.opcodes:])
	size := uint64(binary.NativeEndian.Uint32(code[l.last:])) * oplineSize
	line = binary.NativeEndian.Uint32(code[l.filename+8:])
	if opline >= opcodes && opline-opcodes < size && (opline-opcodes)%oplineSize == 0 {
		raw, err := readBytes(m, opline, oplineSize)
		if err != nil {
			return 0, err
		}
		line = binary.NativeEndian.Uint32(raw[oplineLine:])
	}
	if line > lineMost {
		return 0, errMoved
	}
	return line, nil
}

// readCall names the function of head, the first bytes of a zend_function.
func readCall(m memory, head []byte, object, outermost bool) (string, error) {
	name := binary.NativeEndian.Uint64(head[funcName:])
	switch {
	case name != 0:
	case head[funcType] == evalCode:
		return "eval()", nil
	case outermost:
		return "main()", nil
	default:
		return "include()", nil
	}
	call, err := readString(m, name, nameBytes)
	if err != nil {
		return "", err
	}
	scope := binary.NativeEndian.Uint64(head[funcScope:])
	if scope == 0 {
		return call + "()", nil
	}
	at, err := readPointer(m, scope, className)
	if err != nil {
		return "", err
	}
	class, err := readString(m, at, nameBytes)
	if err != nil {
		return "", err
	}
	if object {
		return class + "->" + call + "()", nil
	}
	return class + "::" + call + "()", nil
}

// readString reads a zend_string, at most the first most bytes of it, up to a
// NUL (the name of an anonymous class goes on behind one), made printable.
func readString(m memory, at uint64, most int) (string, error) {
	head, err := readBytes(m, at, stringBytes)
	if err != nil {
		return "", err
	}
	length := binary.NativeEndian.Uint64(head[stringLen:])
	if binary.NativeEndian.Uint32(head[stringType:])&0xf != isString || length > stringMost {
		return "", errMoved
	}
	if length == 0 {
		return "", nil
	}
	text, err := readBytes(m, at+stringBytes, int(min(length, uint64(most))))
	if err != nil {
		return "", err
	}
	s, _, _ := strings.Cut(string(text), "\x00")
	s = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
	if length > uint64(most) {
		s += "…"
	}
	return s, nil
}

// tellFrames gives internal functions, which have no place of their own, that
// of their caller.
func tellFrames(frames []stackFrame) []string {
	told := make([]string, len(frames))
	var caller stackFrame
	for i := len(frames) - 1; i >= 0; i-- {
		f := frames[i]
		if f.file == "" {
			f.file, f.line = caller.file, caller.line
		} else {
			caller = f
		}
		told[i] = f.String()
	}
	return told
}
