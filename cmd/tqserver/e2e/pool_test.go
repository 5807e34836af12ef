package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallPool is worker app with one child and short patience.
func smallPool(pool string) map[string]string {
	return map[string]string{"workers/app/config/worker.yaml": "path: /\ntype: php\ndocument_root: public\nphp:\n  pool: {max_workers: 1, " + pool + "}\n"}
}

func TestFullQueueIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: smallPool("queue: {length: 1, wait: 500ms}")})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			gate := unique(t)
			running := later(c, f.url("/gate.php?name="+gate))
			s.atGate(t, gate)
			// Of these two one waits in vain, one finds the queue full.
			begun := time.Now()
			waits := []func() (answer, error){later(c, f.url("/answer.php")), later(c, f.url("/answer.php"))}
			for _, wait := range waits {
				a, err := wait()
				if err != nil || a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
					t.Errorf("%v %v", err, a.Response)
				}
			}
			if took := time.Since(begun); took < 400*time.Millisecond || took > 15*time.Second {
				t.Errorf("the queue's wait of 500ms took %v", took)
			}
			s.open(t, gate)
			if a, err := running(); err != nil || a.StatusCode != 200 {
				t.Errorf("the request that ran: %v %v", err, a.Response)
			}
			must(t, c, 200, "GET", f.url("/answer.php"), nil)
		})
	}
}

func TestRequestTimeoutIsAnsweredWith504(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: smallPool("request_timeout: 300ms")})
	s.allow("request_timeout")
	for _, f := range s.fronts(t)[:3] {
		t.Run(f.name, func(t *testing.T) {
			gate := unique(t)
			begun := time.Now()
			must(t, newClient(t), http.StatusGatewayTimeout, "GET", f.url("/gate.php?name="+gate), nil)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("504 after %v", took)
			}
			s.open(t, gate)
			must(t, newClient(t), 200, "GET", f.url("/answer.php"), nil)
		})
	}
}

// A client that leaves in the middle of a response, or before it, gives its
// child back, at the latest when the script ends.
func TestClientThatLeavesFreesTheChild(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: smallPool("queue: {length: 10, wait: 3s}")})
	for _, f := range s.fronts(t)[:3] {
		for name, query := range map[string]string{"before the response": "", "in the response": "&unbuffered&before=1000"} {
			t.Run(f.name+" "+name, func(t *testing.T) {
				gate := unique(t)
				c := dial(t, "tcp", f.address)
				if _, err := io.WriteString(c, target("/gate.php?name="+gate+query, "", "")); err != nil {
					t.Fatal(err)
				}
				s.atGate(t, gate)
				if query != "" {
					if _, err := io.ReadFull(c, make([]byte, 500)); err != nil {
						t.Fatal(err)
					}
				}
				_ = c.Close()
				s.open(t, gate)
				must(t, newClient(t), 200, "GET", f.url("/answer.php"), nil)
			})
		}
		t.Run(f.name+" in a large response", func(t *testing.T) {
			c := dial(t, "tcp", f.address)
			if _, err := io.WriteString(c, target("/big.php?blocks=2000", "", "")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 500)); err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
			must(t, newClient(t), 200, "GET", f.url("/answer.php"), nil)
		})
	}
}

func TestRequestOfAClientThatLeftTheQueueNeverRuns(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: smallPool("queue: {length: 10, wait: 10s}")})
	for _, f := range s.fronts(t)[:3] {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			gate := unique(t)
			running := later(c, f.url("/gate.php?name="+gate))
			s.atGate(t, gate)
			mark := s.log.len()
			ctx, cancel := context.WithCancel(t.Context())
			left := make(chan error, 1)
			go func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url("/gate.php?name="+gate+"left"), nil)
				if err == nil {
					var res *http.Response
					if res, err = c.Do(req); err == nil {
						_ = res.Body.Close()
					}
				}
				left <- err
			}()
			// It has come as far as the queue when the one after it has been asked for.
			_ = becomes(100*time.Millisecond, func() bool { return false })
			cancel()
			if err := <-left; err == nil {
				t.Error("an answer from a busy pool")
			}
			s.log.wait(t, 5*time.Second, mark, "the client left")
			s.open(t, gate)
			if a, err := running(); err != nil || a.StatusCode != 200 {
				t.Errorf("the request that ran: %v %v", err, a.Response)
			}
			must(t, c, 200, "GET", f.url("/answer.php"), nil)
			if exists(s.data(gate + "left.pid")) {
				t.Error("the script ran for a client that had left")
			}
		})
	}
}

