package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// JSONName is the file that holds all that was measured.
const JSONName = "results.json"

// Write writes a report into a folder: JSON, Markdown and charts.
func Write(dir string, r result.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("folder of the report: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, JSONName), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	var charts []string
	for _, c := range []struct {
		name, title string
		metric      result.Metric
	}{
		{"requests.svg", "Requests per second: more is better", result.Rate},
		{"cpu.svg", "CPU time per request, PHP included: less is better", result.CPU},
	} {
		var b bytes.Buffer
		switch err := Chart(&b, r, c.metric, c.title); {
		case errors.Is(err, errNothing):
			_ = os.Remove(filepath.Join(dir, c.name)) // of a run before
			continue
		case err != nil:
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, c.name), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing a chart: %w", err)
		}
		charts = append(charts, c.name)
	}
	var b bytes.Buffer
	Markdown(&b, r, charts)
	if err := os.WriteFile(filepath.Join(dir, "results.md"), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Read reads the JSON of a report.
func Read(name string) (result.Report, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return result.Report{}, fmt.Errorf("reading a report: %w", err)
	}
	var r result.Report
	if err := json.Unmarshal(text, &r); err != nil {
		return result.Report{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return r, nil
}
