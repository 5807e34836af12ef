package command

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// answerMost bounds what is read of an answer, so that its end is seen.
const answerMost = 1 << 20

// ask asks the process at an address whether it is well.
func (c *child) ask(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.program.Health.Timeout, fmt.Errorf("no answer within health.timeout (%v)", c.program.Health.Timeout))
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if c.program.Health.Path == "" {
		nc, err := dial(ctx, "", "")
		if err != nil {
			return err
		}
		return nc.Close()
	}
	client := http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+c.program.Health.Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "TQServer health check")
	res, err := client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, answerMost))
		_ = res.Body.Close()
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case res.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%s is answered with %s", c.program.Health.Path, res.Status)
	}
	return nil
}
