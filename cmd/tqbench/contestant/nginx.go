package contestant

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// nginxConf has Debian's settings where they matter: a worker per core, no
// buffers of other sizes. No contestant writes an access log.
const nginxConf = `
{user}
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
worker_processes auto;
events { worker_connections 768; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	default_type application/octet-stream;
	client_max_body_size 128m;
	client_body_temp_path {dir}/nginx-body;
	proxy_temp_path {dir}/nginx-proxy;
	fastcgi_temp_path {dir}/nginx-fastcgi;
	uwsgi_temp_path {dir}/nginx-uwsgi;
	scgi_temp_path {dir}/nginx-scgi;
	{upstream}
	server {
		listen 127.0.0.1:{port};
		root {public};
		{location}
	}
}
`

// nginxParams are those of Debian's /etc/nginx/fastcgi_params.
const nginxParams = `
		fastcgi_param QUERY_STRING      $query_string;
		fastcgi_param REQUEST_METHOD    $request_method;
		fastcgi_param CONTENT_TYPE      $content_type;
		fastcgi_param CONTENT_LENGTH    $content_length;
		fastcgi_param REQUEST_URI       $request_uri;
		fastcgi_param DOCUMENT_URI      $document_uri;
		fastcgi_param SERVER_PROTOCOL   $server_protocol;
		fastcgi_param REQUEST_SCHEME    $scheme;
		fastcgi_param HTTPS             $https if_not_empty;
		fastcgi_param GATEWAY_INTERFACE CGI/1.1;
		fastcgi_param SERVER_SOFTWARE   nginx/$nginx_version;
		fastcgi_param REMOTE_ADDR       $remote_addr;
		fastcgi_param REMOTE_PORT       $remote_port;
		fastcgi_param SERVER_ADDR       $server_addr;
		fastcgi_param SERVER_PORT       $server_port;
		fastcgi_param SERVER_NAME       $server_name;
`

// startNginx starts nginx with what goes into http and into server.
func (r *run) startNginx(ctx context.Context, upstream, location string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nginx: %w", err)
	}
	file, err := r.fill("nginx.conf", nginxConf, "{user}", asRoot("user root root;"), "{upstream}", upstream, "{location}", location)
	if err != nil {
		return err
	}
	// Twice, for the words within upstream and location.
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if file, err = r.fill("nginx.conf", string(text)); err != nil {
		return err
	}
	_, err = r.launch("nginx", r.site.Tools[Nginx], "-e", filepath.Join(r.Dir, "nginx.log"), "-p", r.Dir, "-c", file)
	return err
}

// startNginxFPM is the usual pair. kept adds what nginx's manual shows for
// kept connections, as many as config/examples/nginx.conf has for TQServer.
func startNginxFPM(kept bool) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		if err := r.startFPM(ctx); err != nil {
			return err
		}
		const script = `fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_param SCRIPT_NAME $fastcgi_script_name;`
		upstream, to := "", "fastcgi_pass unix:{dir}/fpm.sock;"
		if kept {
			upstream, to = "upstream php { server unix:{dir}/fpm.sock; keepalive 16; }", "fastcgi_pass php; fastcgi_keep_conn on;"
		}
		if r.app.Pools > 0 {
			return r.startNginx(ctx, "", `location ~ ^/(?<pool>w\d+)(?<script>/.*\.php)$ {`+nginxParams+
				`fastcgi_param SCRIPT_FILENAME $document_root$script; fastcgi_param SCRIPT_NAME $script; fastcgi_pass unix:{dir}/$pool.sock; }`)
		}
		return r.startNginx(ctx, upstream, `location ~ \.php$ {`+nginxParams+script+to+" }")
	}
}

// startNginxTQServer is config/examples/nginx.conf.
func startNginxTQServer(ctx context.Context, r *run) error {
	if err := r.serve(""); err != nil {
		return err
	}
	if err := r.procs[0].listens(ctx, filepath.Join(r.Dir, "f.sock")); err != nil {
		return err
	}
	return r.startNginx(ctx, "upstream tqserver { server unix:{dir}/f.sock; keepalive 16; }",
		"location / {"+nginxParams+"fastcgi_pass tqserver; fastcgi_keep_conn on; }")
}

// startNginxNetHTTP is what nginx's manual shows for kept connections.
func startNginxNetHTTP(ctx context.Context, r *run) error {
	if err := r.startBehind(ctx); err != nil {
		return err
	}
	return r.startNginx(ctx, "upstream app { server unix:{dir}/go.sock; keepalive 16; }", `
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		}`)
}
