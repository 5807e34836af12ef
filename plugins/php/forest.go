package php

import (
	"context"
	"slices"
	"sync"

	"github.com/mevdschee/tqserver/sdk"
)

// forest is all trees that may have a living child: the one in service, and
// those that were and are not gone.
type forest struct {
	mu    sync.Mutex
	trees []*tree
}

func (f *forest) add(t *tree) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trees = append(f.trees, t)
}

func (f *forest) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trees = slices.DeleteFunc(f.trees, func(t *tree) bool { return t.name == name })
}

// all returns them, the newest first.
func (f *forest) all() []*tree {
	f.mu.Lock()
	defer f.mu.Unlock()
	trees := slices.Clone(f.trees)
	slices.Reverse(trees)
	return trees
}

// server finds the child at the other end of the host's connection. What
// php-cgi children have started may hold the same socket, but is no child.
// Nothing is remembered: a number means another socket or process soon.
func (f *forest) server(ctx context.Context, connection sdk.Connection) (t *tree, pid int, inode uint64, err error) {
	d, err := openDiag(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	defer d.close()
	inode, _, err = d.peer(uint64(connection))
	if err != nil {
		return nil, 0, 0, err
	}
	trees := f.all()
	lists := make([][]int, len(trees))
	for i, t := range trees {
		lists[i] = t.children.list()
		for _, pid := range lists[i] {
			if likelyHolds(pid, inode) {
				return t, pid, inode, nil
			}
		}
	}
	var denied error
	for i, t := range trees {
		for _, pid := range lists[i] {
			sockets, err := socketsOf(pid)
			if slices.Contains(sockets, inode) {
				return t, pid, inode, nil
			}
			denied = permission(denied, err)
		}
	}
	if denied != nil {
		return nil, 0, 0, denied
	}
	return nil, 0, 0, sdk.ErrNoProcess
}
