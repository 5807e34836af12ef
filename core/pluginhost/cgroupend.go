package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// killCgroup kills all processes of a group and of those below (Linux 5.14 and
// later), waits until ctx ends for their end, and removes the group and, when
// that was its last, its worker's. A group that is gone is no error.
func killCgroup(ctx context.Context, group string) error {
	// The name is checked, so that no mistake can kill anything else.
	if !strings.HasPrefix(filepath.Base(filepath.Dir(group)), cgroupPrefix) {
		return fmt.Errorf("%s is no control group of a worker", group)
	}
	if err := writeCgroup(group, "cgroup.kill", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := os.Remove(group)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(filepath.Dir(group)) // fails while another plugin process of the worker is there
			return nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing control group: %w", err)
		case <-timer.C:
		}
	}
}

// livingServer says whether the server that made a group still runs.
func livingServer(name string) bool {
	var pid int
	var start uint64
	if n, _ := fmt.Sscanf(name, cgroupPrefix+"%d-%d-", &pid, &start); n != 2 {
		return true // not ours
	}
	s, err := process.ReadStat(pid)
	return err == nil && s.Start == start && !s.Ended()
}

// sweepCgroups removes the groups that servers which were killed have left. One
// with processes cannot be removed.
func sweepCgroups(own string) {
	workers, err := filepath.Glob(filepath.Join(own, cgroupPrefix+"*.*"))
	if err != nil {
		return
	}
	for _, worker := range workers {
		if livingServer(filepath.Base(worker)) {
			continue
		}
		entries, err := os.ReadDir(worker)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				_ = os.Remove(filepath.Join(worker, e.Name()))
			}
		}
		_ = os.Remove(worker)
	}
}
