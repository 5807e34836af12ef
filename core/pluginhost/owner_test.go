package pluginhost

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mevdschee/tqserver/plugins/faulty"
)

// nobody exists on every system; Debian's group of that user is nogroup.
const nobody = "nobody"

func TestRunsAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	as, err := lookupOwner(nobody, "")
	if err != nil {
		t.Fatal(err)
	}
	h := newTestHost(t)
	for _, settings := range []faulty.Settings{{}, {Child: true}} {
		s := spec(t, settings)
		s.User = nobody
		s.Command[0] = publicCopy(t)
		p, pool := start(t, h, s)
		set := pool.wait(t, 0)
		pid := serverPID(t, set)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		id := as.credential.Uid
		if want := fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", id, id, id, id); !strings.Contains(string(status), want) {
			t.Errorf("not %q: %s", want, status)
		}
		folder := filepath.Dir(set.Endpoints[0].Address)
		info, err := os.Stat(folder)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != id || info.Mode().Perm() != 0o700 {
			t.Errorf("%s belongs to %d, mode %v", folder, owner, info.Mode())
		}
		stop(t, p)
		// What its processes hand on to each other is nobody else's, and stays.
		shared := filepath.Join(h.Folder(), fmt.Sprintf("user-%d", id))
		if info, err = os.Stat(shared); err != nil || info.Sys().(*syscall.Stat_t).Uid != id || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", shared, info, err)
		}
	}
}

// publicCopy is the test binary where other users may execute it.
func publicCopy(t *testing.T) string {
	t.Helper()
	in, err := os.Open(executableOf(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(shortDir(t), "plugin"), os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestLookupOwner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ user, group, want string }{
		"nothing":       {},
		"unknown user":  {"no-such-user", "", `user "no-such-user"`},
		"unknown group": {"", "no-such-group", `group "no-such-group"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as, err := lookupOwner(c.user, c.group)
			if c.want == "" && (err != nil || as != nil) {
				t.Errorf("%v, %v", as, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if os.Geteuid() != 0 {
		if _, err := lookupOwner("root", ""); err == nil || !strings.Contains(err.Error(), "only a server started as root") {
			t.Errorf("root for everybody: %v", err)
		}
	}
}
