package fastcgi

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

const testScript = `<?php
switch ($_GET['do'] ?? '') {
case 'echo': $b = file_get_contents('php://input'); header('X-Len: '.strlen($b)); header('Set-Cookie: b=1', false); header('Set-Cookie: a=2', false); echo md5($b); break;
case 'big': for ($i = 0; $i < 300; $i++) echo str_repeat(chr(65 + $i % 26), 10000); break;
case 'err': error_log('to stderr '.str_repeat('e', 3000)); echo 'ok'; break;
case 'exit': http_response_code(404); echo 'bye'; exit(7);
case 'kill': echo str_repeat('x', 100000); flush(); posix_kill(getmypid(), 9); break;
case 'die': echo str_repeat('x', 100000); flush(); sleep(30); break;
case 'server': echo count($_SERVER), ' ', $_SERVER['BIG0'] === str_repeat('v', 60000) ? 'same' : 'other'; break;
default: echo 'hello ', $_SERVER['REQUEST_METHOD'];
}
`

// phpServers starts php-cgi and php-fpm; f gets a function that connects.
func phpServers(t *testing.T, f func(t *testing.T, script string, dial func() net.Conn)) {
	t.Helper()
	t.Run("php-cgi", func(t *testing.T) {
		php := tool(t, "php-cgi")
		dir := t.TempDir()
		sock := filepath.Join(dir, "s")
		run(t, []string{"PHP_FCGI_MAX_REQUESTS=0"}, php, "-b", sock)
		f(t, write(t, filepath.Join(dir, "a.php"), testScript), func() net.Conn { return dialUntil(t, "unix", sock) })
	})
	t.Run("php-fpm", func(t *testing.T) {
		fpm := tool(t, "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm")
		dir := t.TempDir()
		sock := filepath.Join(dir, "s")
		conf := write(t, filepath.Join(dir, "fpm.conf"), "[global]\nerror_log="+dir+"/log\ndaemonize=no\n[www]\nuser=root\ngroup=root\nlisten="+sock+"\npm=static\npm.max_children=2\n")
		run(t, nil, fpm, "-F", "-R", "-y", conf)
		f(t, write(t, filepath.Join(dir, "a.php"), testScript), func() net.Conn { return dialUntil(t, "unix", sock) })
	})
}

// php does one request and returns head, body and what came by STDERR.
func php(t *testing.T, c *Conn, script, do, body string, more ...string) (*cgi.Head, string, string) {
	t.Helper()
	var stderr strings.Builder
	c.SetStderr(func(b []byte) { stderr.Write(b) })
	p := pairs("SCRIPT_FILENAME", script, "REQUEST_METHOD", "POST", "QUERY_STRING", "do="+do,
		"CONTENT_LENGTH", strconv.Itoa(len(body)), "CONTENT_TYPE", "application/octet-stream", "REDIRECT_STATUS", "200")
	if err := c.Start(Responder, true, append(p, pairs(more...)...), []byte(body)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	head, n, err := cgi.ParseHead(b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return head, string(b[n:]), stderr.String()
}

func TestInteropPHP(t *testing.T) {
	phpServers(t, func(t *testing.T, script string, dial func() net.Conn) {
		t.Helper()
		c := NewConn(dial(), ConnOptions{})
		values, err := c.GetValues(t.Context())
		if err != nil || values["FCGI_MPXS_CONNS"] != "0" {
			t.Errorf("values %v, %v", values, err)
		}
		_ = c.NetConn().SetDeadline(time.Now().Add(30 * time.Second))
		for i, size := range []int{0, 1, 65528, 99_000, 1 << 20} {
			body := strings.Repeat("b", size)
			head, got, _ := php(t, c, script, "echo", body)
			if want := fmt.Sprintf("%x", md5.Sum([]byte(body))); got != want || head.Get("X-Len") != strconv.Itoa(size) {
				t.Errorf("body of %d: %q, %+v", size, got, head)
			}
			if !c.Reusable() || !c.Alive() {
				t.Fatalf("round %d: not reusable", i)
			}
		}
		// P17: no empty STDOUT, dirty reserved bytes; exit() shows in the status only.
		if head, got, _ := php(t, c, script, "exit", ""); head.Status != 404 || got != "bye" {
			t.Errorf("exit: %+v %q", head, got)
		}
		if _, got, _ := php(t, c, script, "big", ""); len(got) != 3_000_000 {
			t.Errorf("big: %d", len(got))
		}
		if _, got, stderr := php(t, c, script, "err", ""); got != "ok" || !strings.Contains(stderr, "to stderr "+strings.Repeat("e", 900)) {
			t.Errorf("err: %q, STDERR %.60q", got, stderr)
		}
		// P4: params of many records.
		big := []string{}
		for i := range 5 {
			big = append(big, fmt.Sprint("BIG", i), strings.Repeat("v", 60_000))
		}
		if _, got, _ := php(t, c, script, "server", "", big...); !strings.HasSuffix(got, "same") {
			t.Errorf("big params: %q", got)
		}
		if !c.Reusable() {
			t.Error("not reusable")
		}
		_ = c.Close()

		// Streaming a body, answer read at the end.
		d := NewConn(dial(), ConnOptions{})
		body := strings.Repeat("stream", 100_000)
		if err := d.Start(Responder, false, pairs("SCRIPT_FILENAME", script, "REQUEST_METHOD", "POST", "QUERY_STRING", "do=echo",
			"CONTENT_LENGTH", strconv.Itoa(len(body)), "CONTENT_TYPE", "a/b", "REDIRECT_STATUS", "200"), nil); err != nil {
			t.Fatal(err)
		}
		if n, err := d.ReadFrom(strings.NewReader(body)); n != int64(len(body)) || err != nil {
			t.Fatal(n, err)
		}
		if err := d.CloseStdin(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(d); err != nil || !strings.HasSuffix(string(b), fmt.Sprintf("%x", md5.Sum([]byte(body)))) {
			t.Errorf("%q, %v", b, err)
		}
		if d.Reusable() {
			t.Error("reusable without FCGI_KEEP_CONN")
		}
	})
}

// TestInteropP18: a worker killed in mid-answer is a broken answer, not an end.
func TestInteropP18(t *testing.T) {
	bin := tool(t, "php-cgi")
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	cmd := run(t, nil, bin, "-b", sock)
	script := write(t, filepath.Join(dir, "a.php"), testScript)
	c := NewConn(dialUntil(t, "unix", sock), ConnOptions{})
	if err := c.Start(Responder, true, pairs("SCRIPT_FILENAME", script, "REQUEST_METHOD", "GET", "QUERY_STRING", "do=die", "REDIRECT_STATUS", "200"), []byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_, err := io.ReadAll(c)
	var e *Error
	if !errors.As(err, &e) || e.Stage != StageBroken {
		t.Errorf("got %v", err)
	}
}
