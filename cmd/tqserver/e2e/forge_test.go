package e2e

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
)

// forged would be a log line of its own, and clear a terminal, if it were
// written as it is.
const forged = "\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n\x1b[2J\x07\x9b1m\u202e"

// TestNoRequestForgesALogLine: whatever a client, a web server or a script sends
// is part of one line of the log.
func TestNoRequestForgesALogLine(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{
		"workers/app/public/say.php": `<?php error_log($_GET['text']); file_put_contents('php://stderr', $_GET['text'] . "\n"); echo 'said';`,
	}})
	s.allow("stderr-mark")
	c := newClient(t)
	c.Timeout = 20 * time.Second
	escaped := url.PathEscape(forged)
	base := "http://" + s.http
	sent := map[string]func(mark string){
		"a path":             func(mark string) { _, _ = do(c, "GET", base+"/"+mark+escaped, nil) },
		"a path of a script": func(mark string) { _, _ = do(c, "GET", base+"/"+mark+escaped+".php", nil) },
		"a header dropped": func(mark string) {
			_, _ = raw(t, s.http, target("/"+mark+"none.php", "X_"+mark+": a", "User-Agent: \x1b[2J\x9b"))
		},
		"a host": func(mark string) { _, _ = raw(t, s.http, "GET /none.php HTTP/1.1\r\nHost: "+mark+"\x1b[2J\r\n\r\n") },
		"SCRIPT_FILENAME": func(mark string) {
			_, _ = fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "SCRIPT_FILENAME", "/"+mark+forged+".php", "REQUEST_URI", "/"+mark+forged)...)
		},
		"a script in the root": func(mark string) {
			_, _ = fcgi(t, "unix", s.unix, s.scriptParams("/"+mark+forged+".php", "HTTP_HOST", forged, "REMOTE_ADDR", forged, "REQUEST_METHOD", "GET"+forged)...)
		},
		"PHP_VALUE": func(mark string) {
			_, _ = fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "PHP_VALUE", mark+forged)...)
		},
		"an error of a script": func(mark string) { must(t, c, 200, "GET", base+"/say.php?text="+mark+url.QueryEscape(forged), nil) },
	}
	mark := func(name string) string {
		return "stderr-mark-" + strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return r
			}
			return '-'
		}, name)
	}
	for name, send := range sent {
		send(mark(name))
	}
	s.log.wait(t, 10*time.Second, 0, "stderr-mark-an-error-of-a-script")
	s.log.wait(t, 10*time.Second, 0, "stderr-mark-SCRIPT-FILENAME")
	must(t, c, 200, "GET", base+"/answer.php", nil)
	told := 0
	for name := range sent {
		if _, ok := s.log.find(0, mark(name)); ok {
			told++
		}
	}
	if told < 4 { // the others are refused without a line, or hidden
		t.Errorf("only %d of %d are in the log", told, len(sent))
	}
	for _, line := range s.log.all() {
		if line.attrs == nil {
			t.Errorf("a line is no JSON: %q", line.raw)
		}
		if line.msg == "forged" {
			t.Errorf("a forged line: %q", line.raw)
		}
		if i := strings.IndexFunc(line.raw, unicode.IsControl); i >= 0 {
			t.Errorf("a control character in the log: %q", line.raw)
		}
	}
}
