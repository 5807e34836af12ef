package fastcgi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var echoParams = HandlerFunc(dump)

func empty() string { return fmt.Sprintf("stdin=0:%x", sum(nil)) }

// TestServerExactBytes shows every byte of some exchanges.
func TestServerExactBytes(t *testing.T) {
	hello := HandlerFunc(func(w *ResponseWriter, r *Request) {
		_, _ = w.WriteString("Status: 200\r\n\r\nhi")
		w.SetAppStatus(7)
	})
	tests := []struct{ name, in, out string }{
		{
			"a response",
			"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00" +
				"\x01\x04\x00\x01\x00\x00\x00\x00" + "\x01\x05\x00\x01\x00\x00\x00\x00",
			"\x01\x06\x00\x01\x00\x11\x07\x00Status: 200\r\n\r\nhi\x00\x00\x00\x00\x00\x00\x00" +
				"\x01\x06\x00\x01\x00\x00\x00\x00" +
				"\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00",
		},
		{
			"F23 an unknown role",
			"\x01\x01\x01\x00\x00\x08\x00\x00\x00\x09\x01\x00\x00\x00\x00\x00",
			"\x01\x03\x01\x00\x00\x08\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00",
		},
		{
			"F19 values asked for",
			"\x01\x09\x00\x00\x00\x22\x06\x00\x0f\x00FCGI_MPXS_CONNS\x0f\x00FCGI_MAX_UNKNWN" + "123456",
			"\x01\x0a\x00\x00\x00\x12\x06\x00\x0f\x01FCGI_MPXS_CONNS1\x00\x00\x00\x00\x00\x00",
		},
		{
			"F20 an unknown management type",
			"\x01\x4d\x00\x00\x00\x03\x00\x00abc",
			"\x01\x0b\x00\x00\x00\x08\x00\x00\x4d\x00\x00\x00\x00\x00\x00\x00",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := serve(t, hello, nil).dial()
			p.send(test.in)
			got := make([]byte, len(test.out))
			for n := 0; n < len(got); {
				m, err := p.r.Read(got[n:])
				if err != nil {
					t.Fatalf("after % x: %v", got[:n], err)
				}
				n += m
			}
			if diff := cmp.Diff(fmt.Sprintf("% x", test.out), fmt.Sprintf("% x", got)); diff != "" {
				t.Error(diff)
			}
			// The connection lives on, unharmed.
			p.send(request(3, true, ""))
			if a := p.answer(3); a.Stdout != "Status: 200\r\n\r\nhi" {
				t.Errorf("next request: %+v", a)
			}
		})
	}
}

