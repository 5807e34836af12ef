package gobuild

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/mevdschee/tqserver/core/quiet"
)

// How long files must have been left alone before something is made of them,
// since an editor writes more than one, and how long that may put it off.
const (
	quietTime = 200 * time.Millisecond
	quietMost = 2 * time.Second
)

// Watch calls changed, one call at a time, whenever a file of the program, or the
// executable itself, has changed, comes or goes, until ctx ends. A change during
// a call leads to the next. What changed itself does to the executable leads to none.
// An executable that is older than its source from the beginning counts as a change.
func (p Program) Watch(ctx context.Context, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	if err := p.follow(w); err != nil {
		return err
	}
	last, fresh := p.state(), false
	still := quiet.New(quietTime, quietMost)
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Errors: // something may have been missed
			if !ok {
				return nil
			}
			still.Again()
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			still.Changed()
		case <-still.C:
			still.Begin()
			if err := p.follow(w); err != nil {
				return err
			}
			if now := p.state(); now != last || !fresh && p.Stale() != "" {
				changed()
				last = p.since(now)
			}
			fresh = true
		}
	}
}

// since is the state after a call of changed that was told of the state before:
// with the executable of now, and the sources as they were.
func (p Program) since(before string) string {
	now := p.state()
	if sources(before) == sources(now) {
		return now
	}
	return before
}

// sources is a state without its last line, which is that of the executable.
func sources(state string) string {
	end := len(state) - 1
	for end > 0 && state[end-1] != '\n' {
		end--
	}
	return state[:max(end, 0)]
}

// follow watches the folders the program is made of now.
func (p Program) follow(w *fsnotify.Watcher) error {
	_, folders := p.parts()
	folders = append(folders, p.Folder)
	if dir := filepath.Dir(p.Binary); exists(dir) {
		folders = append(folders, dir)
	}
	watched := w.WatchList()
	for _, folder := range folders {
		if slices.Contains(watched, folder) || !exists(folder) {
			continue
		}
		if err := w.Add(folder); err != nil && exists(folder) {
			return fmt.Errorf("watching %s: %w", folder, err)
		}
	}
	return nil
}
