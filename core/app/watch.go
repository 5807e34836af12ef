package app

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/quiet"
)

// How long files must have been left alone before a reload, since an editor or a
// deployment writes more than one, and how long that may put it off.
const (
	watchQuiet = 300 * time.Millisecond
	watchMost  = 3 * time.Second
)

// maxWatched bounds what of a file is looked at, in bytes; the settings have
// the same bound.
const maxWatched = 1 << 20

// watched are the files a generation was made from, and patterns of more.
func (g *generation) watched() []string {
	names := slices.Clone(g.files)
	for _, s := range g.parts.services() {
		if w, ok := s.(api.Watcher); ok {
			names = append(names, w.Watch()...)
		}
	}
	return names
}

// remember notes the content of the files that g was made from. before is the one
// that served when they were read, with their content just before, so that a
// change during the reading is not taken for read.
func (g *generation) remember(before *generation, content []byte) {
	switch names := g.watched(); {
	case !g.config.Watch:
	case content != nil && slices.Equal(names, before.watched()):
		g.content = content
	default:
		g.content, _ = contentOf(names)
	}
}

// watch reloads when the content of the files changes, while server.watch says
// so, until the server stops.
func (p *process) watch() {
	for p.stopping.Err() == nil {
		if g := p.current.Load(); g.config.Watch {
			err := p.watchFiles(g)
			if err == nil {
				continue // with the files of another generation, or not at all
			}
			p.log.Error("the configuration's files are not watched", "error", err)
		}
		select {
		case <-p.switched:
		case <-p.stopping.Done():
		}
	}
}

// watchFiles watches until another generation serves, or the server stops.
func (p *process) watchFiles(g *generation) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	patterns := g.watched()
	// First the folders, then the content: a change in between is seen.
	if err := watchFolders(w, patterns); err != nil {
		return err
	}
	last := g.content
	still := quiet.New(watchQuiet, watchMost)
	defer still.Stop()
	for {
		select {
		case <-p.switched:
			return nil
		case <-p.stopping.Done():
			return nil
		case err := <-w.Errors:
			p.log.Warn("watching the configuration's files", "error", err)
			still.Again() // something may have been missed
		case <-w.Events:
			still.Changed()
		case <-still.C:
			if err := watchFolders(w, patterns); err != nil {
				return err
			}
			now, whole := contentOf(patterns)
			if !whole && still.Early() {
				still.Again()
				continue
			}
			still.Begin()
			if bytes.Equal(now, last) {
				continue
			}
			last = now
			p.log.Info("reloading: the configuration's files have changed")
			_, _ = p.reload(p.stopping, false) // which logs
		}
	}
}

// watchFolders watches every folder in which something can come to match.
func watchFolders(w *fsnotify.Watcher, patterns []string) error {
	var errs []error
	watched := w.WatchList()
	for _, pattern := range patterns {
		for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
			folders, _ := filepath.Glob(dir)
			for _, folder := range folders {
				if slices.Contains(watched, folder) {
					continue
				}
				if info, err := os.Stat(folder); err != nil || !info.IsDir() {
					continue
				}
				// One that has gone meanwhile is told by its parent.
				if err := w.Add(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
					errs = append(errs, fmt.Errorf("%s: %w", folder, err))
				}
				watched = append(watched, folder)
			}
			if !strings.ContainsAny(dir, `*?[\`) {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// contentOf sums up which files there are and what is in them. It is not whole
// when a file is empty: most likely somebody is about to write it.
func contentOf(patterns []string) (content []byte, whole bool) {
	sum := sha256.New()
	whole = true
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			whole = addContent(sum, file) && whole
		}
	}
	return sum.Sum(nil), whole
}

func addContent(sum hash.Hash, file string) (whole bool) {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxWatched {
		fmt.Fprintf(sum, "%q %v\n", file, info != nil)
		return true
	}
	text, err := os.ReadFile(file)
	fmt.Fprintf(sum, "%q %d %v\n", file, len(text), err)
	sum.Write(text)
	return len(text) > 0
}

// tellSwitched wakes the watcher; it is called after every switch.
func (p *process) tellSwitched() {
	select {
	case p.switched <- struct{}{}:
	default:
	}
}
