package fastcgi

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests here run software that nobody of this project wrote. A tool that is
// missing skips its test, unless TQ_E2E=require.

// tool returns the first of names that is installed.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path
			}
		}
	}
	if os.Getenv("TQ_E2E") == "require" {
		t.Fatalf("%v is not installed, and TQ_E2E=require", names)
	}
	t.Skipf("%v is not installed", names)
	return ""
}

// run starts a program in a process group of its own, which ends with the test.
func run(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		timer := time.AfterFunc(2*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		timer.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(name), output.String())
		}
	})
	return cmd
}

// dialUntil connects to a program that has just been started.
func dialUntil(t *testing.T, network, address string) net.Conn {
	t.Helper()
	var nc net.Conn
	eventually(t, "listening at "+address, func() bool {
		var err error
		nc, err = net.Dial(network, address)
		return err == nil
	})
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return nc
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// site is what the web servers are put in front of.
type site struct{ started, ended chan string }

func newSite() *site { return &site{make(chan string, 1), make(chan string, 1)} }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch q.Get("do") {
	case "echo":
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %x %v", q.Get("id"), md5.Sum(b), err)
	case "big":
		for i := range 300 {
			_, _ = w.Write(bytes.Repeat([]byte{byte('A' + i%26)}, 10_000))
		}
	case "wait":
		s.started <- "started"
		select {
		case <-r.Context().Done():
			s.ended <- "ended"
		case <-time.After(patience):
			s.ended <- "not ended"
		}
	case "cut":
		_, _ = w.Write(make([]byte, 100_000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "early":
		w.WriteHeader(413)
	default:
		fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
	}
}

func fetch(t *testing.T, c *http.Client, base, query, body string) (int, string, error) {
	t.Helper()
	method, in := http.MethodGet, io.Reader(nil)
	if body != "" {
		method, in = http.MethodPost, strings.NewReader(body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+"/x?"+query, in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// visit runs the same visits through any web server.
func visit(t *testing.T, g *rig, s *site, base string, atOnce int, seesCut, full bool) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer c.CloseIdleConnections()
	eventually(t, "the web server", func() bool { code, _, err := fetch(t, c, base, "", ""); return err == nil && code == 200 })
	if _, got, err := fetch(t, c, base, "a=b", ""); got != "GET /x?a=b" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, size := range []int{1, 65_528, 99_000, 5 << 20} {
		body := strings.Repeat("u", size)
		if _, got, err := fetch(t, c, base, "do=echo&id=7", body); got != fmt.Sprintf("7 %x <nil>", md5.Sum([]byte(body))) || err != nil {
			t.Errorf("upload of %d: %q, %v", size, got, err)
		}
	}
	if _, got, err := fetch(t, c, base, "do=big", ""); len(got) != 3_000_000 || err != nil {
		t.Errorf("big: %d, %v", len(got), err)
	}
	if full {
		if code, _, err := fetch(t, c, base, "do=early", strings.Repeat("u", 3<<20)); code != 413 || err != nil {
			t.Errorf("early answer: %d, %v", code, err)
		}
	}
	if code, got, err := fetch(t, c, base, "do=cut", ""); err == nil && code == 200 && seesCut {
		t.Errorf("a cut response looks whole: %d bytes", len(got))
	}
	// Many at once.
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() {
			body := fmt.Sprint("body of ", i)
			if _, got, err := fetch(t, c, base, fmt.Sprint("do=echo&id=", i), body); got != fmt.Sprintf("%d %x <nil>", i, md5.Sum([]byte(body))) || err != nil {
				t.Errorf("number %d: %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	if !full {
		return
	}
	// A client that leaves.
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+"/x?do=wait", nil)
	wg.Go(func() {
		if resp, err := c.Do(req); err == nil {
			resp.Body.Close()
			t.Error("an aborted request was answered")
		}
	})
	within(t, "start", s.started)
	cancel()
	if got := within(t, "the abort", s.ended); got != "ended" {
		t.Errorf("the context has %s", got)
	}
	wg.Wait()
	eventually(t, "nothing running", func() bool { return g.Stats().Active == 0 })
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestInteropNginx(t *testing.T) {
	nginx := tool(t, "nginx")
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for _, keep := range []string{"on", "off"} {
			t.Run("fastcgi_keep_conn "+keep, func(t *testing.T) {
				s := newSite()
				g := serve(t, HTTPHandler(s, HTTPOptions{}), nil)
				upstream := g.l.Addr().String()
				if g.l.Addr().Network() == "unix" {
					upstream = "unix:" + upstream
				}
				dir, address := t.TempDir(), freePort(t)
				conf := write(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events { worker_connections 512; }
http {
  access_log off; client_max_body_size 0; client_body_temp_path %[1]s/b; fastcgi_temp_path %[1]s/f; proxy_temp_path %[1]s/p; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream app { server %[2]s; keepalive 16; }
  server { listen %[3]s; location / {
    fastcgi_pass app; fastcgi_keep_conn %[4]s;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri; fastcgi_param QUERY_STRING $query_string;
    fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param SERVER_PROTOCOL $server_protocol;
    fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param REMOTE_PORT $remote_port; fastcgi_param SERVER_NAME $server_name;
  } }
}`, dir, upstream, address, keep))
				user := []string{"-p", dir, "-c", conf}
				if os.Getuid() == 0 {
					// The worker has to get at the test's folders.
					user = append(user, "-g", "user root;")
				}
				run(t, nil, nginx, user...)
				// Without keep_conn nginx takes a closed connection for the end, as
				// long as it was not reset, which a unix socket cannot be.
				visit(t, g, s, "http://"+address, 100, keep == "on" || g.l.Addr().Network() == "tcp", true)
				g.mu.Lock()
				defer g.mu.Unlock()
				for _, e := range g.errors {
					// What aborted clients leave is no protocol error.
					if e.Kind == KindProtocol || e.Kind == KindTimeout || e.Kind == KindPanic {
						t.Error(e)
					}
				}
			})
		}
	})
}

// TestInteropHAProxy: the one web server that multiplexes, aborts and asks for
// values.
func TestInteropHAProxy(t *testing.T) {
	haproxy := tool(t, "haproxy")
	s := newSite()
	g := serveTCP(t, HTTPHandler(s, HTTPOptions{}), nil)
	dir, address := t.TempDir(), freePort(t)
	conf := write(t, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(`global
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option abortonclose
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind %s
  default_backend b
backend b
  use-fcgi-app php
  http-reuse always
  server s %s proto fcgi max-reuse 10000 pool-max-conn 2
fcgi-app php
  docroot /srv
  option keep-conn
  option mpxs-conns
  option get-values
  option max-reqs 50
`, address, g.l.Addr()))
	run(t, nil, haproxy, "-db", "-f", conf)
	// HAProxy 2.6.12 does not pass on that a client has left before the answer,
	// and stalls for its own timeout after an answer before the end of the body.
	visit(t, g, s, "http://"+address, 20, true, false)
	if st := g.Stats(); st.Errors[KindProtocol] > 0 || st.Accepted >= st.Requests {
		t.Errorf("stats %+v", st)
	}
}

// TestInteropCGIFCGI: the client of the FastCGI developer's kit.
func TestInteropCGIFCGI(t *testing.T) {
	bin := tool(t, "cgi-fcgi")
	g := serve(t, HTTPHandler(&site{}, HTTPOptions{}), nil)
	for _, body := range []string{"", "a body"} {
		cmd := exec.CommandContext(t.Context(), bin, "-bind", "-connect", g.l.Addr().String())
		cmd.Env = []string{"REQUEST_METHOD=POST", "REQUEST_URI=/x?do=echo&id=3", "SERVER_NAME=x", fmt.Sprint("CONTENT_LENGTH=", len(body))}
		cmd.Stdin = strings.NewReader(body)
		b, err := cmd.Output()
		if err != nil || !strings.HasSuffix(string(b), fmt.Sprintf("3 %x <nil>", md5.Sum([]byte(body)))) {
			t.Errorf("%q, %v", b, err)
		}
	}
	g.quiet()
}
