package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What finds leftovers must have been seen to find some.
func TestHarnessFindsStrayProcesses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*exec.Cmd, string){
		"working folder": func(c *exec.Cmd, dir string) { c.Dir = dir },
		"environment":    func(c *exec.Cmd, dir string) { c.Env = []string{"FOLDER=" + dir} },
		"command line":   func(c *exec.Cmd, dir string) { c.Args = []string{"sh", "-c", "read x; : " + dir} },
	} {
		dir := t.TempDir()
		s := &server{dir: dir, log: &logBook{}}
		c := exec.Command("sh", "-c", "read x")
		change(c, dir)
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(s.family(), func(p proc) bool { return p.pid == c.Process.Pid }) {
			t.Errorf("a process with the folder in its %s is not found", name)
		}
		_ = in.Close()
		_ = c.Wait()
		if left := s.family(); len(left) > 0 {
			t.Errorf("%s: found after its end: %v", name, left)
		}
	}
}

func TestHarnessReadsTheLog(t *testing.T) {
	t.Parallel()
	b := &logBook{}
	for _, piece := range []string{`{"level":"ERROR","msg":"a`, ` b","n":1}` + "\nno ", "json\n", "rest"} {
		_, _ = b.Write([]byte(piece))
	}
	if line, ok := b.find(0, "a b"); !ok || line.level != "ERROR" || line.msg != "a b" || line.text("n") != "1" {
		t.Errorf("%+v", line)
	}
	if line, ok := b.find(1, "json"); !ok || line.attrs != nil {
		t.Errorf("%+v", line)
	}
	if _, ok := b.find(0, "rest"); ok || !strings.HasSuffix(b.String(), "rest") {
		t.Errorf("%q", b)
	}
}
