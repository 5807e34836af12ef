package main

import (
	"time"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// config of the worker, whose settings stand in worker.yaml below `go:`.
type config struct {
	Title  string        `conf:"title" doc:"Heading of the page." source:"the name of the server"`
	Stream time.Duration `conf:"stream_every" doc:"Pause between two lines of /stream." source:"slow enough to be seen"`
}

func defaults() config { return config{Title: "TQServer", Stream: 200 * time.Millisecond} }

// Validate finds what the types cannot say.
func (c config) Validate() []settings.Problem {
	if c.Stream < time.Millisecond || c.Stream > time.Minute {
		return []settings.Problem{{Path: "stream_every", Message: "must be from 1ms to 1m"}}
	}
	return nil
}