// TestServerRefusesAndCloses is the table of bad input: the connection is
// closed with an explained, counted error.
func TestServerRefusesAndCloses(t *testing.T) {
	ok := begin(1, Responder, true)
	tests := []struct {
		name, in string
		kind     ErrorKind
		text     string
	}{
		{"F05 version 0", "\x00" + ok[1:], KindProtocol, "version 0"},
		{"F05 version 2", "\x02" + ok[1:], KindProtocol, "version 2"},
		{"F05 version 255", "\xff" + ok[1:], KindProtocol, "version 255"},
		{"an HTTP client", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", KindProtocol, "version 71"},
		{"F11 BEGIN for an active id", ok + params(1, "A", "B") + ok, KindProtocol, "active"},
		{"F12 BEGIN with id 0", begin(0, Responder, true), KindProtocol, "request id 0"},
		{"F12 STDIN with id 0", raw(typeStdin, 0, "x"), KindProtocol, "request id 0"},
		{"F12 ABORT with id 0", raw(typeAbortRequest, 0, ""), KindProtocol, "request id 0"},
		{"F16 one length only", ok + raw(typeParams, 1, "\x01") + raw(typeParams, 1, ""), KindProtocol, "params end within"},
		{"F16 half a long length", ok + raw(typeParams, 1, "\x01\x80\x00") + raw(typeParams, 1, ""), KindProtocol, "params end within"},
		{"F16 value cut", ok + raw(typeParams, 1, "\x01\x05Aabc") + raw(typeParams, 1, ""), KindProtocol, "params end within"},
		{"F17 huge lengths", ok + raw(typeParams, 1, "\xff\xff\xff\xff\xff\xff\xff\xffA") + raw(typeParams, 1, ""), KindProtocol, "params end within"},
		{"F21 unknown type of a request", ok + raw(77, 1, "x"), KindProtocol, "type 77"},
		{"F21 STDOUT from a web server", ok + raw(typeStdout, 1, "x"), KindProtocol, "type 6"},
		{"F22 BEGIN of 0 bytes", raw(typeBeginRequest, 1, ""), KindProtocol, "BEGIN_REQUEST with 0"},
		{"F22 BEGIN of 7 bytes", raw(typeBeginRequest, 1, "\x00\x01\x00\x00\x00\x00\x00"), KindProtocol, "BEGIN_REQUEST with 7"},
		{"F22 BEGIN of 9 bytes", raw(typeBeginRequest, 1, "\x00\x01\x00\x00\x00\x00\x00\x00\x00"), KindProtocol, "BEGIN_REQUEST with 9"},
		{"F22 BEGIN of 65535 bytes", raw(typeBeginRequest, 1, strings.Repeat("\x00", 65535)), KindProtocol, "BEGIN_REQUEST with 65535"},
		{"STDIN before the end of PARAMS", ok + raw(typeStdin, 1, "x"), KindProtocol, "STDIN before"},
		{"PARAMS after their end", ok + params(1, "A", "B") + raw(typeParams, 1, "x"), KindProtocol, "PARAMS after"},
		{"GET_VALUES cut", raw(typeGetValues, 0, "\x05\x00FC"), KindProtocol, "GET_VALUES"},
		{"GET_VALUES too large", raw(typeGetValues, 0, strings.Repeat("\x01\x00x", 20000)), KindProtocol, "GET_VALUES"},
		{"S22 params without end", ok + strings.Repeat(raw(typeParams, 1, strings.Repeat("\x01\x01xy", 16000)), 40), KindProtocol, "without end"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A handler that runs must be told (F28), or the rig does not end.
			g := serve(t, HandlerFunc(func(_ *ResponseWriter, r *Request) { <-r.Context().Done() }), nil)
			p := g.dial()
			_, _ = p.nc.Write([]byte(test.in))
			p.closed()
			g.reported(test.kind, test.text)
			// The server lives on.
			_ = g.dial()
		})
	}
}

// TestServerAccepts is the table of unusual, valid input.
func TestServerAccepts(t *testing.T) {
	long := strings.Repeat("v", 128)
	padded := func(s string, n int) string {
		b := []byte(s)
		b[6] = byte(n)
		b[7] = 0xaa // F07: reserved
		return string(b) + strings.Repeat("\x01", n)
	}
	ok := begin(1, Responder, true)
	end := raw(typeParams, 1, "") + raw(typeStdin, 1, "")
	one := `role=1 params="A":"B", ` + empty()
	tests := []struct{ name, in, want string }{
		{"F06 padding 255", padded(ok, 255) + padded(raw(typeParams, 1, block("A", "B")), 255) + padded(raw(typeParams, 1, ""), 255) + padded(raw(typeStdin, 1, ""), 7), one},
		{"F09 records of inactive ids", raw(typeStdin, 7, "x") + raw(typeAbortRequest, 7, "") + raw(typeParams, 7, "zz") + raw(99, 8, "") + ok + raw(typeStdin, 7, "x") + raw(typeParams, 1, block("A", "B")) + end, one},
		{"F07 reserved bytes and flags", "\x01\x01\x00\x01\x00\x08\x00\xff\x00\x01\xff\xff\xff\xff\xff\xff" + raw(typeParams, 1, block("A", "B")) + end, one},
		{"F14 four-byte form of short lengths", ok + raw(typeParams, 1, "\x80\x00\x00\x01\x80\x00\x00\x01AB") + end, one},
		{"F14 127 and 128", ok + raw(typeParams, 1, block("A", long[:127], "B", long)) + end, fmt.Sprintf(`role=1 params="A":"%s","B":"%s", %s`, long[:127], long, empty())},
		{"F15 empty value kept, empty name dropped", ok + raw(typeParams, 1, block("A", "", "", "x", "\xff", "\x80\r\n")) + end, `role=1 params="A":"","\xff":"\x80\r\n", ` + empty()},
		{"no params", ok + end, "role=1 params= " + empty()},
		{"pair over two records", ok + raw(typeParams, 1, "\x01") + raw(typeParams, 1, "\x01A") + raw(typeParams, 1, "B") + end, one},
		{"F34 content of 65535 bytes", ok + raw(typeParams, 1, "") + padded(raw(typeStdin, 1, strings.Repeat("x", 65535)), 255) + raw(typeStdin, 1, ""), fmt.Sprintf("role=1 params= stdin=65535:%x", sum(bytes.Repeat([]byte("x"), 65535)))},
		{"F37 DATA for a responder", ok + raw(typeParams, 1, block("A", "B")) + raw(typeParams, 1, "") + raw(typeData, 1, "xx") + raw(typeStdin, 1, "") + raw(typeData, 1, ""), one},
		{"F37 a filter", begin(1, Filter, true) + params(1, "A", "B") + streamOf(typeStdin, 1, "in") + streamOf(typeData, 1, "da", "ta"), fmt.Sprintf(`role=3 params="A":"B", stdin=2:%x data=4:%x err=<nil>`, sum([]byte("in")), sum([]byte("data")))},
		{"F36 an authorizer", begin(1, Authorizer, true) + params(1, "A", "B") + raw(typeStdin, 1, ""), `role=2 params="A":"B", ` + empty()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := serve(t, echoParams, func(s *Server) { s.Roles = []Role{Responder, Authorizer, Filter} })
			p := g.dial()
			p.send(test.in)
			if a := p.answer(1); a.Stdout != test.want {
				t.Errorf("got  %.200q\nwant %.200q", a.Stdout, test.want)
			}
			// F10: the id may be used again at once.
			p.send(request(1, false, "", "A", "B"))
			if a := p.answer(1); a.Stdout != one {
				t.Errorf("next request: %q", a.Stdout)
			}
			p.closed()
			g.quiet()
		})
	}
}

