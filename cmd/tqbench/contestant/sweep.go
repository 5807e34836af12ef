package contestant

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep ends what a run left behind: processes that work in its folder or name
// it in their command line. A program that was just starting when it was told
// to stop can leave children that nobody knew of.
func Sweep(dir string) (ended int) {
	entries, _ := os.ReadDir("/proc") // without it there is nothing to be found
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		line, _ := os.ReadFile(proc + "/cmdline")
		cwd, _ := os.Readlink(proc + "/cwd")
		if bytes.Contains(line, []byte(dir+"/")) || strings.HasPrefix(cwd+"/", dir+"/") {
			if unix.Kill(pid, unix.SIGKILL) == nil {
				ended++
			}
		}
	}
	return ended
}
