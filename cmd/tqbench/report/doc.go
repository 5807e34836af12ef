// Package report shows a run of the benchmark: as a table, as Markdown, as JSON
// and as charts.
package report
