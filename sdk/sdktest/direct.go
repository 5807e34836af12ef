package sdktest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

// child is the plugin started without the server's host, as a host that can be
// taken away from it.
type child struct {
	*process.Process
	lifeline *os.File // ours; closing it says that the host is gone
	stdout   *bufio.Reader
	errors   *tail
	close    func()
}

// tail keeps the beginning of what is written to stderr.
type tail struct {
	mu   sync.Mutex
	text []byte
	done chan struct{}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// spawn starts the executable with env beside what every plugin gets.
func (s *suite) spawn(env ...string) (*child, error) {
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	pipe := func() (r, w *os.File, err error) {
		r, w, err = os.Pipe()
		if err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	far, near, err1 := pipe()
	out, outSend, err2 := pipe()
	diag, diagSend, err3 := pipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		closeAll()
		return nil, err
	}
	for _, name := range []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	env = append(env, s.Env...)
	p, err := process.Start(process.Spec{
		Path: s.Command[0], Args: s.Command[1:], Env: append(env, control.EnvLifeline+"=3"), Dir: s.Folder,
		Stdout: outSend, Stderr: diagSend, Files: []*os.File{far},
	})
	if err != nil {
		closeAll()
		return nil, err
	}
	for _, f := range []*os.File{far, outSend, diagSend} {
		_ = f.Close()
	}
	c := &child{Process: p, lifeline: near, stdout: bufio.NewReaderSize(out, 64<<10), errors: &tail{done: make(chan struct{})}}
	go func() { // ends with the plugin, or with close
		defer close(c.errors.done)
		buf := make([]byte, 4<<10)
		for {
			n, err := diag.Read(buf)
			c.errors.mu.Lock()
			if len(c.errors.text) < 4<<10 {
				c.errors.text = append(c.errors.text, buf[:n]...)
			}
			c.errors.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	c.close = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.Group().Kill(ctx)
		closeAll()
		<-c.errors.done
	})
	return c, nil
}

// handshakeLine is what go-plugin's protocol has first on stdout.
var handshakeLine = regexp.MustCompile(`^(\d+)\|(\d+)\|(unix|tcp)\|([^|]+)\|grpc(\|.*)?$`)

// shake reads lines until the handshake; nil when the plugin ended before.
func (c *child) shake(ctx context.Context) ([]string, error) {
	type found struct {
		line []string
		err  error
	}
	lines := make(chan found, 1)
	go func() { // ends with the plugin, or with close
		for {
			line, err := c.stdout.ReadString('\n')
			if m := handshakeLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				lines <- found{line: m}
				return
			}
			if err != nil {
				lines <- found{err: err}
				return
			}
		}
	}()
	select {
	case f := <-lines:
		if errors.Is(f.err, io.EOF) {
			return nil, nil
		}
		return f.line, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("no handshake line on stdout: %w", context.Cause(ctx))
	}
}

// alone: who starts it in a shell learns what it is.
func (s *suite) alone(ctx context.Context) error {
	ctx, cancel := quickly(ctx, s.patience(5*time.Second))
	defer cancel()
	c, err := s.spawn() //nolint:contextcheck // its end must not be cut short
	if err != nil {
		return err
	}
	defer c.close()
	select {
	case <-c.Done():
	case <-ctx.Done():
		return fmt.Errorf("without %s in its environment it goes on: %w", control.CookieKey, context.Cause(ctx))
	}
	<-c.errors.done
	switch {
	case c.Err() == nil:
		return errors.New("its exit code is 0; who starts it by mistake must see that")
	case c.errors.String() == "":
		return errors.New("it ends without a word on stderr")
	}
	return nil
}

// unknownVersion is one that no plugin speaks.
const unknownVersion = "99"

// version: a host that speaks only versions of the future is not told that all
// is well.
func (s *suite) version(ctx context.Context) error {
	ctx, cancel := quickly(ctx, s.patience(10*time.Second))
	defer cancel()
	c, err := s.spawn(control.CookieKey+"="+control.CookieValue, "PLUGIN_PROTOCOL_VERSIONS="+unknownVersion) //nolint:contextcheck // its end must not be cut short
	if err != nil {
		return err
	}
	defer c.close()
	line, err := c.shake(ctx)
	if err != nil || line == nil { // it has ended, which is clear as well
		return err
	}
	if line[2] == unknownVersion {
		return fmt.Errorf("it says that it speaks version %s of the protocol, which does not exist: it must not repeat PLUGIN_PROTOCOL_VERSIONS", unknownVersion)
	}
	return nil
}

// orphanTime is how long a plugin may outlive its host.
const orphanTime = 2 * time.Second

// orphaned: the host ends without a word, as by SIGKILL: its pipe ends, and its
// control connection.
func (s *suite) orphaned(ctx context.Context) error {
	c, err := s.spawn(control.CookieKey+"="+control.CookieValue, "PLUGIN_PROTOCOL_VERSIONS="+strconv.Itoa(control.Version), //nolint:contextcheck // its end must not be cut short
		"PLUGIN_UNIX_SOCKET_DIR="+s.folder)
	if err != nil {
		return err
	}
	defer c.close()
	line, err := c.shake(ctx)
	if err != nil {
		return err
	}
	if line == nil {
		return fmt.Errorf("it ended before the handshake: %s", c.errors)
	}
	target := "passthrough:///" + line[4]
	if line[3] == "unix" {
		target = "unix:" + line[4]
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ready, err := s.run(ctx, control.NewPluginClient(conn))
	if err != nil {
		return fmt.Errorf("by a host without TLS (no PLUGIN_CLIENT_CERT): %w", err)
	}
	if err := once(ctx, ready, s.get()); err != nil {
		return err
	}
	family := descendants(c.PID())
	_ = conn.Close()
	_ = c.lifeline.Close()
	soon, cancel := quickly(ctx, s.patience(orphanTime))
	defer cancel()
	if err := until(soon, "", func() bool { return len(family.alive()) == 0 }); err != nil {
		left := family.alive()
		for _, pid := range left {
			_ = process.FindGroup(pid).Signal(9)
		}
		return fmt.Errorf("%v after the end of its host these processes are left: %v", s.patience(orphanTime), left)
	}
	return nil
}

// run has the plugin run its worker, and returns the first endpoint.
func (s *suite) run(ctx context.Context, rpc control.PluginClient) (sdk.Endpoint, error) {
	if _, err := rpc.Describe(ctx, &control.DescribeRequest{}); err != nil {
		return sdk.Endpoint{}, fmt.Errorf("describe: %w", err)
	}
	folder := filepath.Join(s.folder, strings.ToLower(rand.Text()[:8]))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return sdk.Endpoint{}, err
	}
	stream, err := rpc.Run(ctx, &control.RunRequest{Worker: &control.Worker{
		Name: "tested", Folder: s.Folder, DocumentRoot: s.DocumentRoot, RuntimeFolder: folder, MaxWorkers: maxWorkers, Settings: s.Settings,
	}})
	if err != nil {
		return sdk.Endpoint{}, fmt.Errorf("run: %w", err)
	}
	for {
		state, err := stream.Recv()
		if err != nil {
			return sdk.Endpoint{}, fmt.Errorf("run: %w", err)
		}
		if state.GetKind() == control.StateKind_STATE_KIND_FAILED {
			return sdk.Endpoint{}, fmt.Errorf("run: failed: %s", state.GetReason())
		}
		for _, e := range state.GetEndpoints() {
			return sdk.Endpoint{Network: e.GetNetwork(), Address: e.GetAddress(), Protocol: sdk.Protocol(e.GetProtocol())}, nil
		}
	}
}
