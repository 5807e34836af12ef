// Package telemetry sets up the log: log/slog over a writer that never makes a
// request wait. One event is one line, whatever bytes its values hold.
package telemetry
