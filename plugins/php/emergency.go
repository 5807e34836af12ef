package php

import (
	"context"
	"time"

	"github.com/mevdschee/tqserver/plugins/internal/life"
	"github.com/mevdschee/tqserver/sdk"
)

// treesAtMost bounds the trees that were replaced and still serve a request:
// another emergency waits until one of them has gone.
const treesAtMost = 3

// replacements remembers how often a tree was replaced in a row.
type replacements struct {
	last time.Time
	row  int
}

// due says whether it may be done again, and notes that it is.
func (r *replacements) due(now time.Time) bool {
	if now.Sub(r.last) > life.Settled {
		r.row = 0
	}
	if r.row > 0 && now.Sub(r.last) < life.Backoff(r.row+1) {
		return false
	}
	r.row, r.last = r.row+1, now
	return true
}

// replace starts a tree beside the current one, which crashes too often, and
// puts it in its place when it is ready: what crashes may stand in the opcache,
// and that is a new one's own. The old one serves what it has begun.
func (s *supervisor) replace(ctx context.Context) {
	old, e := s.current, s.command.emergency
	if len(s.retired) >= treesAtMost || !s.replaced.due(time.Now()) {
		return // the next crash asks again
	}
	s.log.Error("emergency: so many php-cgi children crashed that all are replaced, with an empty opcache",
		"crashes", e.crashes, "within", e.within, "parent", old.proc.PID())
	t, err := s.launch(ctx, "emergency: php-cgi is replaced after too many crashes")
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("emergency: php-cgi cannot be started beside the one that crashes, which serves on", "error", err)
			s.tell(sdk.Degraded, err.Error())
		}
		return
	}
	s.retire()
	s.current = t
	s.tell(sdk.Ready, "", t.endpoint())
}
