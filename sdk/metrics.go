package sdk

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// metricsMost bounds the text of a plugin's metrics in bytes; one message of
// the control connection has to hold it.
const metricsMost = 3 << 20

// metricsText gathers what g has in Prometheus's text format.
func metricsText(g prometheus.Gatherer) ([]byte, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return nil, fmt.Errorf("metric %s: %w", family.GetName(), err)
		}
		if text.Len() > metricsMost {
			return nil, fmt.Errorf("the metrics have more than %d bytes", metricsMost)
		}
	}
	return text.Bytes(), nil
}

// Metrics implements Meter.
func (p *handlerPlugin) Metrics(context.Context) ([]byte, error) { return metricsText(p.metrics) }
