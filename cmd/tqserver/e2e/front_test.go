package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// front is a way for requests to come in.
type front struct {
	name    string
	address string // host:port of HTTP, the server's own or nginx's
	byHTTP  bool   // no nginx between
	fpm     bool   // nginx names the script, as for PHP-FPM
	nginx   *nginx
}

// fronts are all ways into a server whose worker app is at /.
func (s *server) fronts(t *testing.T) []front {
	t.Helper()
	public := s.path("workers/app/public")
	n := s.startNginx(t,
		fmt.Sprintf(byRoute, "tcp"), fmt.Sprintf(byRoute, "unix"),
		fmt.Sprintf(snippet, public), fmt.Sprintf(plainFPM, public, "unix"))
	return []front{
		{name: "http", address: s.http, byHTTP: true},
		{name: "nginx-tcp", address: n.addresses[0], nginx: n},
		{name: "nginx-unix", address: n.addresses[1], nginx: n},
		{name: "nginx-fpm-snippet-tcp-kept", address: n.addresses[2], fpm: true, nginx: n},
		{name: "nginx-fpm-params-unix-closed", address: n.addresses[3], fpm: true, nginx: n},
	}
}

func (f front) url(path string) string { return "http://" + f.address + path }

// newClient follows no redirects and shares no connection with others.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       40 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a whole response.
type answer struct {
	*http.Response
	body string
}

// do sends a request and reads the whole response.
func do(c *http.Client, method, url string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		// As written: the test's spelling is part of it.
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res, string(text)}, err
}

// must is do, failing the test when there is no whole response or another
// status.
func must(t *testing.T, c *http.Client, status int, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	a, err := do(c, method, url, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %.300s", method, url, a.StatusCode, status, a.body)
	}
	return a
}

// raw sends bytes as they are over a connection of their own and reads one
// response, so that targets and heads can be what no client library sends.
func raw(t *testing.T, address, request string) (answer, error) {
	t.Helper()
	c := dial(t, "tcp", address)
	defer c.Close()
	return exchange(c, request)
}

func exchange(c net.Conn, request string) (answer, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return answer{}, err
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res, string(text)}, err
}

// target is a raw GET request for a target as it is.
func target(t string, header ...string) string {
	return "GET " + t + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(header, "\r\n"), "\r\n")
}

// seen is what srv.php says it got.
type seen struct {
	Server, Get, Post, Cookie map[string]any
	Env                       map[string]string
	PID                       int
	Prepend, Include          string
}

func (s seen) server(name string) string {
	v, ok := s.Server[name]
	if !ok {
		return "(absent)"
	}
	return fmt.Sprint(v)
}

// decode reads JSON of a script.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.500s", err, text)
	}
	return v
}
