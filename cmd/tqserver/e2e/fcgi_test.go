package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// Record types and roles of the FastCGI specification, 1.0.
const (
	fcgiBegin     = 1
	fcgiEnd       = 3
	fcgiParams    = 4
	fcgiStdin     = 5
	fcgiStdout    = 6
	fcgiStderr    = 7
	fcgiGetValues = 9
	responder     = 1
)

// record is one record as it goes over the wire.
func record(kind byte, id uint16, content []byte) []byte {
	b := []byte{1, kind, byte(id >> 8), byte(id), byte(len(content) >> 8), byte(len(content)), 0, 0}
	return append(b, content...)
}

// begin is a BEGIN_REQUEST record.
func begin(id uint16, keep bool) []byte {
	flags := byte(0)
	if keep {
		flags = 1
	}
	return record(fcgiBegin, id, []byte{0, responder, flags, 0, 0, 0, 0, 0})
}

// pairs encodes name-value pairs; names may repeat, and the order stays.
func pairs(names ...string) []byte {
	var b []byte
	length := func(n int) {
		if n < 128 {
			b = append(b, byte(n))
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
		}
	}
	for i := 0; i+1 < len(names); i += 2 {
		length(len(names[i]))
		length(len(names[i+1]))
		b = append(append(b, names[i]...), names[i+1]...)
	}
	return b
}

// stream is content as records of at most 65,535 bytes with the empty one last.
func stream(kind byte, id uint16, content []byte) []byte {
	var b []byte
	for len(content) > 0 {
		n := min(len(content), 65535)
		b = append(b, record(kind, id, content[:n])...)
		content = content[n:]
	}
	return append(b, record(kind, id, nil)...)
}

// fcgiAnswer is what came back for one request.
type fcgiAnswer struct {
	stdout, stderr string
	ended          bool // END_REQUEST came
	protocolStatus byte
}

// status is the response's status, 200 when it names none.
func (a fcgiAnswer) status() int {
	head, _, _ := bytes.Cut([]byte(a.stdout), []byte("\r\n\r\n"))
	for line := range bytes.Lines(head) {
		var code int
		if n, _ := fmt.Sscanf(string(line), "Status: %d", &code); n == 1 {
			return code
		}
	}
	return 200
}

// body of the response.
func (a fcgiAnswer) body() string {
	_, body, _ := bytes.Cut([]byte(a.stdout), []byte("\r\n\r\n"))
	return string(body)
}

// readAnswer reads records until END_REQUEST or the end of the connection.
func readAnswer(r io.Reader) (a fcgiAnswer, err error) {
	var head [8]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return a, err
		}
		content := make([]byte, binary.BigEndian.Uint16(head[4:6]))
		if _, err := io.ReadFull(r, content); err != nil {
			return a, err
		}
		if _, err := io.CopyN(io.Discard, r, int64(head[6])); err != nil {
			return a, err
		}
		switch head[1] {
		case fcgiStdout:
			a.stdout += string(content)
		case fcgiStderr:
			a.stderr += string(content)
		case fcgiEnd:
			a.ended = true
			if len(content) == 8 {
				a.protocolStatus = content[4]
			}
			return a, nil
		}
	}
}

// request is a whole request with the params given by name and value.
func request(id uint16, keep bool, body []byte, params ...string) []byte {
	b := append(begin(id, keep), stream(fcgiParams, id, pairs(params...))...)
	return append(b, stream(fcgiStdin, id, body)...)
}

// fcgi sends one request over a connection of its own.
func fcgi(t *testing.T, network, address string, params ...string) (fcgiAnswer, error) {
	t.Helper()
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return fcgiAnswer{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	// A server that refuses early may close before it was told everything;
	// what it said until then counts.
	_, writeErr := c.Write(request(1, false, nil, params...))
	a, err := readAnswer(c)
	if err != nil {
		err = errors.Join(err, writeErr)
	}
	return a, err
}

// scriptParams are what a web server sends for a script of worker app.
func (s *server) scriptParams(script string, more ...string) []string {
	return append([]string{
		"SCRIPT_FILENAME", s.path("workers/app/public") + script, "SCRIPT_NAME", script, "REQUEST_URI", script,
		"REQUEST_METHOD", "GET", "QUERY_STRING", "", "SERVER_PROTOCOL", "HTTP/1.1", "GATEWAY_INTERFACE", "CGI/1.1",
		"REMOTE_ADDR", "192.0.2.7", "SERVER_NAME", "localhost", "SERVER_PORT", "80", "HTTP_HOST", "localhost",
	}, more...)
}

// fronts of raw FastCGI.
func (s *server) sockets() map[string]net.Addr {
	return map[string]net.Addr{
		"tcp":  address{"tcp", s.tcp},
		"unix": address{"unix", s.unix},
	}
}

type address struct{ network, text string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.text }
