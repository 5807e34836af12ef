package fastcgi

import (
	"context"
	"fmt"
	"time"
)

// GetValues asks the application for FCGI_MAX_CONNS, FCGI_MAX_REQS and
// FCGI_MPXS_CONNS (section 4.1) and returns those it knows. It needs a
// connection without a request under way. When ctx ends first the connection
// is closed. Deadlines set on the connection are cleared.
func (c *Conn) GetValues(ctx context.Context) (map[string]string, error) {
	if !c.Reusable() {
		return nil, &Error{StageNotSent, errBusy}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) })
	values, err := c.getValues()
	if !stop() && ctx.Err() != nil {
		err = fmt.Errorf("asking for values: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, c.fail(err)
	}
	return values, c.nc.SetDeadline(time.Time{})
}

func (c *Conn) getValues() (map[string]string, error) {
	var content []byte
	for _, name := range valueNames() {
		content = appendPair(content, name, "")
	}
	if _, err := c.io.Write(appendRecord(nil, typeGetValues, 0, content)); err != nil {
		return nil, err
	}
	for {
		have := c.rbuf[c.r:c.w]
		if len(have) >= headerLen {
			h := parseHeader(have)
			size := headerLen + h.length + h.padding
			switch {
			case h.version != version || h.id != 0 || h.kind != typeGetValuesResult:
				return nil, &protocolError{fmt.Sprintf("record type %d in answer to GET_VALUES", h.kind)}
			case size > len(c.rbuf):
				return nil, &protocolError{"GET_VALUES_RESULT is too large"}
			case len(have) >= size:
				c.r += size
				return valuesOf(string(have[headerLen : headerLen+h.length]))
			}
		}
		if c.r > 0 {
			c.w = copy(c.rbuf, have)
			c.r = 0
		}
		n, err := c.io.Read(c.rbuf[c.w:])
		c.w += n
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

func valuesOf(block string) (map[string]string, error) {
	params, err := parseParams(nil, block, 64)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(params))
	for _, p := range params {
		values[p.Name] = p.Value
	}
	return values, nil
}

// valueNames are the variables of section 4.1.
func valueNames() [3]string {
	return [3]string{"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"}
}
