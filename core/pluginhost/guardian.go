package pluginhost

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// GuardianArg is the argument by which the server's executable becomes the
// guardian.
const GuardianArg = "guardian"

// guardianWait bounds how long the guardian waits for what it has killed.
const guardianWait = 2 * time.Second

// GuardianMain is the whole life of the guardian. It learns from r, a pipe
// whose other end only the server holds, which process groups there are and
// which folder; when the server is gone, however it went, it kills what is
// left of them and removes the folder. It returns the exit code.
func GuardianMain(r io.Reader) int {
	// A service manager or a terminal signals all processes of the server; the
	// guardian goes last.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	groups, cells, folder := readRegister(r)
	ctx, cancel := context.WithTimeout(context.Background(), guardianWait)
	defer cancel()
	var all sync.WaitGroup
	for g := range groups {
		_ = g.Signal(syscall.SIGKILL)
		all.Go(func() { _ = g.Kill(ctx) })
	}
	for cell := range cells {
		all.Go(func() { _ = killCgroup(ctx, cell) })
	}
	all.Wait()
	// The name is checked, so that no mistake can remove anything else.
	if strings.HasPrefix(filepath.Base(folder), folderPrefix) {
		_ = os.RemoveAll(folder)
	}
	return 0
}

// readRegister follows the register until the server is gone. A line is
// "folder PATH", "add GROUP START", "remove GROUP START", or "enter PATH" and
// "leave PATH" of a control group.
func readRegister(r io.Reader) (groups map[process.Group]struct{}, cells map[string]struct{}, folder string) {
	groups, cells = make(map[process.Group]struct{}), make(map[string]struct{})
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		var g process.Group
		switch verb {
		case "folder":
			folder = rest
		case "add":
			if _, err := fmt.Sscan(rest, &g.ID, &g.Start); err == nil {
				groups[g] = struct{}{}
			}
		case "remove":
			if _, err := fmt.Sscan(rest, &g.ID, &g.Start); err == nil {
				delete(groups, g)
			}
		case "enter":
			cells[rest] = struct{}{}
		case "leave":
			delete(cells, rest)
		}
	}
	return groups, cells, folder
}
