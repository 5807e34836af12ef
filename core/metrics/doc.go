// Package metrics puts the metrics that plugins gather beside the server's own.
package metrics
