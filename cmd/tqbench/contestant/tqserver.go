package contestant

import (
	"context"
	"fmt"
	"path/filepath"
)

const tqserverConf = `
{http}
fastcgi:
  listen: ["unix:f.sock"]
router:
static:
backend:
  workers: workers
`

const scripts = `
path: {path}
type: php
document_root: {public}
php:
  binary: {php-cgi}
  config_file: {ini}
  pool: {{manager}max_workers: {processes}}
`

// A Go worker takes as many requests at once as the sample's.
const program = `
path: /go
type: go
go:
  binary: {peer}
  pool: {max_workers: 64}
`

// serve starts TQServer with the HTTP front or without it.
func (r *run) serve(http string) error {
	worker := func(name, text, path, manager string) error {
		_, err := r.fill(filepath.Join("workers", name, "config/worker.yaml"), text, "{path}", path, "{manager}", manager)
		return err
	}
	if r.app.PHP && r.app.Pools == 0 {
		if err := worker("site", scripts, "/", ""); err != nil {
			return fmt.Errorf("worker: %w", err)
		}
	}
	for i := range r.app.Pools {
		path := PoolPath(i + 1)
		if err := worker(path[1:], scripts, path, "manager: ondemand, "); err != nil {
			return fmt.Errorf("worker: %w", err)
		}
	}
	if r.app.Go {
		if err := worker("go", program, "", ""); err != nil {
			return fmt.Errorf("worker: %w", err)
		}
	}
	conf := tqserverConf
	if r.app.Pools > 0 {
		conf += "server:\n  start_timeout: 5m\n" // to see how long it takes, even if that is too long
	}
	file, err := r.fill("tqserver.yaml", conf, "{http}", http)
	if err != nil {
		return err
	}
	_, err = r.launch("tqserver", r.site.Tools[Server], "serve", "--config", file)
	return err
}

func startTQServer(_ context.Context, r *run) error {
	return r.serve("http:\n  listen: [\"127.0.0.1:" + r.port + "\"]")
}
