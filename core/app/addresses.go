package app

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
)

// lend implements api.Listen by sockets that generations share.
func lend(set *listen.Set) api.Listen {
	return func(setting, address string, file api.SocketFile) (net.Listener, error) {
		l, err := set.Listen(address, listen.Options{Mode: file.Mode, Owner: file.Owner, Group: file.Group})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		return l, nil
	}
}

// claims are the addresses of one generation, by what they are.
type claims struct {
	where api.Where // of tqserver.yaml
	taken map[string]claim
}

// claim is an address with its setting, which a message begins with.
type claim struct{ section, setting, address string }

func newClaims(where api.Where) *claims { return &claims{where, map[string]claim{}} }

// claim implements api.Claim. A setting may claim its address again.
func (c *claims) claim(setting, address string) error {
	key := address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if absolute, err := filepath.Abs(path); err == nil {
			key = "unix:" + absolute
		}
	} else if strings.HasSuffix(address, ":0") {
		return nil // another port each time
	}
	section, _, _ := strings.Cut(setting, ".")
	setting = c.place(setting)
	if other, ok := c.taken[key]; ok && other.setting != setting {
		return fmt.Errorf("%s: the address %s is taken by %s; give each its own", setting, address, other.setting)
	}
	c.taken[key] = claim{section, setting, address}
	return nil
}

// place adds file and line to a setting of tqserver.yaml.
func (c *claims) place(setting string) string {
	if !sectionPath.MatchString(setting) {
		return setting // it has them, or nobody knows
	}
	return c.where(setting)
}

// placed adds it to what listen says.
func (c *claims) placed(listen api.Listen) api.Listen {
	return func(setting, address string, file api.SocketFile) (net.Listener, error) {
		return listen(c.place(setting), address, file)
	}
}

var sectionPath = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z0-9_.\[\]]+$`)

// inUse says which of the addresses another process has. running is the process
// that serves with this configuration already, 0 for none: what it has is not
// in the way. Where it may be that process, but nobody can tell, unsure
// makes a doubt of what else is an error. Sections that are wrong are left out: their
// addresses may not be those that were meant.
func (c *claims) inUse(running int, unsure bool, wrong []string) (doubts []string, err error) {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(c.taken)) {
		taken := c.taken[key]
		if slices.Contains(wrong, taken.section) {
			continue
		}
		used, by, err := listen.InUse(taken.address)
		isRunning := slices.ContainsFunc(by, func(h listen.Holder) bool { return h.PID == running })
		switch {
		case errors.Is(err, fs.ErrPermission):
			doubts = append(doubts, fmt.Sprintf("%s: %v; it needs root, or the capability CAP_NET_BIND_SERVICE", taken.setting, err))
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", taken.setting, err))
		case !used || isRunning:
		case len(by) > 0:
			errs = append(errs, fmt.Errorf("%s: the address %s is in use by %s; stop that, or choose another address", taken.setting, taken.address, by[0]))
		case unsure:
			doubts = append(doubts, fmt.Sprintf("%s: the address %s is in use, perhaps by the running server: only its user and root can tell", taken.setting, taken.address))
		default:
			errs = append(errs, fmt.Errorf("%s: the address %s is in use by a process of another user (as root, ss -lxtnp shows which); stop that, or choose another address", taken.setting, taken.address))
		}
	}
	return doubts, errors.Join(errs...)
}
