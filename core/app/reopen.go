package app

import (
	"context"
	"errors"
	"os"
)

// reopenOn opens log files anew at every signal until the server stops.
func (p *process) reopenOn(rotations <-chan os.Signal) {
	for {
		select {
		case sig := <-rotations:
			err := p.reopen()
			if p.busy() { // what a reload has just started may hold the old files
				err = errors.Join(err, p.inTurn(p.stopping, func(context.Context) error { return p.reopen() }))
			}
			if err != nil {
				p.log.Error("opening the log files anew; the old ones are written on", "signal", sig.String(), "error", err)
				continue
			}
			p.log.Info("opened the log files anew", "signal", sig.String())
		case <-p.stopping.Done():
			return
		}
	}
}

// reopen asks every generation that has requests, the older ones too: what they
// log must not follow a file that was moved.
func (p *process) reopen() error {
	p.retiring.mu.Lock()
	gens := []*generation{p.current.Load()}
	for g := range p.retiring.gens {
		gens = append(gens, g)
	}
	p.retiring.mu.Unlock()
	var errs []error
	for _, g := range gens {
		for _, reopen := range g.parts.Reopens {
			errs = append(errs, reopen())
		}
	}
	return errors.Join(errs...)
}

// busy says whether a reload or a restart is under way.
func (p *process) busy() bool { return len(p.turn) > 0 }
