package metrics

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func exposition(t *testing.T, g prometheus.Gatherer) (string, error) {
	t.Helper()
	families, err := g.Gather()
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), err
}

func TestWithWorkers(t *testing.T) {
	own := prometheus.NewRegistry()
	both := prometheus.NewGauge(prometheus.GaugeOpts{Name: "both", Help: "The server's."})
	own.MustRegister(both)
	texts := map[string][]byte{
		"a": []byte("# HELP both Mine.\n# TYPE both gauge\nboth 1\n# TYPE jobs_total counter\njobs_total{kind=\"x\",worker=\"inner\"} 3\n"),
		"b": []byte("# TYPE jobs_total counter\njobs_total 4\n# TYPE wait histogram\nwait_bucket{le=\"1\"} 1\nwait_bucket{le=\"+Inf\"} 2\nwait_sum 3\nwait_count 2\n"),
		"c": []byte("# TYPE jobs_total gauge\njobs_total 9\n"),
		"d": []byte("not metrics {{{\n"),
	}
	g := WithWorkers(own, func(ctx context.Context) (map[string][]byte, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("no deadline")
		}
		return texts, errors.New("worker e is silent")
	}, time.Second)
	for range 2 { // the own registry's families stay as they are
		text, err := exposition(t, g)
		want := `# HELP both The server's.
# TYPE both gauge
both 0
both{worker="a"} 1
# TYPE jobs_total counter
jobs_total{exported_worker="inner",kind="x",worker="a"} 3
jobs_total{worker="b"} 4
# TYPE wait histogram
wait_bucket{worker="b",le="1"} 1
wait_bucket{worker="b",le="+Inf"} 2
wait_sum{worker="b"} 3
wait_count{worker="b"} 2
`
		if text != want {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
		for _, part := range []string{"worker c: jobs_total is a gauge here and a counter elsewhere", "worker d: ", "worker e is silent"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
}
