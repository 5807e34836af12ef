package app

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
)

// lend implements api.Listen by sockets that generations share.
func lend(set *listen.Set) api.Listen {
	return func(setting, address string, file api.SocketFile) (net.Listener, error) {
		l, err := set.Listen(address, listen.Options{Mode: file.Mode, Group: file.Group})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
		return l, nil
	}
}

// claims are the addresses of one generation, each with its setting.
type claims map[string]string

// claim implements api.Claim. A setting may claim its address again.
func (c claims) claim(setting, address string) error {
	key := address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if absolute, err := filepath.Abs(path); err == nil {
			key = "unix:" + absolute
		}
	} else if strings.HasSuffix(address, ":0") {
		return nil // another port each time
	}
	if other, ok := c[key]; ok && other != setting {
		return fmt.Errorf("%s: the address %s is taken by %s; give each its own", setting, address, other)
	}
	c[key] = setting
	return nil
}
