package sdktest

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// request makes one request; any complete answer with a head is one.
func (s *suite) request(ctx context.Context, e sdk.Endpoint) error {
	nc, err := new(net.Dialer).DialContext(ctx, e.Network, e.Address)
	if err != nil {
		return err
	}
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{})
	defer func() { _ = c.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	params := s.Params
	if params == nil {
		params = fastcgi.Params{
			{Name: "REQUEST_METHOD", Value: "GET"},
			{Name: "REQUEST_URI", Value: "/"},
			{Name: "SERVER_PROTOCOL", Value: "HTTP/1.1"},
			{Name: "HTTP_HOST", Value: "localhost"},
		}
	}
	if err := c.Start(fastcgi.Responder, true, params, []byte{}); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if !strings.Contains(string(answer), "\n") {
		return fmt.Errorf("the answer has no head: %q", answer)
	}
	return nil
}
