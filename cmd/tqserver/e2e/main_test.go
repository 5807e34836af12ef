// Package e2e tests the server as its users meet it: the built binary, real
// php-cgi, real nginx, over real sockets. It imports nothing of the project.
//
// A missing tool skips what needs it; with TQ_E2E=require it fails, so that a
// skip cannot hide in CI. TQ_RACE=1 builds the server with the race detector.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What TestMain built; set once before any test runs.
var (
	serverBinary string // the built tqserver
	indexBinary  string // the sample Go worker
	repository   string // the project's folder
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tqbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for workers with a user of their own
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if repository, err = filepath.Abs("../../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	serverBinary, indexBinary = filepath.Join(dir, "tqserver"), filepath.Join(dir, "index")
	for output, pkg := range map[string]string{serverBinary: "./cmd/tqserver", indexBinary: "./workers/index"} {
		args := []string{"build", "-o", output}
		if raced() {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, pkg)...)
		cmd.Dir = repository
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

// raced says that the server runs under the race detector, which costs memory
// and time: limits on these do not hold then.
func raced() bool { return os.Getenv("TQ_RACE") == "1" }

// required says that a missing tool is a failure.
func required() bool { return os.Getenv("TQ_E2E") == "require" }

// skip leaves a test out for want of something, which CI does not allow.
func skip(t *testing.T, why string) {
	t.Helper()
	if required() {
		t.Fatalf("TQ_E2E=require: %s", why)
	}
	t.Skip(why)
}

// needPHP leaves the test out where no php-cgi is installed.
func needPHP(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("php-cgi"); err != nil {
		skip(t, "php-cgi is not installed")
	}
}

// nginxPath finds nginx also where a user's PATH does not lead.
func nginxPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skip(t, "nginx is not installed")
	return ""
}

// unique is a name for gates and markers, fit for a file name and a URL.
func unique(t *testing.T) string {
	t.Helper()
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
}
