package contestant

import (
	"os/exec"
	"testing"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, change := range map[string]func(*exec.Cmd){
		"working folder": func(c *exec.Cmd) { c.Dir = dir },
		"command line":   func(c *exec.Cmd) { c.Args = append(c.Args, dir+"/php.ini") },
	} {
		c := exec.CommandContext(t.Context(), "sh", "-c", "read x")
		change(c)
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if n := Sweep(dir); n != 1 {
			t.Errorf("%s: %d processes ended", name, n)
		}
		_ = in.Close()
		if err := c.Wait(); err == nil {
			t.Errorf("%s: it ended by itself", name)
		}
		if n := Sweep(dir); n != 0 {
			t.Errorf("%s: %d were left", name, n)
		}
	}
}
