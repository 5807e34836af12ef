package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// socketPair returns both ends of a connection.
func socketPair(tb testing.TB) (net.Conn, net.Conn) {
	tb.Helper()
	l, err := net.Listen("unix", filepath.Join(tb.TempDir(), "s"))
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// application is a Conn and the raw other end.
func application(tb testing.TB, o ConnOptions) (*Conn, *peer) {
	tb.Helper()
	a, b := socketPair(tb)
	return NewConn(a, o), newPeer(tb, b)
}

func out(s string) string { return raw(typeStdout, 1, s) }

func end(app uint32, status ProtocolStatus) string { return string(appendEnd(nil, 1, app, status)) }

// TestConnExactBytes: a whole request is these bytes, in one write.
func TestConnExactBytes(t *testing.T) {
	c, p := application(t, ConnOptions{})
	if err := c.Start(Responder, true, pairs("A", "bc"), []byte("body")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1000)
	n, _ := p.nc.Read(got)
	want := "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00" +
		"\x01\x04\x00\x01\x00\x05\x03\x00\x01\x02Abc\x00\x00\x00" + "\x01\x04\x00\x01\x00\x00\x00\x00" +
		"\x01\x05\x00\x01\x00\x04\x04\x00body\x00\x00\x00\x00" + "\x01\x05\x00\x01\x00\x00\x00\x00"
	if diff := cmp.Diff(fmt.Sprintf("% x", want), fmt.Sprintf("% x", got[:n])); diff != "" {
		t.Error(diff)
	}
}

// TestP4WholePairs: no pair is cut by a record, none is too large to be sent.
func TestP4WholePairs(t *testing.T) {
	c, p := application(t, ConnOptions{})
	params := pairs("BIG", strings.Repeat("x", 65_480), "A", "b", "C", strings.Repeat("y", 40_000), "D", strings.Repeat("z", 40_000))
	go func() { _ = c.Start(Responder, true, params, []byte{}) }()
	if r := p.recv(); r.Kind != typeBeginRequest {
		t.Fatal(r.Kind)
	}
	var got Params
	for {
		r := p.recv()
		if r.Content == "" {
			break
		}
		var err error
		if got, err = parseParams(got, r.Content, 10); err != nil {
			t.Fatalf("a record of %d bytes: %v", len(r.Content), err)
		}
	}
	if !cmp.Equal(got, params) {
		t.Error("params differ")
	}

	c, p = application(t, ConnOptions{})
	for _, bad := range []struct {
		p    Params
		want error
	}{
		{pairs("A", strings.Repeat("x", 65_500)), ErrPairTooLarge},
		{pairs("A", "x\x00"), ErrNUL},
		{pairs("A\x00", "x"), ErrNUL},
	} {
		if err := c.Start(Responder, true, bad.p, nil); !errors.Is(err, bad.want) {
			t.Errorf("got %v, want %v", err, bad.want)
		}
	}
	if !c.Reusable() || !c.Alive() {
		t.Error("a refused request has harmed the connection")
	}
	_ = c.Close()
	p.closed()
}

// TestF40Bodies: bodies around the limits of a record, shaped like records,
// arrive as they are (S16).
func TestF40Bodies(t *testing.T) {
	evil := request(1, true, "", "SCRIPT_FILENAME", "/evil.php")
	for _, how := range []string{"Start", "WriteStdin", "ReadFrom"} {
		for _, size := range []int{1, 100, copyMax, copyMax + 1, 65527, 65528, 65529, 65535, 65536, 65540, 99_000, 131_070, 1<<20 + 3} {
			t.Run(fmt.Sprint(how, size), func(t *testing.T) {
				body := bytes.Repeat([]byte(evil), size/len(evil)+1)[:size]
				c, p := application(t, ConnOptions{})
				go func() {
					params := pairs("A", "b")
					switch how {
					case "Start":
						_ = c.Start(Responder, true, params, body)
						return
					case "WriteStdin":
						_ = c.Start(Responder, true, params, nil)
						_, _ = c.WriteStdin(body)
					default:
						_ = c.Start(Responder, true, params, nil)
						_, _ = c.ReadFrom(bytes.NewReader(body))
					}
					_ = c.CloseStdin()
				}()
				var got strings.Builder
				for {
					r := p.recv()
					if r.Kind == typeStdin {
						if r.Content == "" {
							break
						}
						got.WriteString(r.Content)
					} else if r.Kind != typeBeginRequest && r.Kind != typeParams {
						t.Fatalf("record type %d", r.Kind)
					}
				}
				if got.String() != string(body) {
					t.Error("the body differs")
				}
			})
		}
	}
}

// TestConnAnswers: valid answers of all shapes.
func TestConnAnswers(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 20_000)
	chunks := ""
	var joined strings.Builder
	for s := big; s != ""; s = s[min(len(s), 60_001):] {
		joined.WriteString(out(s[:min(len(s), 60_001)]))
	}
	chunks += joined.String()
	pad := func(s string, n int) string {
		b := []byte(s)
		b[6] = byte(n)
		return string(b) + strings.Repeat("\xee", n)
	}
	tests := []struct {
		name, in, stdout, stderr string
		app                      uint32
	}{
		{"usual", out("hi") + out("") + end(0, 0), "hi", "", 0},
		{"P17 no end of STDOUT, reserved bytes dirty", out("hi") + "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x07\x00ile", "hi", "", 7},
		{"F06 padding 255 everywhere", pad(out("hi"), 255) + pad(out(""), 255) + pad(end(0, 0), 255), "hi", "", 0},
		{"empty", end(1, 0), "", "", 1},
		{"STDERR between", raw(typeStderr, 1, "e1") + out("a") + raw(typeStderr, 1, "e2") + out("b") + raw(typeStderr, 1, "") + out("") + end(0, 0), "ab", "e1|e2|", 0},
		{"STDERR only", raw(typeStderr, 1, "fatal") + end(255, 0), "", "fatal|", 255},
		{"large", chunks + out("") + end(0, 0), big, "", 0},
		{"65535", pad(out(big[:65535]), 255) + out("") + end(0, 0), big[:65535], "", 0},
	}
	for _, test := range tests {
		for _, size := range []int{1, 3, 1000, 32 << 10, 128 << 10} {
			if size < 100 && len(test.in) > 100_000 {
				continue
			}
			t.Run(fmt.Sprint(test.name, " by ", size), func(t *testing.T) {
				var stderr strings.Builder
				c, p := application(t, ConnOptions{Stderr: func(b []byte) { stderr.Write(b); stderr.WriteByte('|') }})
				for round := range 2 {
					stderr.Reset()
					if err := c.Start(Responder, true, nil, []byte{}); err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = io.WriteString(p.nc, test.in) }()
					var got bytes.Buffer
					if _, err := io.CopyBuffer(&got, struct{ io.Reader }{c}, make([]byte, size)); err != nil {
						t.Fatal(err)
					}
					if got.String() != test.stdout || stderr.String() != test.stderr {
						t.Errorf("got %.100q, STDERR %q", got.String(), stderr.String())
					}
					if app, status := c.EndRequest(); app != test.app || status != RequestComplete {
						t.Errorf("END_REQUEST %d %v", app, status)
					}
					eventually(t, fmt.Sprint("reusable in round ", round), func() bool { return c.Reusable() && c.Alive() })
				}
			})
		}
	}
}

