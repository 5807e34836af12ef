package faulty

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/process"
)

// child serves in a process group of its own, with the listening socket as
// descriptor 0, as php-cgi does.
type child struct {
	proc  *process.Process
	ended chan struct{}
}

func (p *plugin) runChild(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	address := filepath.Join(w.RuntimeFolder, "child.sock")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", address)
	if err != nil {
		return err
	}
	socket := listener.(*net.UnixListener) // "unix" was asked for
	socket.SetUnlinkOnClose(false)
	file, err := socket.File()
	if err != nil {
		return err
	}
	output, lines, err := process.LinePipe(func(line process.Line) { fmt.Fprintln(os.Stderr, line.Text) })
	if err != nil {
		return err
	}
	defer lines.Close()
	// In a session of its own, as php-cgi: see there.
	proc, err := process.Start(process.Spec{Path: executable, Args: []string{ChildArg}, Stdin: file, Stderr: output, NewSession: true})
	if err != nil {
		return err
	}
	_ = output.Close()
	_ = file.Close()
	_ = listener.Close()
	p.child = &child{proc: proc, ended: make(chan struct{})}
	defer close(p.child.ended)
	groups := []int{proc.PID()}
	ready := sdk.State{Kind: sdk.Ready, ProcessGroups: groups, Endpoints: []sdk.Endpoint{
		{ID: fmt.Sprint("child-", proc.PID()), Network: "unix", Address: address, MaxConcurrent: max(w.MaxWorkers, 1), ProcessGroups: groups},
	}}
	report(ready)
	if p.settings.Ill {
		report(sdk.State{Kind: sdk.Degraded, Reason: "it feels ill", ProcessGroups: groups})
		report(ready)
	}
	select {
	case <-proc.Done():
		return fmt.Errorf("the child ended: %w", proc.Err())
	case <-ctx.Done():
		over, cancel := context.WithCancel(ctx) // it has ended
		cancel()
		return proc.Stop(over)
	}
}

func (c *child) stop(ctx context.Context) {
	_ = c.proc.Stop(ctx)
	<-c.ended
}

// ChildMain is the main function of the child.
func ChildMain() {
	listener, err := net.FileListener(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faulty child:", err)
		os.Exit(1)
	}
	server := &fastcgi.Server{Handler: fastcgi.HTTPHandler(Handler(slog.New(slog.NewJSONHandler(os.Stderr, nil))), fastcgi.HTTPOptions{})}
	_ = server.Serve(listener)
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "unix", path)
}
