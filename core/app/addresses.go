package app

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
)

// addresses lends the sockets of one generation.
type addresses struct {
	set *listen.Set

	mu    sync.Mutex
	taken map[string]string // address to setting
}

func (a *addresses) listen(setting, address string, file api.SocketFile) (net.Listener, error) {
	l, err := a.set.Listen(address, listen.Options{Mode: file.Mode, Group: file.Group})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return l, nil
}

// claim implements api.Claim. A setting may claim its address again.
func (a *addresses) claim(setting, address string) error {
	key := address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if absolute, err := filepath.Abs(path); err == nil {
			key = "unix:" + absolute
		}
	} else if strings.HasSuffix(address, ":0") {
		return nil // another port each time
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if other, ok := a.taken[key]; ok && other != setting {
		return fmt.Errorf("%s: the address %s is taken by %s; give each its own", setting, address, other)
	}
	a.taken[key] = setting
	return nil
}
