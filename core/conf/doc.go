// Package conf reads the server's configuration: one YAML file, the environment
// (TQSERVER_HTTP__IDLE_TIMEOUT=10s) and --set (http.idle_timeout=10s), each
// layer over the one before, all over the defaults of the sections' structs. It
// also reads the worker.yaml of a worker. It is the only package that knows
// koanf, which merges the layers; strict decoding is package sdk/settings.
//
// Every problem carries where its setting was written, and all problems are
// reported at once, as one *Errors:
//
//	config/tqserver.yaml:12:5: http.idle_timeout: "10" has no unit; write 10s
//	TQSERVER_LOG__LEVEL: log.level: "loud" is not known; write one of …
//	--set http.lisen: unknown key "lisen"; did you mean listen?
//
// Paths in settings stay as they were written; nothing is resolved here.
package conf
