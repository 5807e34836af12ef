package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mevdschee/tqserver/core/api"
)

// Label that tells workers apart. One of that name in a plugin's own metrics
// becomes exported_worker, as Prometheus does it on a scrape.
const (
	Label         = "worker"
	exportedLabel = "exported_worker"
)

// seriesMost bounds the series of one worker.
const seriesMost = 20_000

// WithWorkers returns a Gatherer of what own has and of what the workers'
// plugins have, each series of theirs with the label worker. A plugin has within
// to answer. What cannot be read or does not fit what others call by its name is
// left out and told by Gather's error, beside all the rest.
func WithWorkers(own prometheus.Gatherer, workers api.WorkerMetrics, within time.Duration) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := own.Gather()
		m := merge{byName: make(map[string]*dto.MetricFamily, len(families))}
		for _, f := range families {
			m.byName[f.GetName()] = f
		}
		ctx, cancel := context.WithTimeout(context.Background(), within) // a Gatherer gets none
		defer cancel()
		texts, workersErr := workers(ctx)
		errs := []error{err, workersErr}
		for _, worker := range slices.Sorted(maps.Keys(texts)) {
			if err := m.add(worker, texts[worker]); err != nil {
				errs = append(errs, fmt.Errorf("metrics of worker %s: %w", worker, err))
			}
		}
		all := make([]*dto.MetricFamily, 0, len(m.byName))
		for _, name := range slices.Sorted(maps.Keys(m.byName)) {
			all = append(all, m.byName[name])
		}
		return all, errors.Join(errs...)
	})
}

type merge struct{ byName map[string]*dto.MetricFamily }

// add merges what one worker's plugin has said.
func (m *merge) add(worker string, text []byte) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return err
	}
	var errs []error
	series := 0
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if series += len(f.GetMetric()); series > seriesMost {
			return errors.Join(append(errs, fmt.Errorf("more than %d series", seriesMost))...)
		}
		for _, metric := range f.GetMetric() {
			label(metric, worker)
		}
		there, ok := m.byName[name]
		if !ok {
			m.byName[name] = f
			continue
		}
		if there.GetType() != f.GetType() {
			errs = append(errs, fmt.Errorf("%s is a %s here and a %s elsewhere", name, lower(f.GetType()), lower(there.GetType())))
			continue
		}
		// A copy: the family may be the own registry's.
		m.byName[name] = &dto.MetricFamily{
			Name: there.Name, Help: there.Help, Type: there.Type, Unit: there.Unit,
			Metric: append(slices.Clip(there.GetMetric()), f.GetMetric()...),
		}
	}
	return errors.Join(errs...)
}

func lower(t dto.MetricType) string { return strings.ToLower(t.String()) }

// label adds the worker, keeping labels in the order of their names.
func label(metric *dto.Metric, worker string) {
	for _, l := range metric.GetLabel() {
		if l.GetName() == Label {
			name := exportedLabel
			l.Name = &name
		}
	}
	name := Label
	metric.Label = append(metric.Label, &dto.LabelPair{Name: &name, Value: &worker})
	slices.SortFunc(metric.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
}
