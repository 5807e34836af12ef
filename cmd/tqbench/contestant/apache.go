package contestant

import (
	"context"
	"errors"
)

// apacheConf has Debian's settings: mpm_event with its numbers, and scripts
// to PHP-FPM as conf-available/php8.2-fpm.conf sends them. Apache refuses to
// serve as root.
const apacheConf = `
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
{user}
DefaultRuntimeDir {dir}
PidFile {dir}/apache.pid
ErrorLog {dir}/apache.log
TypesConfig /dev/null
ServerName localhost
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadLimit 64
ThreadsPerChild 25
MaxRequestWorkers 150
Listen 127.0.0.1:{port}
DocumentRoot {public}
<Directory "/">
	Options FollowSymLinks
	AllowOverride None
</Directory>
<FilesMatch "\.php$">
	SetHandler "proxy:unix:{dir}/fpm.sock|fcgi://localhost"
</FilesMatch>
`

func startApache(ctx context.Context, r *run) error {
	modules := ""
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"} {
		if exists(dir + "/mod_proxy_fcgi.so") {
			modules = dir
			break
		}
	}
	if modules == "" {
		return errors.New("mod_proxy_fcgi of Apache is not installed")
	}
	if err := r.startFPM(ctx); err != nil {
		return err
	}
	file, err := r.fill("apache.conf", apacheConf, "{modules}", modules, "{user}", asRoot("User \"#65534\"\nGroup \"#65534\""))
	if err != nil {
		return err
	}
	_, err = r.launch("apache2", r.site.Tools[Apache], "-d", r.Dir, "-f", file, "-DFOREGROUND")
	return err
}
