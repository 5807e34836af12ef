package pluginhost

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user a plugin runs as; nil is the server's own.
type owner struct {
	credential syscall.Credential
}

// lookupOwner resolves the names. Both empty, or naming what the server is
// already, gives nil.
func lookupOwner(userName, groupName string) (*owner, error) {
	if userName == "" && groupName == "" {
		return nil, nil //nolint:nilnil // nil is "nobody else", as documented
	}
	c := syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if userName != "" {
		u, err := user.Lookup(userName)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", userName, err)
		}
		groups, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("groups of user %q: %w", userName, err)
		}
		if c.Uid, err = number(u.Uid); err != nil {
			return nil, fmt.Errorf("user %q: %w", userName, err)
		}
		if c.Gid, err = number(u.Gid); err != nil {
			return nil, fmt.Errorf("user %q: %w", userName, err)
		}
		// The groups of the user, as PHP-FPM gives them (initgroups).
		for _, text := range groups {
			if gid, err := number(text); err == nil {
				c.Groups = append(c.Groups, gid)
			}
		}
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			return nil, fmt.Errorf("group %q: %w", groupName, err)
		}
		if c.Gid, err = number(g.Gid); err != nil {
			return nil, fmt.Errorf("group %q: %w", groupName, err)
		}
	}
	if os.Geteuid() != 0 {
		if int(c.Uid) == os.Geteuid() && int(c.Gid) == os.Getegid() {
			return nil, nil //nolint:nilnil // nil is "nobody else", as documented
		}
		return nil, fmt.Errorf("running as user %q, group %q: only a server started as root can; leave both out, or start it as root",
			userName, groupName)
	}
	return &owner{credential: c}, nil
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// give makes the owner that of a file or folder.
func (o *owner) give(path string) error {
	if o == nil {
		return nil
	}
	return os.Lchown(path, int(o.credential.Uid), int(o.credential.Gid))
}

func (o *owner) attr() *syscall.Credential {
	if o == nil {
		return nil
	}
	c := o.credential
	return &c
}
