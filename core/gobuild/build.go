package gobuild

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// Most is how long one build may take.
const Most = 5 * time.Minute

// maxOutput is how much of what the go command says is kept, in bytes.
const maxOutput = 32 << 10

// Error is a build that failed.
type Error struct {
	// Source is the folder of the program.
	Source string
	// Output is what the go command said, each place with the file's absolute
	// path and its line; never empty.
	Output string
}

// Error implements error; its lines begin with file and line, as compilers have it.
func (e *Error) Error() string { return "go build in " + e.Source + " failed:\n" + e.Output }

// ErrNoToolchain says that the go command is missing.
var ErrNoToolchain = errors.New("there is no Go toolchain to build it: install Go (Debian: apt-get install golang-go, or https://go.dev/dl/) so that go is on the server's PATH, " +
	"or bring the executable ready-made and set go.build to false")

// Refresh builds the executable if it is missing or older than its source, and
// says whether it was. It takes its place at once, when it is whole.
func (p Program) Refresh(ctx context.Context) (built bool, err error) {
	if p.Stale() == "" {
		return false, nil
	}
	began := time.Now()
	// Within the worker's folder no symlink may lead elsewhere: the folder may be
	// a user's, and this process root.
	top, name := p.Folder, p.Binary
	below, err := filepath.Rel(top, name)
	if err != nil || !filepath.IsLocal(below) {
		top, below = filepath.Dir(name), filepath.Base(name)
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }()
	as, err := builder(p.Source)
	if err != nil {
		return false, err
	}
	dir := filepath.Dir(below)
	if _, err := root.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(root.MkdirAll(dir, 0o755), as.own(root, dir)); err != nil {
			return false, fmt.Errorf("making the folder of the executable: %w", err)
		}
	} else if err != nil {
		return false, fmt.Errorf("the folder of the executable: %w", err)
	}
	half := filepath.Join(dir, "."+filepath.Base(below)+".build-"+rand.Text()[:8])
	defer func() { _ = root.Remove(half) }() // gone after a success
	if err := p.build(ctx, as, filepath.Join(top, half)); err != nil {
		return false, err
	}
	// What was changed during the build is newer than this.
	if err := root.Chtimes(half, began, began); err != nil {
		return false, err
	}
	return true, root.Rename(half, below)
}

// Build builds the executable elsewhere, in a folder of the caller's that is
// given to whom the source belongs.
func (p Program) Build(ctx context.Context, folder string) (binary string, err error) {
	as, err := builder(p.Source)
	if err != nil {
		return "", err
	}
	if as.credential != nil {
		if err := os.Chown(folder, int(as.credential.Uid), int(as.credential.Gid)); err != nil {
			return "", err
		}
	}
	binary = filepath.Join(folder, filepath.Base(p.Binary))
	return binary, p.build(ctx, as, binary)
}

func (p Program) build(ctx context.Context, as author, output string) error {
	tool, err := toolchain()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Most, fmt.Errorf("the build takes longer than %v", Most))
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }()
	proc, err := process.Start(process.Spec{
		Path: tool, Dir: p.Source, Env: as.environment(), Credential: as.credential, Stdout: write, Stderr: write, DieWithParent: true,
		// Without a look at version control, which fails for folders of other users.
		Args: []string{"build", "-buildvcs=false", "-o", output, "."},
	})
	_ = write.Close()
	if err != nil {
		return err
	}
	said := make(chan string, 1)
	go func() { // ends with the group
		var text bytes.Buffer
		_, _ = io.CopyN(&text, read, maxOutput)
		if n, _ := io.Copy(io.Discard, read); n > 0 {
			fmt.Fprintf(&text, "\n(%d more bytes)", n)
		}
		said <- text.String()
	}()
	select {
	case <-proc.Done():
	case <-ctx.Done():
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), killWait)
	defer stop()
	if err := proc.Group().Kill(ending); err != nil {
		return err
	}
	<-proc.Done()
	text := <-said
	if err := context.Cause(ctx); err != nil && proc.Err() != nil {
		return fmt.Errorf("go build in %s was ended: %w", p.Source, err)
	}
	if err := proc.Err(); err != nil {
		return &Error{Source: p.Source, Output: places(p.Source, text, err)}
	}
	return programBuilt(p.Source, output)
}

// killWait bounds the wait for compilers that were killed.
const killWait = 5 * time.Second

// programBuilt refuses what go build makes of a package that is no program.
func programBuilt(source, output string) error {
	info, err := os.Stat(output)
	if err != nil {
		return err
	}
	if info.Mode()&0o111 == 0 {
		return &Error{Source: source, Output: source + " is no program: it needs package main"}
	}
	return nil
}

// places makes the paths of what the go command says absolute.
func places(source, text string, failure error) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if file, _, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(file, ".go") && !filepath.IsAbs(file) && !strings.ContainsAny(file, " \t") {
			lines[i] = filepath.Join(source, file) + line[len(file):]
		}
	}
	if text = strings.Join(lines, "\n"); text == "" {
		text = failure.Error()
	}
	return text
}

// toolchain finds the go command.
func toolchain() (string, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return "", ErrNoToolchain
	}
	return filepath.Abs(path)
}
