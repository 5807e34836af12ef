package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Burst sends n requests at once, each on a connection of its own, to a script
// that answers with the time it was started at (Unix, in microseconds), and
// returns when each one started, from the burst on, in order.
func Burst(ctx context.Context, url string, r Request, n int) ([]time.Duration, error) {
	client := NewClient()
	defer client.CloseIdleConnections()
	starts, errs := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	begin := time.Now()
	for i := range n {
		group.Go(func() {
			body, err := r.Once(ctx, client, url)
			if err == nil {
				starts[i], err = since(begin, body)
			}
			errs[i] = err
		})
	}
	group.Wait()
	slices.Sort(starts)
	return starts, errors.Join(errs...)
}

// since reads what slow.php answers.
func since(begin time.Time, body string) (time.Duration, error) {
	us, err := strconv.ParseInt(strings.TrimSpace(body), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("no time in the answer: %w", err)
	}
	return time.UnixMicro(us).Sub(begin), nil
}
