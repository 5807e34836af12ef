package php

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// Inspect tells about the children at the other end of the connections named,
// or about all children, the spare ones among them.
func (p *plugin) Inspect(ctx context.Context, i sdk.Inspection) ([]sdk.Process, error) {
	d, err := openDiag(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if len(i.Connections) == 0 {
		return p.inspectAll(ctx, d, i.Stack)
	}
	peers := map[uint64]sdk.Connection{}
	for _, c := range i.Connections {
		peer, _, err := d.peer(uint64(c))
		if errors.Is(err, sdk.ErrNoProcess) {
			continue
		}
		if err != nil {
			return nil, err
		}
		peers[peer] = c
	}
	var found []sdk.Process
	var denied error
	for _, t := range p.trees.all() {
		for _, pid := range t.children.list() {
			if len(peers) == 0 || ctx.Err() != nil {
				return found, ctx.Err()
			}
			sockets, err := socketsOf(pid)
			denied = permission(denied, err)
			for _, inode := range sockets {
				if c, asked := peers[inode]; asked {
					delete(peers, inode)
					told := p.inspect(t, pid, i.Stack)
					told.Connection = c
					found = append(found, told)
				}
			}
		}
	}
	return found, denied
}

func (p *plugin) inspectAll(ctx context.Context, d *diag, stack bool) (found []sdk.Process, denied error) {
	for _, t := range p.trees.all() {
		for _, pid := range t.children.list() {
			if ctx.Err() != nil {
				return found, ctx.Err()
			}
			told := p.inspect(t, pid, stack)
			sockets, err := socketsOf(pid)
			denied = permission(denied, err)
			for _, inode := range sockets {
				if peer, name, err := d.peer(inode); err == nil && name == t.socket {
					told.Connection = sdk.Connection(peer)
				}
			}
			found = append(found, told)
		}
	}
	return found, denied
}

// permission keeps the first error that says more than that a process is gone.
func permission(before, err error) error {
	if before == nil && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the plugin may not look into its own children: %w", err)
	}
	return before
}

// inspect tells what is known of a child from outside.
func (p *plugin) inspect(t *tree, pid int, stack bool) sdk.Process {
	told := sdk.Process{PID: pid}
	if s, err := process.ReadStat(pid); err == nil {
		told.Started = s.StartTime()
	}
	told.Memory = sumKB(procPath(pid, "smaps_rollup"), "Private_Clean:", "Private_Dirty:")
	told.PeakMemory = sumKB(procPath(pid, "status"), "VmHWM:")
	told.CPU = process.CPUTime(pid)
	if stack {
		var err error
		if told.Stack, err = p.stack(t, pid); err != nil {
			told.Unread = err.Error()
		}
	}
	return told
}

// stack reads the stack of the script that a child runs.
func (p *plugin) stack(t *tree, pid int) ([]string, error) {
	l, err := layoutOf(t.version)
	if err != nil {
		return nil, err
	}
	globals, err := p.programs.globals(pid)
	if err != nil {
		return nil, err
	}
	return readStack(processMemory(pid), l, globals)
}

// sumKB adds the values of lines like "VmHWM: 12 kB", in bytes; 0 when the
// file cannot be read.
func sumKB(file string, names ...string) (sum int64) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue
		}
		for _, name := range names {
			if string(f[0]) == name {
				n, _ := strconv.ParseInt(string(f[1]), 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}
