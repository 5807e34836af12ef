package php

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"github.com/mevdschee/tqserver/sdk/process"
)

// procPath is a file of a process.
func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// childrenOf lists the children of pid, zombies left out, by pid.
func childrenOf(pid int) map[int]process.Stat {
	children := map[int]process.Stat{}
	for _, child := range childNumbers(pid) {
		if s, err := process.ReadStat(child); err == nil && s.Parent == pid && !s.Ended() {
			children[child] = s
		}
	}
	return children
}

// childNumbers is a list that may name zombies, and others than children where
// the kernel has no list of them.
func childNumbers(pid int) (numbers []int) {
	if b, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(pid)+"/children")); err == nil {
		for f := range bytes.FieldsSeq(b) {
			if child, err := strconv.Atoi(string(f)); err == nil {
				numbers = append(numbers, child)
			}
		}
		return numbers
	}
	// A kernel without CONFIG_PROC_CHILDREN.
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if child, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, child)
		}
	}
	return numbers
}

// firstSocket and lastSocket are where the connection of a php-cgi child is as
// a rule: the lowest descriptor that was free when it accepted.
const (
	firstSocket = 3
	lastSocket  = 6
)

// likelyHolds says whether one of the likeliest descriptors of pid is the socket.
func likelyHolds(pid int, inode uint64) bool {
	for fd := firstSocket; fd <= lastSocket; fd++ {
		if n, ok := socketAt(procPath(pid, "fd/"+strconv.Itoa(fd))); ok && n == inode {
			return true
		}
	}
	return false
}

// socketsOf lists the inode numbers of a process's sockets.
func socketsOf(pid int) ([]uint64, error) {
	dir, err := os.Open(procPath(pid, "fd"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	var inodes []uint64
	for _, name := range names {
		if n, ok := socketAt(procPath(pid, "fd/"+name)); ok {
			inodes = append(inodes, n)
		}
	}
	return inodes, err
}

// socketAt reads a link of /proc/PID/fd: "socket:[4711]".
func socketAt(link string) (inode uint64, ok bool) {
	to, err := os.Readlink(link)
	if err != nil {
		return 0, false
	}
	number, isSocket := strings.CutPrefix(to, "socket:[")
	if !isSocket {
		return 0, false
	}
	inode, err = strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return inode, err == nil
}
