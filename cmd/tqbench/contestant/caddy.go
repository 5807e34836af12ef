package contestant

import "context"

const caddyConf = `{
	admin off
	auto_https off
}
http://:{port} {
	bind 127.0.0.1
	{site}
}
`

func (r *run) startCaddy(site string) error {
	file, err := r.fill("Caddyfile", caddyConf, "{site}", site)
	if err != nil {
		return err
	}
	_, err = r.launch("caddy", r.site.Tools[Caddy], "run", "--adapter", "caddyfile", "--config", file)
	return err
}

func startCaddyFPM(ctx context.Context, r *run) error {
	if err := r.startFPM(ctx); err != nil {
		return err
	}
	return r.startCaddy("root * " + r.site.Public + "\n\tphp_fastcgi unix/" + r.Dir + "/fpm.sock\n\tfile_server")
}

func startCaddyNetHTTP(ctx context.Context, r *run) error {
	if err := r.startBehind(ctx); err != nil {
		return err
	}
	return r.startCaddy("reverse_proxy unix/" + r.Dir + "/go.sock")
}