// TestServerRefusesParams: a request whose params are refused gets a response,
// and the connection lives.
func TestServerRefusesParams(t *testing.T) {
	many := make([]string, 0, 20)
	for i := range 10 {
		many = append(many, fmt.Sprint("N", i), "")
	}
	tests := []struct {
		name   string
		params []string
		want   string
	}{
		{"F31 NUL in a value", []string{"SCRIPT_FILENAME", "/a.php\x00.jpg"}, "Status: 400 Bad Request"},
		{"F31 NUL in a name", []string{"A\x00", "x"}, "Status: 400 Bad Request"},
		{"S22 too many", many, "Status: 431 Request Header Fields Too Large"},
		{"S22 too large", []string{"A", strings.Repeat("x", 5000)}, "Status: 431 Request Header Fields Too Large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := serve(t, echoParams, func(s *Server) { s.MaxParams, s.MaxParamsSize = 9, 4096 })
			p := g.dial()
			p.send(request(1, true, "", test.params...))
			if a := p.answer(1); !strings.HasPrefix(a.Stdout, test.want) {
				t.Errorf("got %q", a.Stdout)
			}
			g.reported(KindParams, "")
			p.send(request(1, true, "", "A", "B"))
			if a := p.answer(1); !strings.HasPrefix(a.Stdout, "role=1") {
				t.Errorf("next request: %q", a.Stdout)
			}
		})
	}
}

