package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func apacheModules(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"} {
		if exists(dir + "/mod_proxy_fcgi.so") {
			return dir
		}
	}
	skip(t, "mod_proxy_fcgi of Apache is not installed")
	return ""
}

// startWebServer runs one of the programs before s until the end of the test,
// with a configuration in which words in braces are replaced, and returns the
// addresses of its sites.
func (s *server) startWebServer(t *testing.T, sites int, conf string, programs []string, args ...string) []string {
	t.Helper()
	path := webServerPath(t, programs...)
	dir := s.path("web")
	group := 65534
	if os.Getuid() == 0 {
		group = 0
	}
	words := []string{
		"{dir}", dir, "{public}", s.path("workers/app/public"), "{unix}", s.unix, "{tcp}", s.tcp, "{tcpport}", s.tcp[strings.LastIndex(s.tcp, ":")+1:],
		"{group}", itoa(group),
	}
	// A port that is free now can be taken before the web server binds it.
	for try := 1; ; try++ {
		addresses, all := make([]string, sites), words
		for i := range addresses {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addresses[i] = l.Addr().String()
			_, port, _ := net.SplitHostPort(addresses[i])
			all = append(all, "{"+strconv.Itoa(i)+"}", addresses[i], "{port"+strconv.Itoa(i)+"}", port)
			_ = l.Close()
		}
		replace := strings.NewReplacer(all...).Replace
		write(t, dir+"/conf", replace(conf))
		cmd := exec.Command(path)
		for _, arg := range args {
			cmd.Args = append(cmd.Args, replace(arg))
		}
		cmd.Dir = dir
		why := runWebServer(t, cmd, addresses...)
		if why == "" {
			return addresses
		}
		if try == 3 {
			t.Fatal(why)
		}
	}
}

// webServerPath finds one of the programs also where a user's PATH does not
// lead.
func webServerPath(t *testing.T, programs ...string) string {
	t.Helper()
	for _, name := range programs {
		for _, dir := range []string{"", "/usr/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path
			}
		}
	}
	skip(t, programs[0]+" is not installed")
	return ""
}

// runWebServer runs cmd until the end of the test, or says why it did not
// start to listen at the addresses.
func runWebServer(t *testing.T, cmd *exec.Cmd, addresses ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), append(cmd.Env, "HOME="+cmd.Dir, "XDG_DATA_HOME="+cmd.Dir, "XDG_CONFIG_HOME="+cmd.Dir, "PWD="+cmd.Dir)...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	stop := func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		becomes(10*time.Second, over)
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		<-ended
	}
	listening := func() bool {
		for _, a := range addresses {
			c, err := net.DialTimeout("tcp", a, time.Second)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	}
	if !becomes(10*time.Second, func() bool { return over() || listening() }) || over() {
		stop()
		return fmt.Sprintf("%s did not start: %v\n%s", filepath.Base(cmd.Path), cmd.ProcessState, out.String())
	}
	t.Cleanup(func() {
		if over() {
			t.Errorf("%s ended by itself: %v", filepath.Base(cmd.Path), cmd.ProcessState)
		}
		stop()
		if t.Failed() {
			text, _ := os.ReadFile(cmd.Dir + "/error.log")
			t.Logf("%s:\n%s\n%s", filepath.Base(cmd.Path), out.String(), text[max(0, len(text)-2500):])
		}
	})
	return ""
}
