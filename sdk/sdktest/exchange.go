package sdktest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// question is one request.
type question struct {
	method, path string
	body         io.Reader // nil for none
	length       int64     // -1 when it is not told
	params       fastcgi.Params
}

// answer is what came of it. Its reader is the body.
type answer struct {
	io.Reader
	status int
	// end waits for the sending side and says whether the connection may be used
	// again.
	end func() (reusable bool, err error)
}

// peer is a connection to an endpoint, whatever that speaks.
type peer interface {
	ask(q question) (*answer, error)
	Close() error
}

// get is a request without a body.
func (s *suite) get() question {
	return question{method: http.MethodGet, path: s.Path, params: s.Params}
}

// echo is a request that comes back.
func (s *suite) echo(body io.Reader, length int64) question {
	params := s.EchoParams
	if params == nil {
		params = s.Params
	}
	return question{method: http.MethodPost, path: s.Echo, body: body, length: length, params: params}
}

// dial opens a connection that lasts no longer than ctx.
func dial(ctx context.Context, e sdk.Endpoint) (peer, error) {
	nc, err := new(net.Dialer).DialContext(ctx, e.Network, e.Address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
	}
	if e.Protocol == sdk.HTTP {
		return &httpPeer{Conn: nc, reader: bufio.NewReader(nc)}, nil
	}
	return &fastcgiPeer{fastcgi.NewConn(nc, fastcgi.ConnOptions{Extended: true})}, nil
}

type fastcgiPeer struct{ *fastcgi.Conn }

func (p *fastcgiPeer) ask(q question) (*answer, error) {
	params := fastcgi.Params{
		{Name: "GATEWAY_INTERFACE", Value: "CGI/1.1"},
		{Name: "REQUEST_METHOD", Value: q.method},
		{Name: "REQUEST_URI", Value: q.path},
		{Name: "SCRIPT_NAME", Value: ""},
		{Name: "PATH_INFO", Value: q.path},
		{Name: "QUERY_STRING", Value: ""},
		{Name: "SERVER_PROTOCOL", Value: "HTTP/1.1"},
		{Name: "SERVER_NAME", Value: "localhost"},
		{Name: "SERVER_PORT", Value: "80"},
		{Name: "REMOTE_ADDR", Value: "127.0.0.1"},
		{Name: "REMOTE_PORT", Value: "1"},
		{Name: "HTTP_HOST", Value: "localhost"},
		{Name: "REQUEST_ID", Value: "sdktest"},
	}
	params = append(params, q.params...)
	if q.body != nil {
		params = append(params, fastcgi.Param{Name: "CONTENT_TYPE", Value: "application/octet-stream"})
		if q.length >= 0 {
			params = append(params, fastcgi.Param{Name: "CONTENT_LENGTH", Value: strconv.FormatInt(q.length, 10)})
		}
	}
	var sending sync.WaitGroup
	var sendErr error
	if q.body == nil {
		if err := p.Start(fastcgi.Responder, true, params, []byte{}); err != nil {
			return nil, err
		}
	} else {
		if err := p.Start(fastcgi.Responder, true, params, nil); err != nil {
			return nil, err
		}
		sending.Go(func() {
			if _, sendErr = p.ReadFrom(q.body); sendErr == nil {
				sendErr = p.CloseStdin()
			}
		})
	}
	head, rest, err := p.head()
	if err != nil {
		_ = p.Close()
		sending.Wait()
		return nil, fmt.Errorf("the answer's head: %w", err)
	}
	return &answer{
		Reader: io.MultiReader(strings.NewReader(string(rest)), p), status: head.Status,
		end: func() (bool, error) {
			sending.Wait()
			return p.Reusable(), sendErr
		},
	}, nil
}

// head reads the final head; those of informational responses go before it.
func (p *fastcgiPeer) head() (*cgi.Head, []byte, error) {
	var parser cgi.HeadParser
	buf := make([]byte, 0, 8<<10)
	for {
		head, n, err := parser.Parse(buf)
		switch {
		case err != nil:
			return nil, nil, err
		case n > 0 && head.Status < http.StatusOK:
			buf = append(buf[:0], buf[n:]...)
			parser.Reset()
			continue
		case n > 0:
			return head, buf[n:], nil
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		got, err := p.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+got]
		if got == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ended before its head was complete: %q", buf)
			}
			return nil, nil, err
		}
	}
}

type httpPeer struct {
	net.Conn
	reader *bufio.Reader
}

func (p *httpPeer) ask(q question) (*answer, error) {
	r, err := http.NewRequest(q.method, "http://localhost"+q.path, q.body) //nolint:noctx // the connection has the deadline
	if err != nil {
		return nil, err
	}
	if q.body != nil {
		r.ContentLength = q.length
	}
	var sending sync.WaitGroup
	var sendErr error
	sending.Go(func() { sendErr = r.Write(p.Conn) })
	res, err := http.ReadResponse(p.reader, r) //nolint:bodyclose // it ends with the connection
	for err == nil && res.StatusCode < http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = http.ReadResponse(p.reader, r) //nolint:bodyclose // it ends with the connection
	}
	if err != nil {
		_ = p.Close()
		sending.Wait()
		return nil, fmt.Errorf("the answer's head: %w", err)
	}
	return &answer{Reader: res.Body, status: res.StatusCode, end: func() (bool, error) {
		sending.Wait()
		return !res.Close, sendErr
	}}, nil
}

// whole asks and reads the answer to its end.
func whole(p peer, q question) (status int, body []byte, reusable bool, err error) {
	a, err := p.ask(q)
	if err != nil {
		return 0, nil, false, err
	}
	body, err = io.ReadAll(a)
	if err != nil {
		_ = p.Close()
		_, _ = a.end()
		return a.status, body, false, fmt.Errorf("the answer's body, after %d bytes: %w", len(body), err)
	}
	reusable, err = a.end()
	return a.status, body, reusable, err
}

// once asks on a connection of its own; any answer that is complete and no
// server error is one.
func once(ctx context.Context, e sdk.Endpoint, q question) error {
	p, err := dial(ctx, e)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	status, _, _, err := whole(p, q)
	if err == nil && status >= http.StatusInternalServerError {
		err = fmt.Errorf("%s %s is answered with %d", q.method, q.path, status)
	}
	return err
}

// quickly is for what must happen soon.
func quickly(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %v", d))
}
