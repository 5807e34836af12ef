package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
)

// The checksum is checked before every start: a plugin whose file was changed
// while it ran is not started again.
func TestChecksum(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile(executableOf(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shortDir(t), "plugin")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	s := spec(t, faulty.Settings{})
	s.Command[0], s.SHA256 = path, hex.EncodeToString(sum[:])
	s.Env = []string{"FAULTY_TEST=yes", "TZ=Mars/Base"}
	h := newTestHost(t)
	p, pool := start(t, h, s)
	env, err := request(pool.wait(t, 0).Endpoints[0], "/env")
	if err != nil || !strings.Contains(env, "FAULTY_TEST=yes\n") || strings.Count(env, "TZ=") != 1 || !strings.Contains(env, "TZ=Mars/Base") {
		t.Errorf("%q, %v", env, err)
	}
	// Another file in its place, as an update puts it: a running program's own
	// cannot be written.
	if err := os.WriteFile(path+".new", append(program, 0), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	kill(t, p.State().PID, syscall.SIGKILL)
	eventually(t, "the refusal", func() bool {
		s := p.State()
		return s.State == api.WorkerDown && strings.Contains(s.Reason, "its sha256 setting says")
	})
	stop(t, p)
	// And so at the first start.
	began := time.Now()
	if _, err := h.Start(t.Context(), s, api.PluginEvents{}); err == nil || !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
