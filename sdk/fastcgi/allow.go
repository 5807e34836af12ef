package fastcgi

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// AllowAddrs returns a Server.AllowConn that takes TCP peers of the addresses
// and networks in list only, separated by commas, as FCGI_WEB_SERVER_ADDRS
// (section 3.2) and PHP-FPM's listen.allowed_clients are. Peers at unix sockets
// are allowed: the file's mode guards those.
func AllowAddrs(list string) (func(net.Conn) bool, error) {
	var allowed []netip.Prefix
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if prefix, err := netip.ParsePrefix(item); err == nil {
			allowed = append(allowed, prefix.Masked())
			continue
		}
		addr, err := netip.ParseAddr(item)
		if err != nil {
			return nil, fmt.Errorf("allowed address %q: %w", item, err)
		}
		addr = addr.Unmap()
		allowed = append(allowed, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return func(nc net.Conn) bool {
		switch peer := nc.RemoteAddr().(type) {
		case *net.UnixAddr:
			return true
		case *net.TCPAddr:
			addr := peer.AddrPort().Addr().Unmap().WithZone("")
			for _, prefix := range allowed {
				if prefix.Contains(addr) {
					return true
				}
			}
		}
		return false
	}, nil
}
