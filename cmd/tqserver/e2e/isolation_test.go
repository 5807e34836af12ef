package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Two workers of two users: the script of one reaches nothing of the other's, nor of
// the server's own.
func TestWorkersOfTwoUsersAreClosedToEachOther(t *testing.T) {
	t.Parallel()
	needPHP(t)
	_, err := user.Lookup("www-data")
	games, err2 := user.Lookup("games")
	if os.Geteuid() != 0 || err != nil || err2 != nil {
		t.Skip("needs root and Debian's users www-data and games")
	}
	worker := func(path, user string) string {
		return "path: " + path + "\ntype: php\ndocument_root: public\nuser: " + user + "\nphp: {env: {OWN_SECRET: s3cret}, pool: {max_workers: 1}}\n"
	}
	dir := folder(t, options{files: map[string]string{
		"workers/app/config/worker.yaml":   worker("/", "www-data"),
		"workers/other/config/worker.yaml": worker("/other", "games"),
		"workers/other/public/pid.php":     "<?php echo getmypid();",
		"workers/other/private/data.txt":   "s3cret",
		"workers/app/public/try.php": `<?php
$tries = json_decode(file_get_contents('php://input'));
$got = [];
foreach ($tries->files as $f) { if (@file_get_contents($f) !== false) $got[] = "read $f"; }
foreach ($tries->files as $f) { if (@fopen($f, 'r+') !== false) $got[] = "opened $f for writing"; }
foreach ($tries->folders as $f) { if (@scandir($f) !== false) $got[] = "listed $f"; if (@touch("$f/x")) $got[] = "wrote into $f"; }
foreach ($tries->sockets as $f) { if (@stream_socket_client("unix://$f", $n, $e, 5) !== false) $got[] = "connected to $f"; }
foreach ($tries->pids as $p) { if (@posix_kill($p, 0)) $got[] = "may signal $p"; if (@file_get_contents("/proc/$p/environ") !== false) $got[] = "read the environment of $p"; }
echo json_encode(['own' => getenv('OWN_SECRET'), 'uid' => posix_getuid(), 'got' => $got]);`,
	}})
	private := filepath.Join(dir, "workers/other/private")
	uid, _ := strconv.Atoi(games.Uid)
	gid, _ := strconv.Atoi(games.Gid)
	for name, mode := range map[string]fs.FileMode{private: 0o700, private + "/data.txt": 0o600} {
		if err := os.Chown(name, uid, gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, options{dir: dir, sets: []string{`admin.listen=["unix:admin.sock"]`}})
	c := newClient(t)
	tries := map[string][]string{"files": {private + "/data.txt", "/etc/shadow"}, "folders": {private}, "pids": {must(t, c, 200, "GET", "http://"+s.http+"/other/pid.php", nil).body}}
	must(t, c, 200, "POST", "http://"+s.http+"/try.php", strings.NewReader(`{"files":[],"folders":[],"sockets":[],"pids":[]}`)) // so that there are two trees
	for _, p := range s.family() {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid)); err == nil && !strings.Contains(string(status), "\nUid:\t33\t") {
			tries["pids"] = append(tries["pids"], strconv.Itoa(p.pid))
		}
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket && !ownedBy(name, 33) && filepath.Base(name) != "f.sock" {
			tries["sockets"] = append(tries["sockets"], name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime, _ := filepath.Glob(dir + "/run/tq-*") // and what is in it: the plugins' folders
	inside, _ := filepath.Glob(dir + "/run/tq-*/*")
	for _, name := range append(runtime, inside...) {
		if info, err := os.Stat(name); err == nil && info.IsDir() && !ownedBy(name, 33) {
			tries["folders"] = append(tries["folders"], name)
		}
	}
	for _, kind := range []string{"admin.sock", "control.sock", "php-1.sock", "plugin"} {
		if !slices.ContainsFunc(tries["sockets"], func(name string) bool { return strings.Contains(name, kind) }) {
			t.Errorf("no %s to try in %v", kind, tries["sockets"])
		}
	}
	// Were they closed for all, their being closed to this user would say nothing.
	for _, name := range tries["sockets"] {
		if conn, err := net.Dial("unix", name); err != nil {
			t.Errorf("not even root reaches %s: %v", name, err)
		} else {
			_ = conn.Close()
		}
	}
	body, err := json.Marshal(tries)
	if err != nil {
		t.Fatal(err)
	}
	got := decode[struct {
		Own string
		UID int
		Got []string
	}](t, must(t, c, 200, "POST", "http://"+s.http+"/try.php", bytes.NewReader(body)).body)
	if got.Own != "s3cret" || got.UID != 33 || len(got.Got) > 0 {
		t.Errorf("%+v", got)
	}
	t.Logf("%d folders, %d sockets, %d processes tried", len(tries["folders"]), len(tries["sockets"]), len(tries["pids"]))
}

func ownedBy(name string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(name, &st) == nil && int(st.Uid) == uid
}
