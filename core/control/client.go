package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// ErrNoServer says that nobody answers on the control socket.
var ErrNoServer = errors.New("no server answers")

// Client calls the server at a control socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client for the socket at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: ioWait}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Info asks which server answers.
func (c *Client) Info(ctx context.Context) (info Info, err error) {
	return info, c.call(ctx, http.MethodGet, "/info", nil, &info)
}

// Reload makes the server take over its configuration of now; a dry one only
// says what that would do.
func (c *Client) Reload(ctx context.Context, dry bool) (r Reloaded, err error) {
	return r, c.call(ctx, http.MethodPost, "/reload", url.Values{"dry": {strconv.FormatBool(dry)}}, &r)
}

// Restart replaces a worker's processes.
func (c *Client) Restart(ctx context.Context, worker string) error {
	return c.call(ctx, http.MethodPost, "/restart", url.Values{"worker": {worker}}, &struct{}{})
}

// Status of one worker, of all for an empty name.
func (c *Client) Status(ctx context.Context, worker string, full bool) (all []api.WorkerStatus, err error) {
	return all, c.call(ctx, http.MethodGet, "/status", url.Values{"worker": {worker}, "full": {strconv.FormatBool(full)}}, &all)
}

// maxAnswer bounds an answer, in bytes: ten thousand processes fit.
const maxAnswer = 64 << 20

// call asks the server, which is told how long the answer may take.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, into any) error {
	if until, ok := ctx.Deadline(); ok {
		if query == nil {
			query = url.Values{}
		}
		query.Set("timeout", time.Until(until).String())
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://control"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(r)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.explain(err)
	}
	if res.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(text, &f) != nil || f.Error == "" {
			return fmt.Errorf("the server at %s answers %s; is it of another version?", c.path, res.Status)
		}
		return errors.New(f.Error)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("the answer of the server at %s: %w", c.path, err)
	}
	return nil
}

// explain says what an error of the connection means to people.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server at %s did not answer in time", c.path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s", ErrNoServer, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is for the server's own user and root: %w", c.path, fs.ErrPermission)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the server at %s closed the connection: it stops, or you are neither its user nor root", c.path)
	}
	return fmt.Errorf("the server at %s: %w", c.path, err)
}
