package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Family is a set of processes and all they start, as long as their parents
// live.
type Family struct {
	proc  string // /proc, or a test's
	roots []int
}

// NewFamily is of the processes with these ids.
func NewFamily(roots ...int) *Family { return &Family{proc: "/proc", roots: roots} }

// Sample is what a family uses at one moment.
type Sample struct {
	CPU       time.Duration // since each started
	PHP       time.Duration // the part of it that php-cgi and php-fpm had
	Memory    int64         // Pss, in bytes
	PHPMemory int64         // the part of it that php-cgi and php-fpm have
	Processes int
}

// CPU samples the CPU time and counts the processes; it is quick, for use
// right before and after a measurement. Time moves from a child that ended to
// its parent, so that the difference of two samples misses nothing.
func (f *Family) CPU() (Sample, error) { return f.sample(false) }

// All samples memory too, which makes the kernel walk all page tables.
func (f *Family) All() (Sample, error) { return f.sample(true) }

func (f *Family) sample(memory bool) (Sample, error) {
	members, err := f.Members()
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	for _, m := range members {
		s.Processes++
		s.CPU += m.CPU
		if m.php() {
			s.PHP += m.CPU
		}
		if !memory || m.Zombie {
			continue
		}
		text, err := os.ReadFile(filepath.Join(f.proc, strconv.Itoa(m.PID), "smaps_rollup"))
		if gone(err) {
			continue
		}
		if err != nil {
			return Sample{}, fmt.Errorf("memory of process %d: %w", m.PID, err)
		}
		if len(text) == 0 {
			continue // it is just ending
		}
		pss, err := parsePSS(text)
		if err != nil {
			return Sample{}, fmt.Errorf("memory of process %d: %w", m.PID, err)
		}
		s.Memory += pss
		if m.php() {
			s.PHPMemory += pss
		}
	}
	return s, nil
}

// php says whether this process runs scripts: php-cgi8.2, php-fpm8.2, php-fpm.
func (s Stat) php() bool {
	return strings.HasPrefix(s.Name, "php-cgi") || strings.HasPrefix(s.Name, "php-fpm")
}

// Members are the family's processes that live now, roots first.
func (f *Family) Members() ([]Stat, error) {
	entries, err := os.ReadDir(f.proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	children := map[int][]Stat{}
	var members []Stat
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(f.proc, e.Name(), "stat"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", e.Name(), err)
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", e.Name(), err)
		}
		if slices.Contains(f.roots, s.PID) {
			members = append(members, s)
		} else {
			children[s.Parent] = append(children[s.Parent], s)
		}
	}
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i].PID]...)
	}
	return members, nil
}

// gone says that a file of /proc could not be read because its process ended:
// before the open, or after it (ESRCH).
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// Read is of one process.
func Read(pid int) (Stat, error) {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Stat{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return parseStat(line)
}
