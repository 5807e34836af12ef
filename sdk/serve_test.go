package sdk

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/sdk/control"
)

func TestStartedByHand(t *testing.T) {
	for name, env := range map[string][]string{"no cookie": {}, "wrong cookie": {control.CookieKey + "=x"}} {
		cmd := exec.Command(os.Args[0], "worker")
		cmd.Env = env
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if text := stderr.String(); !strings.Contains(text, "is a plugin of TQServer") || !strings.Contains(text, "tqserver serve") ||
			strings.Count(text, "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("%s: %q, %q", name, text, stdout.String())
		}
	}
}

func TestLifelineIsOurs(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Setenv(control.EnvLifeline, "")
	if openLifeline() != nil {
		t.Error("a lifeline out of nothing")
	}
	for _, bad := range []string{"x", "-1", "0", "2"} {
		t.Setenv(control.EnvLifeline, bad)
		if openLifeline() != nil {
			t.Errorf("descriptor %q is a lifeline", bad)
		}
	}
	text, err := json.Marshal(r.Fd())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(control.EnvLifeline, string(text))
	f := openLifeline()
	if f == nil {
		t.Fatal("no lifeline")
	}
	defer r.Close() // f and r are one descriptor
	if _, there := os.LookupEnv(control.EnvLifeline); there {
		t.Error("children would learn of the lifeline")
	}
}
