package php

import (
	"bytes"
	"os"
	"strconv"
)

// childrenOf lists the children of pid, zombies left out.
func childrenOf(pid int) (children []int) {
	p := strconv.Itoa(pid)
	if b, err := os.ReadFile("/proc/" + p + "/task/" + p + "/children"); err == nil {
		for f := range bytes.FieldsSeq(b) {
			if child, err := strconv.Atoi(string(f)); err == nil && parentOf(child) == pid {
				children = append(children, child)
			}
		}
		return children
	}
	// A kernel without CONFIG_PROC_CHILDREN.
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if child, err := strconv.Atoi(name); err == nil && parentOf(child) == pid {
			children = append(children, child)
		}
	}
	return children
}

// parentOf returns the parent's pid, 0 for a process that is gone or a zombie.
func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: count from the last one.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 2 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return 0
	}
	parent, _ := strconv.Atoi(string(f[1]))
	return parent
}
