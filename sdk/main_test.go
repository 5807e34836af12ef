package sdk

import (
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		Serve(http.NotFoundHandler())
		return
	}
	goleak.VerifyTestMain(m)
}
