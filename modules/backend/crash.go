package backend

import (
	"fmt"
	"time"
)

// When processes die under one request after the other, each place is given
// back only after a pause: php-cgi forks without any, and a machine that does
// nothing but fork and dump core serves nobody else either.
const (
	crashesFree    = 5 // in a row, before there is a pause
	crashPause     = 100 * time.Millisecond
	crashPauseMost = 1600 * time.Millisecond
)

// crashes counts those since the last request that was answered.
type crashes struct{ row int }

func (c *crashes) pause() time.Duration {
	if c.row <= crashesFree {
		return 0
	}
	return min(crashPause<<min(c.row-crashesFree-1, 10), crashPauseMost)
}

// trouble says what is wrong, empty when nothing is. Callers hold the pool's mu.
func (c *crashes) trouble() string {
	if c.row < crashesFree {
		return ""
	}
	return fmt.Sprintf("the last %d requests ended with the death of their process", c.row)
}

// crashed takes back a connection whose process died under its request.
func (p *pool) crashed(c *poolConn) {
	c.flush()
	_ = c.Close()
	p.mu.Lock()
	p.vacate(c)
	p.crash.row++
	if p.crash.row == crashesFree {
		p.log.Error("the worker crashes in a row; from now on each process that dies is replaced after a pause", "crashes", p.crash.row)
	}
	pause := p.crash.pause()
	if pause == 0 || p.stopped {
		release := p.closing(c)
		p.mu.Unlock()
		release()
		return
	}
	p.held++
	p.mu.Unlock()
	time.AfterFunc(pause, func() { p.unhold(c) })
}
