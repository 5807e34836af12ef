package php

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
)

// diagTimeout bounds all questions of one diag: the kernel answers each before
// the call that asks returns.
const diagTimeout = 2 * time.Second

// What linux/unix_diag.h says and x/sys does not.
const (
	unixDiagRequest = 24 // sizeof(struct unix_diag_req)
	unixDiagMessage = 16 // sizeof(struct unix_diag_msg)
	showNamePeer    = 1 | 4
	attributeName   = 0
	attributePeer   = 2
)

// diag asks the kernel about unix sockets (sock_diag(7)). Each question names
// one socket, by its inode number, and so gets no list.
type diag struct{ c *netlink.Conn }

func openDiag(ctx context.Context) (*diag, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	until := time.Now().Add(diagTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.SetDeadline(until); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	return &diag{c}, nil
}

func (d *diag) close() { _ = d.c.Close() }

// peer returns the socket at the other end of a connected one, and the path
// the one asked about is bound to: of an accepted one, the listener's.
// ErrNoProcess: there is no such socket, its other end is gone, or nobody has
// accepted it yet.
func (d *diag) peer(inode uint64) (peer uint64, name string, err error) {
	if inode == 0 || inode > 1<<32-1 { // socket inodes have 32 bits
		return 0, "", sdk.ErrNoProcess
	}
	request := make([]byte, unixDiagRequest)
	request[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(request[4:], ^uint32(0)) // in any state
	binary.NativeEndian.PutUint32(request[8:], uint32(inode))
	binary.NativeEndian.PutUint32(request[12:], showNamePeer)
	binary.NativeEndian.PutUint64(request[16:], ^uint64(0)) // no cookie is known
	answers, err := d.c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request},
		Data:   request,
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return 0, "", sdk.ErrNoProcess
	case err != nil:
		return 0, "", fmt.Errorf("sock_diag: %w", err)
	case len(answers) != 1 || len(answers[0].Data) < unixDiagMessage:
		return 0, "", fmt.Errorf("sock_diag: a strange answer about socket %d", inode)
	}
	attributes, err := netlink.NewAttributeDecoder(answers[0].Data[unixDiagMessage:])
	if err != nil {
		return 0, "", fmt.Errorf("sock_diag: %w", err)
	}
	for attributes.Next() {
		switch attributes.Type() {
		case attributeName:
			name = strings.TrimRight(string(attributes.Bytes()), "\x00")
		case attributePeer:
			peer = uint64(attributes.Uint32())
		}
	}
	if err := attributes.Err(); err != nil {
		return 0, "", fmt.Errorf("sock_diag: %w", err)
	}
	if peer == 0 {
		return 0, name, sdk.ErrNoProcess
	}
	return peer, name, nil
}