// TestF17DeclaredLengthsCostNothing: lengths of 2 GiB allocate nothing.
func TestF17DeclaredLengthsCostNothing(t *testing.T) {
	wire := "\xff\xff\xff\xff\xff\xff\xff\xffA"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1000 {
		if _, err := parseParams(nil, wire, 10); err == nil {
			t.Fatal("no error")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// TestF13ParamsCutAnywhere cuts a PARAMS stream at every offset into two
// records, and into records of one byte.
func TestF13ParamsCutAnywhere(t *testing.T) {
	whole := block("SCRIPT_FILENAME", "/srv/a.php", "LONG", strings.Repeat("l", 200), "EMPTY", "")
	p := serve(t, echoParams, nil).dial()
	p.send(begin(1, Responder, true) + streamOf(typeParams, 1, whole) + raw(typeStdin, 1, ""))
	want := p.answer(1)
	for cut := 1; cut < len(whole); cut++ {
		p.send(begin(1, Responder, true) + streamOf(typeParams, 1, whole[:cut], whole[cut:]) + raw(typeStdin, 1, ""))
		if a := p.answer(1); a != want {
			t.Fatalf("cut at %d: %+v", cut, a)
		}
	}
	p.send(begin(1, Responder, true) + streamOf(typeParams, 1, strings.Split(whole, "")...) + raw(typeStdin, 1, ""))
	if a := p.answer(1); a != want {
		t.Fatalf("single bytes: %+v", a)
	}
}

// TestF10IDs uses the ends of the range, in any order.
func TestF10IDs(t *testing.T) {
	p := serve(t, echoParams, nil).dial()
	for _, id := range []uint16{1, 1, 65535, 256, 255, 65535, 2} {
		p.send(request(id, true, "", "ID", strconv.FormatUint(uint64(id), 10)))
		if a := p.answer(id); !strings.Contains(a.Stdout, fmt.Sprintf("%q:\"%d\"", "ID", id)) {
			t.Fatalf("id %d: %q", id, a.Stdout)
		}
	}
}

// TestF18KeepConn: many requests with the flag, and the end of the connection
// without it.
func TestF18KeepConn(t *testing.T) {
	g := serve(t, echoParams, nil)
	p := g.dial()
	for i := range 1000 {
		body := strings.Repeat("b", i%100)
		p.send(request(1, true, body, "N", strconv.Itoa(i)))
		want := fmt.Sprintf(`role=1 params="N":"%d", stdin=%d:%x`, i, len(body), sum([]byte(body)))
		if a := p.answer(1); a.Stdout != want {
			t.Fatalf("request %d: %q", i, a.Stdout)
		}
	}
	p.send(request(1, false, ""))
	p.answer(1)
	p.closed()
	if st := g.Stats(); st.Accepted != 1 || st.Requests != 1001 {
		t.Errorf("stats %+v", st)
	}
	g.quiet()
}

// TestF04ManyConnections: idle connections do not hinder one that works.
func TestF04ManyConnections(t *testing.T) {
	g := serve(t, echoParams, nil)
	for range 200 {
		g.dial()
	}
	p := g.dial()
	p.send(request(1, true, "x"))
	p.answer(1)
	eventually(t, "201 connections", func() bool { return g.Stats().Conns == 201 })
}

// TestF29EmptyResponse: a handler that writes nothing still ends STDOUT.
func TestF29EmptyResponse(t *testing.T) {
	p := serve(t, HandlerFunc(func(*ResponseWriter, *Request) {}), nil).dial()
	p.send(request(9, true, ""))
	want := []record{{typeStdout, 9, ""}, {typeEndRequest, 9, "\x00\x00\x00\x00\x00\x00\x00\x00"}}
	if diff := cmp.Diff(want, []record{p.recv(), p.recv()}); diff != "" {
		t.Error(diff)
	}
}

// TestLargeResponses: sizes around the limits of a record and of the buffer
// arrive whole (F40 for the answering side).
func TestLargeResponses(t *testing.T) {
	sizes := []int{1, 7, 8, outMax - 1, outMax, outMax + 1, 65527, 65528, 65529, 65535, 65536, 99000, 131070, batch - 1, batch, batch + 9, 3*batch + 5}
	for _, how := range []string{"Write", "ReadFrom", "pieces"} {
		t.Run(how, func(t *testing.T) {
			content := make([]byte, 3*batch+5)
			for i := range content {
				content[i] = byte(rand.Uint32())
			}
			g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
				var n int
				_, _ = fmt.Sscan(r.Params.Get("SIZE"), &n)
				switch how {
				case "Write":
					_, _ = w.Write(content[:n])
				case "ReadFrom":
					_, _ = w.WriteString("")
					_, _ = w.ReadFrom(bytes.NewReader(content[:n]))
				default:
					for b := content[:n]; len(b) > 0; {
						m := min(len(b), 1+len(b)/3)
						_, _ = w.Write(b[:m])
						b = b[m:]
					}
				}
			}), nil)
			p := g.dial()
			for _, n := range sizes {
				p.send(request(1, true, "", "SIZE", strconv.Itoa(n)))
				if a := p.answer(1); a.Stdout != string(content[:n]) {
					t.Errorf("%d bytes: got %d", n, len(a.Stdout))
				}
			}
			g.quiet()
		})
	}
}