// TestEndedIsKnownAtOnce: with the last bytes of a small answer.
func TestEndedIsKnownAtOnce(t *testing.T) {
	c, p := application(t, ConnOptions{})
	_ = c.Start(Responder, true, nil, []byte{})
	p.send(out("hi") + out("") + end(0, 0))
	b := make([]byte, 100)
	if n, err := c.Read(b); n != 2 || err != nil || !c.Ended() || !c.Reusable() {
		t.Errorf("%d, %v, ended %v", n, err, c.Ended())
	}
	if _, err := c.Read(b); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}

// TestConnErrors is the table of answers that are none (F05, F12, F18, F43).
func TestConnErrors(t *testing.T) {
	tests := []struct {
		name, in string
		stage    Stage
		want     string
	}{
		{"F43 closed without a byte", "", StageUnanswered, "unexpected EOF"},
		{"F43 closed after STDOUT", out("half"), StageBroken, "unexpected EOF"},
		{"F43 closed after the end of STDOUT", out("all") + out(""), StageBroken, "unexpected EOF"},
		{"F43 closed within a record", out("half")[:10], StageBroken, "unexpected EOF"},
		{"F43 closed within END_REQUEST", out("all") + end(0, 0)[:15], StageBroken, "unexpected EOF"},
		{"STDERR only, then closed", raw(typeStderr, 1, "x"), StageUnanswered, "unexpected EOF"},
		{"another id", raw(typeStdout, 2, "x"), StageUnanswered, "never begun"},
		{"id 256", raw(typeStdout, 256, "x"), StageUnanswered, "never begun"},
		{"management", raw(typeUnknownType, 0, "x"), StageUnanswered, "never begun"},
		{"F05 version", "\x02" + out("x")[1:], StageUnanswered, "version 2"},
		{"PARAMS from an application", raw(typeParams, 1, "x"), StageUnanswered, "type 4"},
		{"END of 7 bytes", raw(typeEndRequest, 1, "1234567"), StageUnanswered, "END_REQUEST with 7"},
		{"plain HTTP", "HTTP/1.1 200 OK\r\n\r\n", StageUnanswered, "version 72"},
		{"wrong after right", out("x") + raw(typeStdout, 3, "y"), StageBroken, "never begun"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, p := application(t, ConnOptions{})
			_ = c.Start(Responder, true, nil, []byte{})
			p.send(test.in)
			for range 3 {
				p.recv()
			}
			if err := p.nc.(closeWriter).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, err := io.ReadAll(c)
			var e *Error
			if !errors.As(err, &e) || e.Stage != test.stage || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if c.Reusable() {
				t.Error("reusable")
			}
			if _, again := c.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("then %v", again)
			}
			if err := c.Start(Responder, true, nil, nil); !errors.As(err, &e) || e.Stage != StageNotSent {
				t.Errorf("Start: %v", err)
			}
			p.closed()
		})
	}
}

// TestStatusErrors: a refusal says that the request was not taken.
func TestStatusErrors(t *testing.T) {
	for _, status := range []ProtocolStatus{CantMpxConn, Overloaded, UnknownRole} {
		c, p := application(t, ConnOptions{})
		_ = c.Start(Responder, true, nil, []byte{})
		p.send(end(0, status))
		_, err := c.Read(make([]byte, 1))
		var e *Error
		var se StatusError
		if !errors.As(err, &e) || e.Stage != StageNotSent || !errors.As(err, &se) || se.Status != status {
			t.Errorf("got %v", err)
		}
		if !c.Reusable() {
			t.Error("not reusable")
		}
	}
}
