package listen

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder is a process that listens on an address.
type Holder struct {
	PID  int
	Name string
}

// String names the process.
func (h Holder) String() string { return fmt.Sprintf("process %d (%s)", h.PID, h.Name) }

// InUse says whether somebody listens on address, and as far as it may be seen,
// who: other users' processes only root sees. Nothing is disturbed: no connection
// is made, and nothing listens meanwhile. The error says why nobody could listen
// there, or that the address is none.
func InUse(address string) (used bool, by []Holder, err error) {
	_, path, isUnix, err := parse(address)
	if err != nil {
		return false, nil, err
	}
	var sockets []socket
	if isUnix {
		sockets, err = unixListeners(path)
	} else {
		sockets, err = tcpListeners(address)
	}
	if err != nil {
		return false, nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	for _, s := range sockets {
		by = append(by, s.holders...)
	}
	return len(sockets) > 0, by, nil
}

// socket is one that listens.
type socket struct {
	inode   string
	holders []Holder
}

// tcpListeners binds a socket that never listens: with SO_REUSEADDR that fails
// only when another one does (socket(7)).
func tcpListeners(address string) ([]socket, error) {
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if to.Port == 0 {
		return nil, nil
	}
	ip := to.AddrPort().Addr().Unmap()
	if !ip.IsValid() {
		ip = netip.IPv6Unspecified() // what package net listens on for ":80", or on IPv4's where there is no IPv6
	}
	err = tryBind(ip, to.Port, to.IP == nil)
	if to.IP == nil && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		err = tryBind(netip.IPv4Unspecified(), to.Port, false)
	}
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("this machine has no such address (ip address shows which it has): %w", err)
	case !errors.Is(err, unix.EADDRINUSE):
		return nil, err
	}
	var inodes []string
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		inodes = append(inodes, tcpInodes(file, ip, to.Port)...)
	}
	if len(inodes) == 0 {
		return []socket{{}}, nil // of another network namespace, or gone meanwhile
	}
	return withHolders(inodes), nil
}

func tryBind(ip netip.Addr, port int, dual bool) error {
	var to unix.Sockaddr
	family := unix.AF_INET
	if ip.Is4() {
		to = &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		family = unix.AF_INET6
		to = &unix.SockaddrInet6{Port: port, Addr: ip.WithZone("").As16(), ZoneId: zone(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if family == unix.AF_INET6 {
		only := 1
		if dual {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return os.NewSyscallError("bind", unix.Bind(fd, to))
}

func zone(ip netip.Addr) uint32 {
	if link, err := net.InterfaceByName(ip.Zone()); err == nil {
		return uint32(link.Index)
	}
	n, _ := strconv.ParseUint(ip.Zone(), 10, 32) // no number: 0, no zone
	return uint32(n)
}

// tcpInodes lists the sockets of /proc/net/tcp (proc(5)) that listen on port, on
// ip or on all addresses, or on any when ip is all of them.
func tcpInodes(file string, ip netip.Addr, port int) []string {
	var inodes []string
	for fields := range table(file) {
		if len(fields) < 10 || fields[3] != "0A" { // TCP_LISTEN
			continue
		}
		host, hexPort, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if !ok || err != nil || int(n) != port {
			continue
		}
		if other := hexAddr(host); other == ip || other.IsUnspecified() || ip.IsUnspecified() {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// hexAddr reads an address of /proc/net/tcp: words in the machine's order.
func hexAddr(text string) netip.Addr {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return netip.Addr{}
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, _ := netip.AddrFromSlice(raw)
	return ip.Unmap()
}

// unixListeners looks the path up in /proc/net/unix. A path that is not there is
// an error of Listen's only when it cannot be made.
func unixListeners(path string) ([]socket, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("the path has %d bytes, a unix socket's may have %d", len(path), maxPath)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, nil //nolint:nilerr // there is nothing: it will be made
	}
	if info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%s is there and no socket; remove it or choose another path", path)
	}
	wanted, err := realPath(path)
	if err != nil {
		return nil, err
	}
	var inodes, relative []string
	for fields := range table("/proc/net/unix") {
		if len(fields) < 8 || fields[3] != "00010000" { // __SO_ACCEPTCON: it listens
			continue
		}
		switch name := fields[7]; {
		case filepath.IsAbs(name):
			if other, err := realPath(name); err == nil && other == wanted {
				inodes = append(inodes, fields[6])
			}
		case filepath.Base(name) == filepath.Base(wanted):
			relative = append(relative, fields[6]+" "+name)
		}
	}
	found := withHolders(inodes)
	for _, entry := range relative {
		inode, name, _ := strings.Cut(entry, " ")
		s := withHolders([]string{inode})[0]
		// It was bound in a folder that only its process knows.
		s.holders = slices.DeleteFunc(s.holders, func(h Holder) bool {
			cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", h.PID))
			if err != nil {
				return true
			}
			other, err := realPath(filepath.Join(cwd, name))
			return err != nil || other != wanted
		})
		if len(s.holders) > 0 {
			found = append(found, s)
		}
	}
	return found, nil
}

// realPath follows the links to the folder of a path, not the path itself.
func realPath(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	return filepath.Join(folder, filepath.Base(absolute)), err
}

// table yields the fields of every line of a file below /proc, of none when it
// cannot be read.
func table(file string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		f, err := os.Open(file)
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if !yield(strings.Fields(lines.Text())) {
				return
			}
		}
	}
}

// withHolders finds the processes that have the sockets open.
func withHolders(inodes []string) []socket {
	found := make([]socket, len(inodes))
	for i, inode := range inodes {
		found[i].inode = inode
	}
	if len(inodes) == 0 {
		return found
	}
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		folder := filepath.Join("/proc", p.Name(), "fd")
		files, _ := os.ReadDir(folder) // another user's cannot be read
		for _, f := range files {
			to, _ := os.Readlink(filepath.Join(folder, f.Name()))
			for i, inode := range inodes {
				if to == "socket:["+inode+"]" && !slices.ContainsFunc(found[i].holders, func(h Holder) bool { return h.PID == pid }) {
					found[i].holders = append(found[i].holders, Holder{pid, comm(pid)})
				}
			}
		}
	}
	return found
}

func comm(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(name))
}
