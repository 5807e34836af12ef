package contestant

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const fpmGlobal = `[global]
error_log = {dir}/fpm.log
daemonize = no
`

const fpmPool = `
[{name}]
listen = {dir}/{name}.sock
listen.mode = 0666
{user}
pm.max_children = {processes}
`

// Burst, the dynamic manager: 2 spare processes, {processes} at most.
const (
	fpmStatic   = "pm = static\n"
	fpmDynamic  = "pm = dynamic\npm.start_servers = 2\npm.min_spare_servers = 2\npm.max_spare_servers = 4\n"
	fpmOndemand = "pm = ondemand\n"
)

// startFPM starts PHP-FPM, whose pool listens at fpm.sock.
func (r *run) startFPM(ctx context.Context) error {
	names, manager := []string{"fpm"}, fpmStatic
	if r.app.Dynamic {
		manager = fpmDynamic
	}
	if r.app.Pools > 0 {
		names, manager = nil, fpmOndemand
		for i := range r.app.Pools {
			names = append(names, PoolPath(i + 1)[1:])
		}
	}
	var conf strings.Builder
	conf.WriteString(fpmGlobal)
	for _, name := range names {
		conf.WriteString(strings.NewReplacer("{name}", name, "{user}", asRoot("user = root\ngroup = root")).Replace(fpmPool) + manager)
	}
	file, err := r.fill("fpm.conf", conf.String())
	if err != nil {
		return err
	}
	args := []string{"-F", "-y", file, "-c", r.site.INI}
	if root := asRoot("-R"); root != "" { // or it refuses
		args = append(args, root)
	}
	p, err := r.launch("php-fpm", r.site.Tools[PHPFPM], args...)
	if err != nil {
		return err
	}
	socket := filepath.Join(r.Dir, names[len(names)-1]+".sock")
	if r.app.Pools > 0 { // to connect would start a process
		return await(ctx, "php-fpm", func() (bool, error) { return exists(socket), p.err() })
	}
	if err := p.listens(ctx, socket); err != nil {
		return fmt.Errorf("php-fpm: %w", err)
	}
	return nil
}
