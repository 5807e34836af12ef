package php

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/mevdschee/tqserver/sdk"
)

const (
	cacheName = "php-probe.json"
	// cacheBytes bounds the file, cacheKept the answers in it: one of them has
	// some 10 kB.
	cacheBytes = 1 << 20
	cacheKept  = 32
)

// cache remembers what a php-cgi has said of itself, since each question is a
// start of PHP. A plugin process checks settings and runs them, and the one
// after it finds the answers in a file: a worker that was at rest has its first
// request waiting.
type cache struct {
	mu      sync.Mutex
	loaded  string // the file that was read
	answers map[string]answer
	asking  map[string]chan struct{} // by question; closed when it was answered

	// The answer that was taken apart last, in this process only: a thousand workers
	// ask the same.
	probed     string
	probedInto probe

	// What stands on PATH, in this process only.
	onPath   []string
	pathDirs []string
	pathIs   []stamp
}

// answer is what was asked, by which files it was answered, and the answer.
type answer struct {
	Files []stamp  `json:"files"`
	Texts []string `json:"texts"`
}

// cacheFile is where answers outlive the plugin process, "" for nowhere: in the
// server's private folder, which is removed at its end, when the server is the
// same user, or in the one for all plugin processes of this user.
func cacheFile(w sdk.Worker) string {
	if w.RuntimeFolder == "" {
		return ""
	}
	server := filepath.Dir(w.RuntimeFolder)
	for _, folder := range []string{server, filepath.Join(server, fmt.Sprintf("user-%d", os.Geteuid()))} {
		if info, err := os.Lstat(folder); err == nil && info.IsDir() && ours(info, 0o022) {
			return filepath.Join(folder, cacheName)
		}
	}
	return ""
}

// ours says that a file is this user's, and others have none of the rights.
func ours(info fs.FileInfo, rights fs.FileMode) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid() && info.Mode().Perm()&rights == 0
}

// get returns an answer that still holds.
func (c *cache) get(file, question string) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load(file)
	a, ok := c.answers[question]
	if !ok || slices.ContainsFunc(a.Files, func(s stamp) bool { return !s.holds() }) {
		return nil, false
	}
	return a.Texts, true
}

// probe takes an answer apart.
func (c *cache) probe(iniFile, names string) probe {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probedInto.names == nil || c.probed != names || c.probedInto.iniFile != iniFile {
		c.probed, c.probedInto = names, newProbe(iniFile, names)
	}
	return c.probedInto
}

// turn waits until nobody asks the question: who else wants to know finds the answer.
// The caller calls done.
func (c *cache) turn(ctx context.Context, question string) (done func(), err error) {
	for {
		c.mu.Lock()
		other, busy := c.asking[question]
		if !busy {
			if c.asking == nil {
				c.asking = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			c.asking[question] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.asking, question)
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// candidates are those of PATH, whose folders have thousands of files: they are
// read again when one of the folders has changed, or where a php-cgi leads.
func (c *cache) candidates(dirs []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(dirs, c.pathDirs) && !slices.ContainsFunc(c.pathIs, func(s stamp) bool { return !s.holds() }) {
		return c.onPath
	}
	// First the folders: what changes while they are read is seen the next time.
	c.pathDirs, c.pathIs = dirs, nil
	for _, dir := range dirs {
		c.pathIs = append(c.pathIs, stampOf(dir))
	}
	c.onPath = candidates(dirs)
	for _, path := range c.onPath {
		c.pathIs = append(c.pathIs, stampOf(path))
	}
	return c.onPath
}

// put remembers an answer that program gave and the files decided. What a
// script answers, a wrapper around php-cgi, is not remembered: it may answer
// otherwise the next time.
func (c *cache) put(file, question, program string, files, texts []string) {
	if !isELF(program) {
		return
	}
	a := answer{Texts: texts}
	for _, f := range append([]string{program}, files...) {
		a.Files = append(a.Files, stampOf(f))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load(file)
	if c.answers == nil || len(c.answers) >= cacheKept {
		c.answers = map[string]answer{}
	}
	c.answers[question] = a
	c.save(file)
}

// load reads the file, unless it was read. It believes nothing that somebody
// else may have written.
func (c *cache) load(file string) {
	if file == c.loaded || file == "" {
		return
	}
	c.loaded = file
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !ours(info, 0o077) || info.Size() > cacheBytes {
		return
	}
	b, err := io.ReadAll(io.LimitReader(f, cacheBytes))
	if err != nil {
		return
	}
	var answers map[string]answer
	if json.Unmarshal(b, &answers) == nil && len(answers) <= cacheKept {
		c.answers = answers
	}
}

// save replaces the file; that it cannot be written costs time only. What
// another plugin process has written meanwhile is lost, and asked again.
func (c *cache) save(file string) {
	b, err := json.Marshal(c.answers)
	if err != nil || file == "" || len(b) > cacheBytes {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), cacheName+".*") // 0600
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err2 := f.Close(); err != nil || err2 != nil || os.Rename(f.Name(), file) != nil {
		_ = os.Remove(f.Name())
	}
}

// isELF says whether a file is a program itself.
func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == "\x7fELF"
}

// questionOf makes one key of its parts.
func questionOf(parts ...string) string { return strings.Join(parts, "\x00") }
