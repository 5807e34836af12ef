// Command index is the sample Go worker: it shows the request it got, streams,
// speaks WebSocket and reads what is posted. Of TQServer it imports the sdk only.
package main

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/sdk"
)

func main() {
	sdk.ServeWith(defaults(), func(_ context.Context, c config) (http.Handler, error) {
		// What is registered there appears on the server's /metrics.
		return newHandler(c, prometheus.DefaultRegisterer)
	})
}
