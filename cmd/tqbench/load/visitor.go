package load

import (
	"context"
	"time"
)

// visitPause is the pause between two requests of a visitor.
const visitPause = 50 * time.Millisecond

// Visit is one more client beside a load, with a connection of its own. It
// returns, when ctx ends, the longest that it had to wait for an answer, the
// last request included, which may still be waiting; and what went wrong.
func Visit(ctx context.Context, url string, r Request) (longest time.Duration, err error) {
	client := NewClient()
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(visitPause)
	defer ticker.Stop()
	for {
		from := time.Now()
		_, failure := r.Once(ctx, client, url)
		longest = max(longest, time.Since(from))
		if failure != nil && ctx.Err() == nil && err == nil {
			err = failure
		}
		select {
		case <-ctx.Done():
			return longest, err
		case <-ticker.C:
		}
	}
}