func TestChildrenShareOneOpcache(t *testing.T) {
	t.Parallel()
	needPHP(t)
	dir := folder(t, options{files: map[string]string{"workers/app/public/opcache.php": `<?php
usleep(50000);
if (!function_exists('opcache_get_status')) { exit('{}'); }
$s = opcache_get_status(false);
echo json_encode(['pid' => getmypid(), 'misses' => $s['opcache_statistics']['misses'], 'cached' => $s['opcache_statistics']['num_cached_scripts']]);
`}})
	old := time.Now().Add(-time.Hour) // opcache.file_update_protection: a file just written is not cached
	if err := os.Chtimes(filepath.Join(dir, "workers/app/public/opcache.php"), old, old); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{dir: dir})
	c := newClient(t)
	type status struct{ PID, Misses, Cached int }
	var mu sync.Mutex
	seen := map[int]status{}
	for range 2 { // in the second round every child finds what one has compiled
		clear(seen)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				a, err := do(c, "GET", "http://"+s.http+"/opcache.php", nil)
				var got status
				if err == nil {
					err = json.Unmarshal([]byte(a.body), &got)
				}
				if err != nil {
					t.Errorf("%v %.100q", err, a.body)
					return
				}
				mu.Lock()
				seen[got.PID] = got
				mu.Unlock()
			})
		}
		clients.Wait()
	}
	if _, off := seen[0]; off {
		t.Skip("php-cgi has no opcache")
	}
	if len(seen) < 4 {
		t.Fatalf("4 requests at once met %d children", len(seen))
	}
	for pid, got := range seen {
		if got.Cached < 1 || got.Misses > 4 { // all four may have compiled it at the same moment
			t.Errorf("child %d: %+v", pid, got)
		}
	}
}

func TestWorkerRunsAsItsUser(t *testing.T) {
	t.Parallel()
	needPHP(t)
	as, err := user.Lookup("www-data")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("needs root and the user www-data")
	}
	s := start(t, options{files: map[string]string{
		"workers/app/config/worker.yaml": "path: /\ntype: php\ndocument_root: public\nuser: www-data\nphp: {pool: {max_workers: 1}}\n",
		"workers/app/public/who.php": `<?php echo json_encode(['ids' => implode(' ', [posix_getuid(), posix_geteuid(), posix_getgid(), posix_getegid()]),
'groups' => posix_getgroups(), 'root' => @file_get_contents('/etc/shadow') !== false]);`,
	}})
	got := decode[struct {
		IDs    string
		Groups []int
		Root   bool
	}](t, must(t, newClient(t), 200, "GET", "http://"+s.http+"/who.php", nil).body)
	if want := fmt.Sprintf("%[1]s %[1]s %[2]s %[2]s", as.Uid, as.Gid); got.IDs != want || got.Root {
		t.Errorf("%+v, want %s", got, want)
	}
	for _, group := range got.Groups {
		if group == 0 {
			t.Error("the process is still in root's group")
		}
	}
	tree := s.onePHP(t)
	for _, p := range append(tree.children, tree.parent) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
		if err != nil || !strings.Contains(string(status), "\nUid:\t"+as.Uid+"\t"+as.Uid+"\t"+as.Uid) {
			t.Errorf("%v does not run as www-data: %v", p, err)
		}
	}
	s.allow("php-cgi parent")
	kill(t, tree.parent) // the one after it, too
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/who.php", nil)
}

// A deployment switches a link; no restart, no mix of old and new.
func TestDocumentRootMayBeALinkThatIsSwitched(t *testing.T) {
	t.Parallel()
	needPHP(t)
	files := map[string]string{"workers/app/config/worker.yaml": "path: /\ntype: php\ndocument_root: current/public\nphp: {admin_settings: {memory_limit: 99M}, pool: {max_workers: 2}}\n"}
	for _, release := range []string{"1", "2"} {
		files["workers/app/releases/"+release+"/public/release.php"] = "<?php ini_set('memory_limit', '2G'); echo '" + release + " ', ini_get('memory_limit');"
		files["workers/app/releases/"+release+"/public/release.txt"] = release
	}
	dir := folder(t, options{files: files})
	app := filepath.Join(dir, "workers/app")
	if err := os.Symlink("releases/1", app+"/current"); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{dir: dir})
	n := s.startNginx(t, fmt.Sprintf(byRoute, "tcp"), fmt.Sprintf(plainFPM, app+"/current/public", "unix"),
		fmt.Sprintf(strings.Replace(plainFPM, "$document_root$", "$realpath_root$", 1), app+"/current/public", "unix"))
	for _, release := range []string{"1", "2"} {
		for _, at := range append(n.addresses, s.http) {
			if a := must(t, newClient(t), 200, "GET", "http://"+at+"/release.php", nil); a.body != release+" 99M" {
				t.Errorf("release %s, with the admin setting 99M: %q", release, a.body)
			}
		}
		if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/release.txt", nil); a.body != release {
			t.Errorf("release %s: static file of %q", release, a.body)
		}
		if release == "1" {
			if err := os.Symlink("releases/2", app+"/next"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(app+"/next", app+"/current"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
