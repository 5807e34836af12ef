package pluginhost

import (
	"context"
	"io"
	"strconv"
	"strings"
)

// goRunner shows a runner to go-plugin (runner.Runner).
type goRunner struct {
	*runner
	env []string
}

// Start implements runner.Runner.
func (r goRunner) Start(context.Context) error { return r.spawn(r.env) } //nolint:contextcheck // go-plugin bounds the start alone

// Diagnose implements runner.Runner; explain does it better.
func (r goRunner) Diagnose(context.Context) string { return "" }

// Stdout implements runner.Runner: the handshake line, then end of file.
func (r goRunner) Stdout() io.ReadCloser { return r.shake }

// Stderr implements runner.Runner: nothing, we read it ourselves.
func (r goRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (r goRunner) Name() string { return r.spec.Command[0] }

// ID implements runner.Runner.
func (r goRunner) ID() string {
	if p := r.process(); p != nil {
		return strconv.Itoa(p.PID())
	}
	return ""
}

// Wait implements runner.Runner.
func (r goRunner) Wait(ctx context.Context) error {
	select {
	case <-r.process().Done():
		return r.process().Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill implements runner.Runner; it always ends.
func (r goRunner) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reapWait)
	defer cancel()
	return r.kill(ctx)
}

// PluginToHost implements runner.Runner.
func (r goRunner) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (r goRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
