package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/control"
	"github.com/mevdschee/tqserver/core/telemetry"
)

// askRunning is how long a running server may take to say who it is.
const askRunning = 2 * time.Second

// check reports everything that would keep serve from starting. What it
// can only doubt goes to stderr.
func check(ctx context.Context, b Build, f configFlags, stderr io.Writer) error {
	c, wrong := settle(ctx, b, f, false)
	if wrong != nil {
		var ok bool
		if c, ok = settleLenient(ctx, b, f); !ok {
			return wrong
		}
	}
	p, err := newProcess(ctx, b, f, c, stderr)
	if err != nil {
		if wrong != nil {
			return wrong // of which this follows
		}
		return err
	}
	defer p.close()
	first := p.current.Load()
	checking, cancel := context.WithTimeout(ctx, first.config.StartTimeout)
	defer cancel()
	err = first.check(checking, true)
	running, unsure := findRunning(ctx, c.server)
	doubts, used := first.claims.inUse(running, unsure, sectionsOf(wrong))
	for _, doubt := range doubts {
		fmt.Fprintf(stderr, "warning: %s\n", doubt)
	}
	return errors.Join(wrong, err, used)
}

// sectionsOf lists the sections that have a problem.
func sectionsOf(err error) []string {
	var names []string
	for _, p := range conf.ProblemsOf(err) {
		name, _, _ := strings.Cut(p.Path, ".")
		names = append(names, name)
	}
	return names
}

// settleLenient settles a configuration with mistakes as far as it goes, so that
// those of the workers can be told with them. It returns false when nothing
// could be read, or what was read makes no server.
func settleLenient(ctx context.Context, b Build, f configFlags) (settled, bool) {
	o, r, err := f.options(ctx, false)
	if err != nil {
		return settled{}, false
	}
	tree, err := conf.Load(o)
	if err != nil {
		return settled{}, false
	}
	lenient := settled{tree: tree.Lenient(), remote: r}
	if lenient.server, err = serverSection.Decode(tree); err != nil {
		lenient.server = defaultServer()
	}
	if lenient.log, err = telemetry.Section.Decode(tree); err != nil {
		lenient.log = telemetry.DefaultConfig()
	}
	for _, d := range b.Modules {
		if tree.Has(d.Section.Key()) {
			lenient.on = append(lenient.on, d)
		}
	}
	return lenient, true
}

// findRunning returns the process ID of the server that runs with this
// configuration, 0 for none; unsure says that one may run that tells us nothing.
func findRunning(ctx context.Context, c serverConfig) (pid int, unsure bool) {
	ctx, cancel := context.WithTimeout(ctx, askRunning)
	defer cancel()
	info, err := control.NewClient(c.controlSocket()).Info(ctx)
	return info.PID, err != nil && !errors.Is(err, control.ErrNoServer)
}
